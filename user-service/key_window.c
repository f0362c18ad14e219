/* A tree by key, and a queue by age of those that are not in flight. */
#include "user-service/key_window.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

enum key_state { STATE_IN_FLIGHT, STATE_SETTLED, STATE_DOUBTFUL };

struct key_entry {
    struct slice key; /* its bytes follow the entry */
    unsigned char digest[DIGEST_BYTES];
    enum key_state state;
    bool was_doubtful; /* an earlier attempt may have been saved */
    enum save_outcome outcome;
    struct handover_list waiting;
    TAILQ_ENTRY(key_entry) by_age;
};

static int compare(const void *left, const void *right)
{
    struct slice a = ((const struct key_entry *)left)->key;
    struct slice b = ((const struct key_entry *)right)->key;
    if (a.length != b.length) {
        return a.length < b.length ? -1 : 1;
    }
    return memcmp(a.data, b.data, a.length);
}

void key_window_init(struct key_window *window, size_t capacity)
{
    *window = (struct key_window){.capacity = capacity};
    TAILQ_INIT(&window->by_age);
}

static void forget(struct key_window *window, struct key_entry *entry)
{
    (void)tdelete(entry, &window->tree, compare);
    free(entry);
}

static void forget_oldest(struct key_window *window)
{
    struct key_entry *oldest = TAILQ_FIRST(&window->by_age);
    TAILQ_REMOVE(&window->by_age, oldest, by_age);
    window->remembered--;
    forget(window, oldest);
}

void key_window_done(struct key_window *window)
{
    while (window->remembered > 0) {
        forget_oldest(window);
    }
}

static enum outcome add(struct key_window *window, const struct key_entry *wanted,
                        struct key_entry **ret_entry, struct error *ret_error)
{
    struct key_entry *entry = malloc(sizeof(*entry) + wanted->key.length);
    if (entry != NULL) {
        *entry = *wanted;
        entry->key.data = memcpy(entry + 1, wanted->key.data, wanted->key.length);
    }
    if (entry == NULL || tsearch(entry, &window->tree, compare) == NULL) {
        free(entry);
        return error_set(ret_error, OUTCOME_BUSY, "no memory for an Idempotency-Key");
    }
    *ret_entry = entry;
    return OUTCOME_OK;
}

static enum key_verdict judge(struct key_window *window, struct key_entry *entry,
                              const unsigned char digest[DIGEST_BYTES])
{
    if (memcmp(entry->digest, digest, DIGEST_BYTES) != 0) {
        return KEY_REUSED;
    }
    switch (entry->state) {
    case STATE_IN_FLIGHT:
        return KEY_IN_FLIGHT;
    case STATE_SETTLED:
        return KEY_SETTLED;
    case STATE_DOUBTFUL:
        TAILQ_REMOVE(&window->by_age, entry, by_age);
        window->remembered--;
        entry->state = STATE_IN_FLIGHT;
        entry->was_doubtful = true;
        return KEY_NEW;
    }
    return KEY_REUSED;
}

enum outcome key_window_claim(struct key_window *window, struct save *save,
                              enum key_verdict *ret_verdict, enum save_outcome *ret_outcome,
                              struct error *ret_error)
{
    struct key_entry wanted = {.key = {save->message_id, save->message_id_length},
                               .state = STATE_IN_FLIGHT};
    enum outcome outcome =
        digest_of((struct slice){save->body, save->body_length}, wanted.digest, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    struct key_entry *entry = NULL;
    struct key_entry *const *found = tfind(&wanted, &window->tree, compare);
    if (found == NULL) {
        outcome = add(window, &wanted, &entry, ret_error);
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
        *ret_verdict = KEY_NEW;
    } else {
        entry = *found;
        *ret_verdict = judge(window, entry, wanted.digest);
        *ret_outcome = entry->outcome;
    }
    save->key = *ret_verdict == KEY_NEW || *ret_verdict == KEY_IN_FLIGHT ? entry : NULL;
    return OUTCOME_OK;
}

void key_window_wait(struct save *save)
{
    handover_list_append(&save->key->waiting, &save->node);
}

static void remember(struct key_window *window, struct key_entry *entry, enum key_state state)
{
    entry->state = state;
    TAILQ_INSERT_TAIL(&window->by_age, entry, by_age);
    window->remembered++;
    if (window->remembered > window->capacity) {
        forget_oldest(window);
    }
}

struct handover_list key_window_settle(struct key_window *window, struct save *save)
{
    struct key_entry *entry = save->key;
    struct handover_list waiting = entry->waiting;
    entry->waiting = (struct handover_list){NULL, NULL};
    if (entry->was_doubtful && save->outcome != SAVE_CONFIRMED && save->outcome != SAVE_STORED) {
        save->outcome = SAVE_UNKNOWN;
    }
    entry->outcome = save->outcome;
    switch (save->outcome) {
    case SAVE_CONFIRMED:
    case SAVE_STORED:
        remember(window, entry, STATE_SETTLED);
        break;
    case SAVE_UNKNOWN:
        remember(window, entry, STATE_DOUBTFUL);
        break;
    case SAVE_DISCONNECTED:
    case SAVE_BLOCKED:
    case SAVE_NACKED:
    case SAVE_UNROUTABLE:
    case SAVE_OVERLOADED:
    case SAVE_DRAINING:
    case SAVE_OUTBOX_FULL:
    case SAVE_OUTCOMES:
        forget(window, entry); /* surely not saved: the next one is a first one */
        break;
    }
    return waiting;
}
