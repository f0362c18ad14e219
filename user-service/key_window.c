/* A tree by key, a queue by age of those that are not in flight, and the entries without a key. */
#include "user-service/key_window.h"

#include "common/base/json_canonical.h"
#include "common/base/transitions.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

enum {
    TYPE_BYTES = 64, /* a type's name and two separators are shorter */
    /* A claim forgets so many old keys at the most: many may have become old together. */
    FORGOTTEN_AT_ONCE = 16,
};

enum key_state { STATE_IN_FLIGHT, STATE_SETTLED, STATE_DOUBTFUL };

/* A settled key stays settled. */
static const uint8_t transitions[] = {
    [STATE_IN_FLIGHT] = STATE_BIT(STATE_SETTLED) | STATE_BIT(STATE_DOUBTFUL),
    [STATE_DOUBTFUL] = STATE_BIT(STATE_IN_FLIGHT),
};

struct key_entry {
    struct key_change in_file; /* its place, and what it is to hold; the order 0: unused */
    enum key_state state;
    bool is_handed_out; /* to be written */
    bool was_doubtful;  /* an earlier attempt may have been saved */
    struct work_list waiting;
    TAILQ_ENTRY(key_entry) link; /* by_age or unused */
};

static int compare(const void *left, const void *right)
{
    return memcmp(((const struct key_entry *)left)->in_file.record.key,
                  ((const struct key_entry *)right)->in_file.record.key, DIGEST_BYTES);
}

void key_window_init(struct key_window *window, const struct key_window_options *options)
{
    *window = (struct key_window){.options = *options};
    TAILQ_INIT(&window->by_age);
    TAILQ_INIT(&window->unused);
}

uint32_t key_window_places_max(const struct key_window *window)
{
    return (uint32_t)(window->options.capacity + window->options.in_flight_max);
}

/* Its place is free for the next one. */
static void forget(struct key_window *window, struct key_entry *entry)
{
    (void)tdelete(entry, &window->tree, compare);
    entry->in_file.record.order = 0;
    TAILQ_INSERT_HEAD(&window->unused, entry, link);
}

static void forget_remembered(struct key_window *window, struct key_entry *entry)
{
    TAILQ_REMOVE(&window->by_age, entry, link);
    window->remembered--;
    forget(window, entry);
}

void key_window_done(struct key_window *window)
{
    struct key_entry *entry = NULL;
    while ((entry = TAILQ_FIRST(&window->by_age)) != NULL) {
        forget_remembered(window, entry);
    }
    while ((entry = TAILQ_FIRST(&window->unused)) != NULL) {
        TAILQ_REMOVE(&window->unused, entry, link);
        free(entry);
    }
}

static bool is_old(const struct key_window *window, const struct key_record *record,
                   uint64_t now_ms)
{
    return now_ms > record->at_ms && now_ms - record->at_ms > window->options.retention_ms;
}

/* What was tried again stands behind younger ones. It is met when it is asked for. */
static void forget_old(struct key_window *window, uint64_t now_ms)
{
    struct key_entry *oldest = NULL;
    for (int i = 0; i < FORGOTTEN_AT_ONCE && (oldest = TAILQ_FIRST(&window->by_age)) != NULL &&
                    is_old(window, &oldest->in_file.record, now_ms);
         i++) {
        forget_remembered(window, oldest);
    }
}

/* NULL: no memory. */
static struct key_entry *new_entry(struct key_window *window, uint32_t place)
{
    struct key_entry *entry = calloc(1, sizeof(*entry));
    if (entry != NULL) {
        entry->in_file.place = place;
        window->places = place < window->places ? window->places : place + 1;
    }
    return entry;
}

/* The one that was forgotten last, so that the file stays short. NULL: no memory, or more are in
 * flight than were said to be at the most. */
static struct key_entry *take_unused(struct key_window *window)
{
    struct key_entry *entry = TAILQ_FIRST(&window->unused);
    if (entry != NULL) {
        TAILQ_REMOVE(&window->unused, entry, link);
        return entry;
    }
    return window->places < key_window_places_max(window) ? new_entry(window, window->places)
                                                          : NULL;
}

/* Enters it into the tree as in flight. On failure it is unused. */
static enum outcome enter(struct key_window *window, struct key_entry *entry,
                          const struct key_record *record, struct error *ret_error)
{
    entry->in_file.record = *record;
    entry->state = STATE_IN_FLIGHT;
    entry->is_handed_out = entry->was_doubtful = false;
    STAILQ_INIT(&entry->waiting);
    if (tsearch(entry, &window->tree, compare) == NULL) {
        entry->in_file.record.order = 0;
        TAILQ_INSERT_HEAD(&window->unused, entry, link);
        return error_set(ret_error, OUTCOME_BUSY, "no memory for an Idempotency-Key");
    }
    return OUTCOME_OK;
}

static enum outcome add(struct key_window *window, struct key_record *wanted,
                        struct key_entry **ret_entry, struct error *ret_error)
{
    struct key_entry *entry = take_unused(window);
    if (entry == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for an Idempotency-Key");
    }
    wanted->order = ++window->last_order;
    *ret_entry = entry;
    return enter(window, entry, wanted, ret_error);
}

/* The only way that a state changes. All but those in flight are in the queue by age. */
static void set_state(struct key_window *window, struct key_entry *entry, enum key_state state)
{
    STATE_SET(transitions, entry->state, state);
    if (state == STATE_IN_FLIGHT) {
        TAILQ_REMOVE(&window->by_age, entry, link);
        window->remembered--;
        return;
    }
    TAILQ_INSERT_TAIL(&window->by_age, entry, link);
    window->remembered++;
    if (window->remembered > window->options.capacity) {
        forget_remembered(window, TAILQ_FIRST(&window->by_age));
    }
}

/* An older record of the same key was forgotten, and its place has not been used since. */
static void forget_same(struct key_window *window, const struct key_entry *entry)
{
    struct key_entry *const *found = tfind(entry, &window->tree, compare);
    if (found != NULL) {
        forget_remembered(window, *found);
    }
}

enum outcome key_window_restore(struct key_window *window, const struct key_change *content,
                                uint64_t now_ms, struct error *ret_error)
{
    struct key_entry *entry = new_entry(window, content->place);
    if (entry == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the Idempotency-Keys");
    }
    const struct key_record *record = &content->record;
    if (record->order > window->last_order) {
        window->last_order = record->order;
    }
    if (record->order != 0 && record->at_ms > window->restored_ms) {
        window->restored_ms = record->at_ms;
    }
    if (record->order == 0 || is_old(window, record, now_ms)) {
        TAILQ_INSERT_TAIL(&window->unused, entry, link);
        return OUTCOME_OK;
    }
    entry->in_file.record = *record;
    forget_same(window, entry);
    enum outcome outcome = enter(window, entry, record, ret_error);
    if (outcome == OUTCOME_OK) {
        entry->is_handed_out = true;
        set_state(window, entry,
                  record->outcome == KEY_OUTCOME_UNKNOWN ? STATE_DOUBTFUL : STATE_SETTLED);
    }
    return outcome;
}

static enum key_verdict verdict_of(struct key_window *window, struct key_entry *entry,
                                   const struct key_record *wanted)
{
    if (memcmp(entry->in_file.record.value, wanted->value, DIGEST_BYTES) != 0) {
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

/* A client that builds its request anew may write the same value in another way. The key is in the
 * digest so that nobody who reads the file can guess the value of a body alone. */
static enum outcome digest_value(const struct event *event, struct slice key,
                                 unsigned char ret_digest[DIGEST_BYTES], struct error *ret_error)
{
    struct buffer text;
    buffer_init(&text, key.length + TYPE_BYTES + JSON_CANONICAL_GROWTH * event->body_length);
    buffer_append_slice(&text, key);
    buffer_append_byte(&text, '\0');
    buffer_append_slice(&text, event_type_name(event->type));
    buffer_append_byte(&text, '\0');
    bool is_whole = json_canonical_append((struct slice){event->body, event->body_length}, &text) &&
                    !text.failed;
    enum outcome outcome = is_whole ? digest_of(buffer_slice(&text), ret_digest, ret_error)
                                    : error_set(ret_error, OUTCOME_BUSY, "no memory for a value");
    buffer_done(&text);
    return outcome;
}

static enum outcome digest_request(const struct event *event, struct key_record *ret_wanted,
                                   struct error *ret_error)
{
    struct slice key = {event->message_id, event->message_id_length};
    *ret_wanted = (struct key_record){.at_ms = event->occurred_at_ms};
    enum outcome outcome = digest_of(key, ret_wanted->key, ret_error);
    return outcome == OUTCOME_OK ? digest_value(event, key, ret_wanted->value, ret_error) : outcome;
}

/* Returns NULL where the key is not known, or not any more. */
static struct key_entry *find(struct key_window *window, const struct key_record *wanted)
{
    const struct key_entry like = {.in_file.record = *wanted};
    struct key_entry *const *found = tfind(&like, &window->tree, compare);
    if (found == NULL) {
        return NULL;
    }
    struct key_entry *entry = *found;
    if (entry->state != STATE_IN_FLIGHT && is_old(window, &entry->in_file.record, wanted->at_ms)) {
        forget_remembered(window, entry);
        return NULL;
    }
    return entry;
}

static enum event_outcome outcome_of(const struct key_entry *entry)
{
    return entry->in_file.record.outcome == KEY_OUTCOME_STORED ? EVENT_STORED : EVENT_CONFIRMED;
}

enum outcome key_window_claim(struct key_window *window, struct event *event,
                              enum key_verdict *ret_verdict, enum event_outcome *ret_outcome,
                              struct error *ret_error)
{
    struct key_record wanted;
    enum outcome outcome = digest_request(event, &wanted, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    forget_old(window, wanted.at_ms);
    struct key_entry *entry = find(window, &wanted);
    if (entry == NULL) {
        outcome = add(window, &wanted, &entry, ret_error);
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
        *ret_verdict = KEY_NEW;
    } else {
        *ret_verdict = verdict_of(window, entry, &wanted);
        if (*ret_verdict == KEY_SETTLED) {
            *ret_outcome = outcome_of(entry);
        }
    }
    event->key = *ret_verdict == KEY_NEW || *ret_verdict == KEY_IN_FLIGHT ? entry : NULL;
    return OUTCOME_OK;
}

const struct key_change *key_window_to_write(struct event *event)
{
    bool is_new = !event->key->is_handed_out;
    event->key->is_handed_out = true;
    return is_new ? &event->key->in_file : NULL;
}

uint64_t key_window_order(const struct event *event)
{
    return event->key->in_file.record.order;
}

void key_window_wait(struct event *event)
{
    STAILQ_INSERT_TAIL(&event->key->waiting, &event->item, next);
}

bool key_window_settle(struct key_window *window, struct event *event,
                       struct work_list *ret_waiting, struct key_change *ret_change)
{
    struct key_entry *entry = event->key;
    struct key_record *record = &entry->in_file.record;
    STAILQ_INIT(ret_waiting);
    STAILQ_CONCAT(ret_waiting, &entry->waiting);
    bool is_saved = event->outcome == EVENT_CONFIRMED || event->outcome == EVENT_STORED;
    if (entry->was_doubtful && !is_saved) {
        event->outcome = EVENT_UNKNOWN;
    }
    if (event->outcome == EVENT_UNKNOWN) {
        set_state(window, entry, STATE_DOUBTFUL);
        return false; /* as it was written */
    }
    if (is_saved) {
        record->outcome =
            event->outcome == EVENT_STORED ? KEY_OUTCOME_STORED : KEY_OUTCOME_CONFIRMED;
        *ret_change = entry->in_file; /* it may be forgotten at once */
        set_state(window, entry, STATE_SETTLED);
        return true;
    }
    /* Surely not saved: the next one is a first one. */
    *ret_change = (struct key_change){.place = entry->in_file.place};
    forget(window, entry);
    return event->outcome != EVENT_KEYS_UNAVAILABLE; /* of that the key writer is aware */
}
