/* What becomes of each event: waiting, in the window, settled, expired. */
#include "user-service/publisher_internal.h"

#include "user-service/log_events.h"

#include "common/base/clock.h"

#include <assert.h>

enum {
    /* A tenth of the confirm timeout, and at least so long: then the outbox takes what comes. */
    LATE_CONFIRM_MS_MIN = 500,
    /* Twice the confirm timeout, and at least so long: then the connection is given up. */
    LOST_CONFIRM_MS_MIN = 10000,
};

/* Every event leaves here, once. */
static void complete(struct publisher *publisher, struct event *event, enum event_outcome outcome)
{
    if (outcome != EVENT_CONFIRMED) {
        log_at(outcome == EVENT_UNKNOWN ? &event_save_unknown : &event_save_refused,
               log_string("message_id", event->message_id),
               log_string("outcome", event_outcome_name(outcome)));
    }
    event->outcome = outcome;
    bool goes_to_outbox =
        event->outbox_sequence != 0 || (publisher->outbox != NULL && outcome != EVENT_CONFIRMED);
    struct work_list *list = goes_to_outbox ? &publisher->to_outbox : &publisher->done;
    STAILQ_INSERT_TAIL(list, &event->item, next);
}

static struct event_queue *queue_of(struct publisher *publisher, const struct event *event)
{
    return event->outbox_sequence != 0 ? &publisher->forwarded : &publisher->owned;
}

static void complete_owned(struct publisher *publisher, struct event *event,
                           enum event_outcome outcome)
{
    TAILQ_REMOVE(queue_of(publisher, event), event, in_order);
    complete(publisher, event, outcome);
}

/* Most come in this order. One whose key had to be written first is overtaken by others. */
static void insert_by_deadline(struct event_queue *queue, struct event *event)
{
    struct event *before = TAILQ_LAST(queue, event_queue);
    while (before != NULL && before->deadline_ms > event->deadline_ms) {
        before = TAILQ_PREV(before, event_queue, in_order);
    }
    if (before == NULL) {
        TAILQ_INSERT_HEAD(queue, event, in_order);
    } else {
        TAILQ_INSERT_AFTER(queue, before, event, in_order);
    }
}

void publisher_accept(struct publisher *publisher, struct event *event)
{
    if (worker_is_stopping(&publisher->worker)) {
        complete(publisher, event, EVENT_DRAINING);
    } else if (publisher->confirms.broker == NULL && publisher->is_first_try_over) {
        complete(publisher, event, EVENT_DISCONNECTED);
    } else if (publisher->confirms.blocked || publisher->late) {
        complete(publisher, event, EVENT_BLOCKED);
    } else {
        insert_by_deadline(queue_of(publisher, event), event);
        TAILQ_INSERT_TAIL(&publisher->waiting, event, waiting);
    }
}

enum outcome publisher_send_waiting(struct publisher *publisher, struct error *ret_error)
{
    const struct connector_options *options = &publisher->confirms.options.connection;
    /* To clear it would be a part of what each turn costs. */
    struct shard_name name __attribute__((uninitialized));
    struct broker_route route = connector_route(options, 0, &name);
    struct event *event = NULL;
    while (confirming_publisher_has_room(&publisher->confirms) &&
           (event = TAILQ_FIRST(&publisher->waiting)) != NULL) {
        struct message message;
        user_event_encode(event_type_name(event->type),
                          (struct slice){event->body, event->body_length},
                          (struct slice){event->message_id, event->message_id_length},
                          event->occurred_at_ms, slice_of(event->traceparent), &message);
        if (options->shards > 1) {
            route = connector_route(options, event->shard, &name);
        }
        enum outcome outcome =
            broker_append_publish(publisher->confirms.broker, &route, &message, ret_error);
        if (outcome == OUTCOME_BUSY || outcome == OUTCOME_INVALID) {
            /* Not sent for want of memory, and the client is told. It always fits into AMQP's
             * limits, because its id and the route were checked before. */
            TAILQ_REMOVE(&publisher->waiting, event, waiting);
            complete_owned(publisher, event, event->published ? EVENT_UNKNOWN : EVENT_NO_MEMORY);
            continue;
        }
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
        TAILQ_REMOVE(&publisher->waiting, event, waiting);
        metric_add(&publisher->metrics.republished, event->published ? 1 : 0);
        event->published_before = event->published;
        event->published = true;
        event->tag = confirm_window_add(&publisher->confirms.window, event, message.message_id,
                                        publisher->now_ms);
    }
    return OUTCOME_OK;
}

/* What the broker refuses now it may have taken over the connection before. */
static void refuse(struct publisher *publisher, struct event *event, enum event_outcome outcome)
{
    complete_owned(publisher, event, event->published_before ? EVENT_UNKNOWN : outcome);
}

void publisher_settle(void *item, enum confirm_result result, void *context)
{
    struct publisher *publisher = context;
    struct event *event = item;
    if (result == CONFIRM_CONFIRMED) {
        publisher->refusal.text[0] = '\0';
    } else if (result != CONFIRM_LOST) {
        publisher->refused_ms = publisher->now_ms;
    }
    if (event == NULL) {
        metric_add(&publisher->metrics.late_confirms, result == CONFIRM_CONFIRMED ? 1 : 0);
        return;
    }
    switch (result) {
    case CONFIRM_CONFIRMED:
        metric_observe_us(&publisher->metrics.confirm_latency,
                          clock_monotonic_us() - event->accepted_us);
        complete_owned(publisher, event, EVENT_CONFIRMED);
        break;
    case CONFIRM_REFUSED:
        refuse(publisher, event, EVENT_NACKED);
        break;
    case CONFIRM_RETURNED:
        refuse(publisher, event, EVENT_UNROUTABLE);
        break;
    case CONFIRM_MAYBE_RETURNED:
        complete_owned(publisher, event, EVENT_UNKNOWN);
        break;
    case CONFIRM_LOST:
        event->tag = 0;
        if (publisher->outbox != NULL) {
            complete_owned(publisher, event, EVENT_UNKNOWN);
        } else {
            TAILQ_INSERT_TAIL(&publisher->lost, event, waiting);
        }
        break;
    }
}

static void refuse_unsent(struct publisher *publisher, enum event_outcome outcome)
{
    struct event *next = NULL;
    for (struct event *event = TAILQ_FIRST(&publisher->waiting); event != NULL; event = next) {
        next = TAILQ_NEXT(event, waiting);
        if (!event->published) {
            TAILQ_REMOVE(&publisher->waiting, event, waiting);
            complete_owned(publisher, event, outcome);
        }
    }
}

/* Nobody but its owner can mend that, and only a confirm shows that he has. */
static void hear_unbound(struct publisher *publisher)
{
    const struct connector_options *options = &publisher->confirms.options.connection;
    char keys[SHARDS_TEXT_BYTES];
    struct error why;
    if (publisher->refusal.text[0] != '\0') {
        return;
    }
    (void)connector_keys_text(options, keys);
    error_set(&why, OUTCOME_TRANSIENT, "no queue is bound to exchange '%s' for the key '%s'",
              options->route.exchange, keys);
    log_at(&event_exchange_unbound, log_string("exchange", options->route.exchange),
           log_string("routing_key", keys));
    publisher_record_refusal(publisher, &why);
    if (publisher->state == PUBLISHER_CONNECTED) {
        publisher_show_connected(publisher);
    }
}

static void log_missing(const struct publisher *publisher)
{
    char queues[SHARDS_TEXT_BYTES];
    log_at(&event_queue_missing,
           log_string("queue",
                      connector_queues_text(&publisher->confirms.options.connection, queues)));
}

bool publisher_hear(void *context, const struct broker_event *event)
{
    struct publisher *publisher = context;
    bool is_return = event->type == BROKER_EVENT_RETURN;
    if (is_return && !connector_minds_queue(&publisher->confirms.options.connection)) {
        hear_unbound(publisher);
    } else if (is_return && publisher->confirms.declaring == 0) {
        log_missing(publisher);
    } else if (event->type == BROKER_EVENT_BLOCKED) {
        struct error reason;
        error_set(&reason, OUTCOME_OK, "the broker has blocked publishing: %.*s",
                  (int)event->text.length, event->text.data);
        refuse_unsent(publisher, EVENT_BLOCKED);
        publisher_set_state(publisher, PUBLISHER_BLOCKED, reason.text);
    } else if (event->type == BROKER_EVENT_UNBLOCKED) {
        publisher_show_connected(publisher);
    }
    return true;
}

/* Why an event was not even sent. */
static enum event_outcome unsent_outcome(const struct publisher *publisher)
{
    if (publisher->confirms.broker == NULL) {
        return EVENT_DISCONNECTED;
    }
    return publisher->confirms.blocked ? EVENT_BLOCKED : EVENT_OVERLOADED;
}

/* All have the same time to live, so the oldest expires first. What the outbox forwards waits for
 * its confirm as long as the connection lasts: given up earlier it would be forwarded again, and
 * with a broker that is slower than the deadline for ever. */
void publisher_expire(struct publisher *publisher)
{
    struct event *event = NULL;
    assert(TAILQ_EMPTY(&publisher->lost));
    while ((event = TAILQ_FIRST(&publisher->owned)) != NULL &&
           event->deadline_ms <= publisher->now_ms) {
        if (event->tag == 0) {
            TAILQ_REMOVE(&publisher->waiting, event, waiting);
        } else {
            confirm_window_forget(&publisher->confirms.window, event->tag);
        }
        complete_owned(publisher, event,
                       event->published ? EVENT_UNKNOWN : unsent_outcome(publisher));
    }
}

static uint64_t at_least(uint64_t value, uint64_t minimum)
{
    return value < minimum ? minimum : value;
}

enum outcome publisher_check_confirms(struct publisher *publisher, struct error *ret_error)
{
    struct confirming_publisher *confirms = &publisher->confirms;
    uint64_t owed_ms = confirming_publisher_owed_ms(confirms, publisher->now_ms);
    uint64_t timeout_ms = (uint64_t)publisher->settings->confirm_timeout_ms;
    uint64_t lost_ms = at_least(2 * timeout_ms, LOST_CONFIRM_MS_MIN);
    bool late =
        publisher->outbox != NULL && owed_ms > at_least(timeout_ms / 10, LATE_CONFIRM_MS_MIN);
    if (late != publisher->late && !confirms->blocked && late) {
        publisher_set_state(publisher, PUBLISHER_BLOCKED, "the broker is slow to confirm");
    } else if (late != publisher->late && !confirms->blocked) {
        publisher_show_connected(publisher);
    }
    publisher->late = late;
    enum outcome outcome =
        confirming_publisher_check(confirms, publisher->now_ms, lost_ms, ret_error);
    if (outcome != OUTCOME_OK && owed_ms <= lost_ms) {
        publisher_record_refusal(publisher, ret_error);
    }
    publisher_review_refusal(publisher);
    return outcome;
}

/* What may have reached the broker is published again, oldest first; what surely has not is refused
 * now. */
void publisher_keep_for_next_connection(struct publisher *publisher)
{
    refuse_unsent(publisher, EVENT_DISCONNECTED);
    TAILQ_CONCAT(&publisher->lost, &publisher->waiting, waiting);
    TAILQ_CONCAT(&publisher->waiting, &publisher->lost, waiting);
}

void publisher_complete_all(struct publisher *publisher)
{
    struct event *event = NULL;
    confirm_window_drain(&publisher->confirms.window);
    TAILQ_INIT(&publisher->lost);
    TAILQ_INIT(&publisher->waiting);
    while ((event = TAILQ_FIRST(&publisher->owned)) != NULL ||
           (event = TAILQ_FIRST(&publisher->forwarded)) != NULL) {
        complete_owned(publisher, event, event->published ? EVENT_UNKNOWN : EVENT_DRAINING);
    }
}
