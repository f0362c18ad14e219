/* A tree by key, and a queue by age of those that are not in flight. */
#include "user-service/key_window.h"

#include "common/base/json_canonical.h"
#include "common/base/transitions.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

enum { CANONICAL_GROWTH = 2 }; /* a comma behind each element */

enum key_state { STATE_IN_FLIGHT, STATE_SETTLED, STATE_DOUBTFUL };

/* A settled key stays settled. */
static const uint8_t transitions[] = {
    [STATE_IN_FLIGHT] = STATE_BIT(STATE_SETTLED) | STATE_BIT(STATE_DOUBTFUL),
    [STATE_DOUBTFUL] = STATE_BIT(STATE_IN_FLIGHT),
};

struct key_entry {
    struct slice key; /* its bytes follow the entry */
    enum event_type type;
    unsigned char digest[DIGEST_BYTES]; /* of the body's value */
    enum key_state state;
    bool was_doubtful; /* an earlier attempt may have been saved */
    enum event_outcome outcome;
    struct work_list waiting;
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
        STAILQ_INIT(&entry->waiting);
        entry->key.data = memcpy(entry + 1, wanted->key.data, wanted->key.length);
    }
    if (entry == NULL || tsearch(entry, &window->tree, compare) == NULL) {
        free(entry);
        return error_set(ret_error, OUTCOME_BUSY, "no memory for an Idempotency-Key");
    }
    *ret_entry = entry;
    return OUTCOME_OK;
}

/* The only way that a state changes. All but those in flight are in the queue by age. */
static void set_state(struct key_window *window, struct key_entry *entry, enum key_state state)
{
    STATE_SET(transitions, entry->state, state);
    if (state == STATE_IN_FLIGHT) {
        TAILQ_REMOVE(&window->by_age, entry, by_age);
        window->remembered--;
        return;
    }
    TAILQ_INSERT_TAIL(&window->by_age, entry, by_age);
    window->remembered++;
    if (window->remembered > window->capacity) {
        forget_oldest(window);
    }
}

static enum key_verdict verdict_of(struct key_window *window, struct key_entry *entry,
                                   const struct key_entry *wanted)
{
    if (entry->type != wanted->type || memcmp(entry->digest, wanted->digest, DIGEST_BYTES) != 0) {
        return KEY_REUSED;
    }
    switch (entry->state) {
    case STATE_IN_FLIGHT:
        return KEY_IN_FLIGHT;
    case STATE_SETTLED:
        return KEY_SETTLED;
    case STATE_DOUBTFUL:
        set_state(window, entry, STATE_IN_FLIGHT);
        entry->was_doubtful = true;
        return KEY_NEW;
    }
    return KEY_REUSED;
}

/* A client that builds its request anew may write the same value in another way. */
static enum outcome digest_value(struct slice body, unsigned char ret_digest[DIGEST_BYTES],
                                 struct error *ret_error)
{
    struct buffer text;
    buffer_init(&text, CANONICAL_GROWTH * body.length);
    enum outcome outcome = json_canonical_append(body, &text)
                               ? digest_of(buffer_slice(&text), ret_digest, ret_error)
                               : error_set(ret_error, OUTCOME_BUSY, "no memory for a value");
    buffer_done(&text);
    return outcome;
}

enum outcome key_window_claim(struct key_window *window, struct event *event,
                              enum key_verdict *ret_verdict, enum event_outcome *ret_outcome,
                              struct error *ret_error)
{
    struct key_entry wanted = {.key = {event->message_id, event->message_id_length},
                               .type = event->type,
                               .state = STATE_IN_FLIGHT};
    enum outcome outcome =
        digest_value((struct slice){event->body, event->body_length}, wanted.digest, ret_error);
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
        *ret_verdict = verdict_of(window, entry, &wanted);
        *ret_outcome = entry->outcome;
    }
    event->key = *ret_verdict == KEY_NEW || *ret_verdict == KEY_IN_FLIGHT ? entry : NULL;
    return OUTCOME_OK;
}

void key_window_wait(struct event *event)
{
    STAILQ_INSERT_TAIL(&event->key->waiting, &event->item, next);
}

void key_window_settle(struct key_window *window, struct event *event,
                       struct work_list *ret_waiting)
{
    struct key_entry *entry = event->key;
    STAILQ_INIT(ret_waiting);
    STAILQ_CONCAT(ret_waiting, &entry->waiting);
    if (entry->was_doubtful && event->outcome != EVENT_CONFIRMED &&
        event->outcome != EVENT_STORED) {
        event->outcome = EVENT_UNKNOWN;
    }
    entry->outcome = event->outcome;
    switch (event->outcome) {
    case EVENT_CONFIRMED:
    case EVENT_STORED:
        set_state(window, entry, STATE_SETTLED);
        break;
    case EVENT_UNKNOWN:
        set_state(window, entry, STATE_DOUBTFUL);
        break;
    case EVENT_DISCONNECTED:
    case EVENT_BLOCKED:
    case EVENT_NACKED:
    case EVENT_UNROUTABLE:
    case EVENT_OVERLOADED:
    case EVENT_DRAINING:
    case EVENT_OUTBOX_FULL:
    case EVENT_OUTCOMES:
        forget(window, entry); /* surely not saved: the next one is a first one */
        break;
    }
}
