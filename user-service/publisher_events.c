/* What becomes of each event: waiting, in the window, settled, expired. */
#include "user-service/publisher_internal.h"

#include "user-service/log_events.h"

#include "common/base/clock.h"

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
               log_string("message_id", event->message_id), log_integer("outcome", outcome));
    }
    event->outcome = outcome;
    bool goes_to_outbox =
        event->outbox_sequence != 0 || (publisher->outbox != NULL && outcome != EVENT_CONFIRMED);
    handover_list_append(goes_to_outbox ? &publisher->to_outbox : &publisher->done, &event->node);
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

void publisher_accept(struct publisher *publisher, struct event *event)
{
    if (publisher->stopping) {
        complete(publisher, event, EVENT_DRAINING);
    } else if (publisher->broker == NULL && publisher->is_first_try_over) {
        complete(publisher, event, EVENT_DISCONNECTED);
    } else if (publisher->blocked || publisher->late) {
        complete(publisher, event, EVENT_BLOCKED);
    } else {
        TAILQ_INSERT_TAIL(queue_of(publisher, event), event, in_order);
        TAILQ_INSERT_TAIL(&publisher->waiting, event, waiting);
    }
}

enum outcome publisher_send_waiting(struct publisher *publisher, struct error *ret_error)
{
    const char *queue = publisher->settings->common.queue;
    struct event *event = NULL;
    while (!publisher->blocked && !confirm_window_is_full(&publisher->window) &&
           (event = TAILQ_FIRST(&publisher->waiting)) != NULL) {
        struct message message;
        user_event_encode(event_type_name(event->type),
                          (struct slice){event->body, event->body_length},
                          (struct slice){event->message_id, event->message_id_length},
                          event->occurred_at_ms, slice_of(event->traceparent), &message);
        enum outcome outcome = broker_append_publish(publisher->broker, queue, &message, ret_error);
        if (outcome == OUTCOME_BUSY || outcome == OUTCOME_INVALID) {
            /* No memory for it now, or it cannot be encoded: not sent, and the client is told. */
            TAILQ_REMOVE(&publisher->waiting, event, waiting);
            complete_owned(publisher, event, event->published ? EVENT_UNKNOWN : EVENT_OVERLOADED);
            continue;
        }
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
        TAILQ_REMOVE(&publisher->waiting, event, waiting);
        metric_add(&publisher->metrics.republished, event->published ? 1 : 0);
        event->is_ambiguous = event->is_ambiguous || event->published;
        event->published = true;
        event->tag = confirm_window_add(&publisher->window, event, publisher->now_ms);
    }
    return OUTCOME_OK;
}

/* What the broker refuses now it may have taken over the connection before; and a return that may
 * mean another publish of the same id says of neither whether it was saved. */
static enum event_outcome refusal(const struct event *event, enum event_outcome outcome)
{
    return event->is_ambiguous ? EVENT_UNKNOWN : outcome;
}

static void confirmed(void *item, bool returned, void *context)
{
    struct publisher *publisher = context;
    struct event *event = item;
    if (event == NULL) {
        metric_add(&publisher->metrics.late_confirms, 1);
        return;
    }
    if (!returned) {
        metric_observe_us(&publisher->metrics.confirm_latency,
                          clock_monotonic_us() - event->accepted_us);
    }
    complete_owned(publisher, event, returned ? refusal(event, EVENT_UNROUTABLE) : EVENT_CONFIRMED);
}

static void refused(void *item, bool returned, void *context)
{
    struct publisher *publisher = context;
    (void)returned;
    if (item != NULL) {
        complete_owned(publisher, item, refusal(item, EVENT_NACKED));
    }
}

static bool has_message_id(const void *item, struct slice message_id)
{
    const struct event *event = item;
    return slice_equal((struct slice){event->message_id, event->message_id_length}, message_id);
}

/* The queue is gone: what was returned is refused when its ack comes, and the queue is declared
 * again for those that follow. */
static enum outcome take_return(struct publisher *publisher, struct slice message_id,
                                struct error *ret_error)
{
    size_t count = confirm_window_mark_returned(&publisher->window, message_id, has_message_id);
    if (count > 1 || publisher->window.forgotten_count > 0) {
        struct event *event = NULL;
        TAILQ_FOREACH(event, &publisher->owned, in_order)
        {
            event->is_ambiguous = event->is_ambiguous || has_message_id(event, message_id);
        }
    }
    if (publisher->declaring) {
        return OUTCOME_OK;
    }
    const struct common_settings *settings = &publisher->settings->common;
    log_at(&event_queue_missing, log_string("queue", settings->queue));
    publisher->declaring = true;
    return broker_append_declare(publisher->broker, settings->queue, settings->queue_type,
                                 ret_error);
}

static void refuse_unsent(struct publisher *publisher, enum event_outcome outcome)
{
    struct event *event = TAILQ_FIRST(&publisher->waiting);
    while (event != NULL) {
        struct event *next = TAILQ_NEXT(event, waiting);
        if (!event->published) {
            TAILQ_REMOVE(&publisher->waiting, event, waiting);
            complete_owned(publisher, event, outcome);
        }
        event = next;
    }
}

enum outcome publisher_take_broker_event(struct publisher *publisher,
                                         const struct broker_event *heard, struct error *ret_error)
{
    switch (heard->type) {
    case BROKER_EVENT_ACK:
        if (!publisher->proven) {
            publisher->proven = true;
            connector_succeeded(publisher->connector);
        }
        nack_streak_record_ack(&publisher->nacks);
        return confirm_window_settle(&publisher->window, heard->tag, heard->multiple, confirmed,
                                     publisher, ret_error);
    case BROKER_EVENT_NACK:
        nack_streak_record_nack(&publisher->nacks, publisher->now_ms);
        return confirm_window_settle(&publisher->window, heard->tag, heard->multiple, refused,
                                     publisher, ret_error);
    case BROKER_EVENT_RETURN:
        return take_return(publisher, heard->text, ret_error);
    case BROKER_EVENT_BLOCKED: {
        struct error reason;
        error_set(&reason, OUTCOME_OK, "the broker has blocked publishing: %.*s",
                  (int)heard->text.length, heard->text.data);
        publisher->blocked = true;
        refuse_unsent(publisher, EVENT_BLOCKED);
        publisher_set_state(publisher, PUBLISHER_BLOCKED, reason.text);
        return OUTCOME_OK;
    }
    case BROKER_EVENT_UNBLOCKED:
        publisher->blocked = false;
        publisher->unblocked_ms = publisher->now_ms;
        publisher_set_state(publisher, PUBLISHER_CONNECTED, "");
        return OUTCOME_OK;
    case BROKER_EVENT_DECLARED:
        publisher->declaring = false;
        return OUTCOME_OK;
    case BROKER_EVENT_NONE:
    case BROKER_EVENT_DELIVERY:
    case BROKER_EVENT_EMPTY:
    case BROKER_EVENT_CANCELLED:
        return OUTCOME_OK;
    }
    return OUTCOME_OK;
}

/* Why an event was not even sent. */
static enum event_outcome unsent_outcome(const struct publisher *publisher)
{
    if (publisher->broker == NULL) {
        return EVENT_DISCONNECTED;
    }
    return publisher->blocked ? EVENT_BLOCKED : EVENT_OVERLOADED;
}

/* All have the same time to live, so the oldest expires first. What the outbox forwards waits for
 * its confirm as long as the connection lasts: given up earlier it would be forwarded again, and
 * with a broker that is slower than the deadline for ever. */
void publisher_expire(struct publisher *publisher)
{
    struct event *event = NULL;
    while ((event = TAILQ_FIRST(&publisher->owned)) != NULL &&
           event->deadline_ms <= publisher->now_ms) {
        if (event->tag == 0) {
            TAILQ_REMOVE(&publisher->waiting, event, waiting);
        } else {
            confirm_window_forget(&publisher->window, event->tag);
        }
        complete_owned(publisher, event,
                       event->published ? EVENT_UNKNOWN : unsent_outcome(publisher));
    }
}

/* How long the broker owes its oldest confirm; in an alarm it owes none. */
static uint64_t confirm_owed_ms(const struct publisher *publisher)
{
    if (publisher->blocked || confirm_window_count(&publisher->window) == 0) {
        return 0;
    }
    uint64_t since_ms = confirm_window_oldest_ms(&publisher->window);
    if (since_ms < publisher->unblocked_ms) {
        since_ms = publisher->unblocked_ms;
    }
    return publisher->now_ms > since_ms ? publisher->now_ms - since_ms : 0;
}

static uint64_t at_least(uint64_t value, uint64_t minimum)
{
    return value < minimum ? minimum : value;
}

enum outcome publisher_judge_confirms(struct publisher *publisher, struct error *ret_error)
{
    uint64_t owed_ms = confirm_owed_ms(publisher);
    uint64_t timeout_ms = (uint64_t)publisher->settings->confirm_timeout_ms;
    uint64_t lost_ms = at_least(2 * timeout_ms, LOST_CONFIRM_MS_MIN);
    if (owed_ms > lost_ms) {
        return error_set(ret_error, OUTCOME_TRANSIENT,
                         "the broker has not confirmed a message for %llu s",
                         (unsigned long long)(lost_ms / 1000));
    }
    bool late =
        publisher->outbox != NULL && owed_ms > at_least(timeout_ms / 10, LATE_CONFIRM_MS_MIN);
    if (late != publisher->late && !publisher->blocked) {
        publisher_set_state(publisher, late ? PUBLISHER_BLOCKED : PUBLISHER_CONNECTED,
                            late ? "the broker is slow to confirm" : "");
    }
    publisher->late = late;
    return nack_streak_check(&publisher->nacks, publisher->now_ms, ret_error);
}

static void collect_unsettled(void *item, bool returned, void *context)
{
    struct event *event = item;
    struct event_queue *unsettled = context;
    (void)returned;
    if (event != NULL) {
        event->tag = 0;
        TAILQ_INSERT_TAIL(unsettled, event, waiting);
    }
}

/* What may have reached the broker is published again, oldest first; what surely has not is refused
 * now. With an outbox both go there. */
void publisher_keep_for_next_connection(struct publisher *publisher)
{
    struct event_queue again = TAILQ_HEAD_INITIALIZER(again);
    struct event *event = NULL;
    confirm_window_drain(&publisher->window, collect_unsettled, &again);
    while ((event = TAILQ_FIRST(&publisher->waiting)) != NULL) {
        TAILQ_REMOVE(&publisher->waiting, event, waiting);
        if (event->published) {
            TAILQ_INSERT_TAIL(&again, event, waiting);
        } else {
            complete_owned(publisher, event, EVENT_DISCONNECTED);
        }
    }
    if (publisher->outbox == NULL) {
        TAILQ_CONCAT(&publisher->waiting, &again, waiting);
        return;
    }
    while ((event = TAILQ_FIRST(&again)) != NULL) {
        TAILQ_REMOVE(&again, event, waiting);
        complete_owned(publisher, event, EVENT_UNKNOWN);
    }
}

void publisher_complete_all(struct publisher *publisher)
{
    struct event *event = NULL;
    struct event_queue unsettled = TAILQ_HEAD_INITIALIZER(unsettled);
    confirm_window_drain(&publisher->window, collect_unsettled, &unsettled);
    TAILQ_INIT(&publisher->waiting);
    while ((event = TAILQ_FIRST(&publisher->owned)) != NULL ||
           (event = TAILQ_FIRST(&publisher->forwarded)) != NULL) {
        complete_owned(publisher, event, event->published ? EVENT_UNKNOWN : EVENT_DRAINING);
    }
}
