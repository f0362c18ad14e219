/* One function for each phase that all events have. */
#include "user-service/acceptor.h"

#include "common/base/clock.h"
#include "common/base/traceparent.h"

#include <stdlib.h>

enum {
    /* After the confirm timeout the outbox has so long for its commit: a disk may hang. */
    OUTBOX_PATIENCE_MS = 5000,
    REFUSED_BETWEEN_LOOKS = 16,
};

void acceptor_init(struct acceptor *acceptor, const struct settings *settings,
                   struct publisher *publisher, struct key_writer *key_writer)
{
    *acceptor =
        (struct acceptor){.settings = settings, .publisher = publisher, .key_writer = key_writer};
    STAILQ_INIT(&acceptor->outgoing);
    STAILQ_INIT(&acceptor->to_write);
    TAILQ_INIT(&acceptor->parked);
    TAILQ_INIT(&acceptor->unsynced);
    admission_init(&acceptor->admission, (size_t)settings->max_in_flight,
                   (size_t)settings->max_in_flight_bytes,
                   (uint64_t)settings->overload_latency_ms * 1000);
    const struct key_window_options keys = {
        .capacity = (size_t)settings->idempotency_keys,
        .in_flight_max = (size_t)settings->max_in_flight,
        .retention_ms = (uint64_t)settings->idempotency_retention_ms,
    };
    key_window_init(&acceptor->keys, &keys);
}

enum outcome acceptor_restore(struct acceptor *acceptor, struct error *ret_error)
{
    if (acceptor->key_writer == NULL) {
        return OUTCOME_OK;
    }
    enum outcome outcome = key_writer_open(acceptor->key_writer, &acceptor->keys, ret_error);
    event_clock_continue(&acceptor->clock, acceptor->keys.restored_ms, clock_wall_ms());
    return outcome;
}

void acceptor_done(struct acceptor *acceptor)
{
    acceptor_submit(acceptor);         /* what a disk held back until the threads had ended */
    acceptor_take_completed(acceptor); /* those that were answered before their outcome came */
    acceptor_submit(acceptor);         /* threads that have ended keep nothing of it */
    key_window_done(&acceptor->keys);
}

/* A turn of the loop takes long when thousands of connections are refused in it: where there is no
 * room, now and then what was admitted goes to the publisher at once, and what is complete makes
 * room. Else a turn would accept no more than the limit, and its length would be taken for the
 * broker's latency. */
bool acceptor_admits(struct acceptor *acceptor, const struct asker *asker)
{
    size_t bytes = http_request_body(asker->request).length;
    if (admission_has_room(&acceptor->admission, bytes)) {
        return true;
    }
    if (acceptor->refused_since_start++ % REFUSED_BETWEEN_LOOKS == 0) {
        acceptor_submit(acceptor);
        acceptor_take_completed(acceptor);
        if (admission_has_room(&acceptor->admission, bytes)) {
            return true;
        }
    }
    if (admission_lacks_bytes(&acceptor->admission)) {
        reply_too_many_bytes(asker);
    } else {
        reply_refused(asker, EVENT_OVERLOADED);
    }
    return false;
}

/* What follows an event of another type is newer than it, also within a millisecond: where times
 * are equal the message ids decide, and a client may have chosen them. */
static uint64_t choose_occurred_at_ms(struct acceptor *acceptor, enum event_type type)
{
    bool of_another_type = type != acceptor->last_type;
    acceptor->last_type = type;
    return event_clock_next(&acceptor->clock, clock_wall_ms(), of_another_type);
}

static void take_traceparent(struct event *event)
{
    struct slice traceparent = http_request_header(event->asker.request, "traceparent");
    if (traceparent_is_valid(traceparent)) {
        memcpy(event->traceparent, traceparent.data, traceparent.length);
        event->traceparent[traceparent.length] = '\0';
    }
}

/* Writes the message id: the client's key, or a new one. */
static bool choose_message_id(struct acceptor *acceptor, struct event *event)
{
    struct error error;
    size_t count = http_request_header_count(event->asker.request, "Idempotency-Key");
    if (count == 0) {
        if (message_id_generate(&acceptor->ids, event->occurred_at_ms, event->message_id, &error) !=
            OUTCOME_OK) {
            reply_refused(&event->asker, EVENT_NO_ID);
            return false;
        }
        event->message_id_length = MESSAGE_ID_TEXT_BYTES - 1;
        return true;
    }
    struct slice key = http_request_header(event->asker.request, "Idempotency-Key");
    if (count > 1 || !user_event_id_is_valid(key)) {
        reply_malformed(
            &event->asker, "invalid-idempotency-key",
            "Idempotency-Key must be one header of 1 to 128 printable ASCII characters");
        return false;
    }
    memcpy(event->message_id, key.data, key.length);
    event->message_id[key.length] = '\0';
    event->message_id_length = key.length;
    event->has_key = true;
    return true;
}

struct event *acceptor_begin(struct acceptor *acceptor, const struct asker *asker,
                             enum event_type type)
{
    struct event *event = calloc(1, sizeof(*event));
    if (event == NULL) {
        reply_refused(asker, EVENT_NO_MEMORY);
        return NULL;
    }
    event->type = type;
    event->asker = *asker;
    event->occurred_at_ms = choose_occurred_at_ms(acceptor, type);
    take_traceparent(event);
    if (!choose_message_id(acceptor, event)) {
        event_free(event);
        return NULL;
    }
    return event;
}

/* From here on the request is the event's: it is answered when the publisher gives it back, or that
 * with the same key. */
static void park(struct acceptor *acceptor, struct event *event)
{
    event->accepted_us = clock_monotonic_us();
    event->deadline_ms =
        event->accepted_us / 1000 + (uint64_t)acceptor->settings->confirm_timeout_ms;
    admission_enter(&acceptor->admission, event->body_length);
    http_request_defer(event->asker.request);
    TAILQ_INSERT_TAIL(&acceptor->parked, event, parked);
}

static void accept_new(struct acceptor *acceptor, struct event *event)
{
    park(acceptor, event);
    STAILQ_INSERT_TAIL(&acceptor->outgoing, &event->item, next);
}

/* Half of what may be under way now, so that a disk that hangs leaves the other half to requests
 * without a key. One of any size may always wait. */
static bool is_writer_behind(const struct acceptor *acceptor, const struct event *event)
{
    const struct admission *admission = &acceptor->admission;
    size_t events = key_writer_pending(acceptor->key_writer);
    size_t bytes = key_writer_pending_bytes(acceptor->key_writer) + event->body_length;
    return events >= (admission->limit + 1) / 2 || (events > 0 && bytes > admission->bytes_max / 2);
}

/* Nobody waits for what the file is to hold then: without it the next process only knows less. */
static void settle_key(struct acceptor *acceptor, struct event *event,
                       struct work_list *ret_waiting)
{
    struct key_change change;
    bool is_changed = key_window_settle(&acceptor->keys, event, ret_waiting, &change);
    if (is_changed && acceptor->key_writer != NULL) {
        (void)!key_writer_add(acceptor->key_writer, &acceptor->to_write, &change, NULL, NULL);
    }
}

/* Nothing can wait for it yet, and the writer has not heard of its key: to have the file forget it
 * would be one more change to keep for each request that is refused. */
static void refuse_claimed(struct acceptor *acceptor, struct event *event,
                           enum event_outcome outcome)
{
    struct work_list waiting;
    struct key_change unwritten;
    event->outcome = outcome;
    (void)!key_window_settle(&acceptor->keys, event, &waiting, &unwritten);
    reply_to_event(event);
    event_free(event);
}

/* With a new key it is published when the key is in the file. */
static void accept_claimed(struct acceptor *acceptor, struct event *event)
{
    const struct key_change *change =
        acceptor->key_writer != NULL ? key_window_to_write(event) : NULL;
    if (change != NULL && is_writer_behind(acceptor, event)) {
        bool goes_on = worker_makes_progress(key_writer_worker(acceptor->key_writer), NULL);
        refuse_claimed(acceptor, event, goes_on ? EVENT_OVERLOADED : EVENT_KEYS_UNAVAILABLE);
        return;
    }
    if (change != NULL && key_writer_add(acceptor->key_writer, &acceptor->to_write, change, event,
                                         NULL) != OUTCOME_OK) {
        refuse_claimed(acceptor, event, EVENT_NO_MEMORY);
        return;
    }
    acceptor->claimed++;
    park(acceptor, event);
    if (change == NULL) {
        STAILQ_INSERT_TAIL(&acceptor->outgoing, &event->item, next);
    }
}

static void accept_with_key(struct acceptor *acceptor, struct event *event)
{
    enum key_verdict verdict = KEY_NEW;
    struct error error;
    if (key_window_claim(&acceptor->keys, event, &verdict, &event->outcome, &error) != OUTCOME_OK) {
        reply_refused(&event->asker, EVENT_NO_MEMORY);
        event_free(event);
        return;
    }
    switch (verdict) {
    case KEY_NEW:
        accept_claimed(acceptor, event);
        return;
    case KEY_IN_FLIGHT:
        metric_add(&acceptor->repeated, 1);
        park(acceptor, event);
        key_window_wait(event);
        return;
    case KEY_SETTLED:
        metric_add(&acceptor->repeated, 1);
        reply_to_event(event);
        break;
    case KEY_REUSED:
        reply_key_reused(&event->asker);
        break;
    }
    event_free(event);
}

void acceptor_accept(struct acceptor *acceptor, struct event *event)
{
    if (event->has_key) {
        accept_with_key(acceptor, event);
    } else {
        accept_new(acceptor, event);
    }
}

void acceptor_submit(struct acceptor *acceptor)
{
    bool has_claimed = acceptor->claimed > 0 || !STAILQ_EMPTY(&acceptor->to_write);
    if (has_claimed && acceptor->key_writer != NULL) {
        key_writer_submit(acceptor->key_writer, &acceptor->to_write);
    }
    publisher_submit(acceptor->publisher, &acceptor->outgoing);
}

/* What was late, or lost with its connection, says nothing about how fast events are. */
static void record_latency(struct acceptor *acceptor, const struct event *event, uint64_t now_us)
{
    if (event->outcome == EVENT_CONFIRMED ||
        (event->outcome == EVENT_STORED && !event->published)) {
        admission_record_confirm(&acceptor->admission, now_us - event->accepted_us, now_us);
    }
}

static void finish(struct acceptor *acceptor, struct event *event)
{
    admission_leave(&acceptor->admission, event->body_length);
    if (event->asker.request != NULL) {
        TAILQ_REMOVE(&acceptor->parked, event, parked);
        reply_to_event(event);
    }
    event_free(event);
}

/* What becomes of it is still recorded, for its key and for the limits, when it is known. */
void acceptor_give_up_late(struct acceptor *acceptor)
{
    struct event *event = NULL;
    uint64_t now_ms = clock_monotonic_ms();
    while ((event = TAILQ_FIRST(&acceptor->parked)) != NULL &&
           event->deadline_ms + OUTBOX_PATIENCE_MS < now_ms) {
        TAILQ_REMOVE(&acceptor->parked, event, parked);
        reply_to_unknown_event(event);
        event->asker.request = NULL;
    }
}

/* Those that came with its key while it was under way become what it has become. They were not sent
 * themselves, and may have waited for the disk: that says nothing about how fast events are. */
static void finish_claimed(struct acceptor *acceptor, struct event *event)
{
    struct work_list waiting;
    struct work_item *item = NULL;
    settle_key(acceptor, event, &waiting);
    while ((item = work_list_take(&waiting)) != NULL) {
        struct event *repeated = (struct event *)item;
        repeated->outcome = event->outcome;
        repeated->at_broker = event->at_broker;
        repeated->published = event->published;
        finish(acceptor, repeated);
    }
    acceptor->claimed--;
    finish(acceptor, event);
}

/* Whether the client is told of the outcome only when the key outlives the machine. Otherwise the
 * key could come with another user then, and be answered with success too. What was not saved needs
 * no key. */
static bool awaits_sync(const struct acceptor *acceptor, struct event *event)
{
    bool may_be_saved = event->outcome == EVENT_CONFIRMED || event->outcome == EVENT_STORED ||
                        event->outcome == EVENT_UNKNOWN;
    if (acceptor->key_writer == NULL || !may_be_saved) {
        return false;
    }
    enum key_sync sync = key_writer_sync_of(acceptor->key_writer, key_window_order(event));
    if (sync == KEY_NOT_SYNCED) {
        event->outcome = EVENT_UNKNOWN;
    }
    return sync == KEY_SYNC_UNDER_WAY;
}

static void finish_synced(struct acceptor *acceptor)
{
    struct event *next = NULL;
    for (struct event *event = TAILQ_FIRST(&acceptor->unsynced); event != NULL; event = next) {
        next = TAILQ_NEXT(event, unsynced);
        if (!awaits_sync(acceptor, event)) {
            TAILQ_REMOVE(&acceptor->unsynced, event, unsynced);
            finish_claimed(acceptor, event);
        }
    }
}

void acceptor_take_completed(struct acceptor *acceptor)
{
    uint64_t now_us = clock_monotonic_us();
    struct work_list completed;
    struct work_item *item = NULL;
    worker_take_all(publisher_completed(acceptor->publisher), &completed);
    finish_synced(acceptor);
    while ((item = work_list_take(&completed)) != NULL) {
        struct event *event = (struct event *)item;
        record_latency(acceptor, event, now_us);
        if (event->key == NULL) {
            finish(acceptor, event);
        } else if (awaits_sync(acceptor, event)) {
            TAILQ_INSERT_TAIL(&acceptor->unsynced, event, unsynced);
        } else {
            finish_claimed(acceptor, event);
        }
    }
}

#define ROW(...) METRIC_ROW(struct acceptor, __VA_ARGS__)
METRIC_TABLE(append_metrics, struct acceptor, ACCEPTOR_METRICS(ROW))

void acceptor_append_metrics(struct acceptor *acceptor, struct buffer *text)
{
    metric_set(&acceptor->limit, (int64_t)acceptor->admission.limit);
    metric_set(&acceptor->remembered, (int64_t)acceptor->keys.remembered);
    append_metrics(text, acceptor);
    if (acceptor->key_writer != NULL) {
        key_writer_append_metrics(acceptor->key_writer, text);
    }
}
