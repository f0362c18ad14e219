/* The window, the streak of nacks and the connection follow what the broker says. */
#include "common/amqp/confirming_publisher.h"

#include "common/log/log_events.h"

enum outcome confirming_publisher_init(struct confirming_publisher *publisher,
                                       const struct confirming_publisher_options *options,
                                       struct error *ret_error)
{
    *publisher = (struct confirming_publisher){.options = *options};
    enum outcome outcome = confirm_window_init(&publisher->window, options->window,
                                               options->settled, options->context, ret_error);
    if (outcome == OUTCOME_OK && options->connection.urls != NULL) {
        outcome = connector_create(&options->connection, &publisher->connector, ret_error);
    }
    return outcome;
}

void confirming_publisher_done(struct confirming_publisher *publisher)
{
    connector_free(publisher->connector);
    broker_free(publisher->broker);
    confirm_window_done(&publisher->window);
}

bool confirming_publisher_connect(struct confirming_publisher *publisher)
{
    if (publisher->broker != NULL) {
        return false;
    }
    if (!publisher->requested) {
        publisher->requested = true;
        connector_request(publisher->connector);
    }
    publisher->broker = connector_take(publisher->connector);
    publisher->requested = publisher->broker == NULL;
    return publisher->broker != NULL;
}

void confirming_publisher_disconnect(struct confirming_publisher *publisher,
                                     const struct error *why)
{
    log_at(&event_broker_disconnected,
           log_string("name", publisher->options.connection.open.connection_name),
           log_string("error", why->text));
    broker_free(publisher->broker);
    publisher->broker = NULL;
    publisher->blocked = publisher->proven = false;
    publisher->declaring = 0;
    nack_streak_begin(&publisher->nacks);
    confirm_window_drain(&publisher->window);
}

bool confirming_publisher_has_room(const struct confirming_publisher *publisher)
{
    return publisher->broker != NULL && !publisher->blocked &&
           !confirm_window_is_full(&publisher->window);
}

uint64_t confirming_publisher_owed_ms(const struct confirming_publisher *publisher, uint64_t now_ms)
{
    if (publisher->blocked || confirm_window_count(&publisher->window) == 0) {
        return 0;
    }
    uint64_t since_ms = confirm_window_oldest_ms(&publisher->window);
    if (since_ms < publisher->unblocked_ms) {
        since_ms = publisher->unblocked_ms;
    }
    return now_ms > since_ms ? now_ms - since_ms : 0;
}

enum outcome confirming_publisher_check(struct confirming_publisher *publisher, uint64_t now_ms,
                                        uint64_t lost_ms, struct error *ret_error)
{
    if (confirming_publisher_owed_ms(publisher, now_ms) > lost_ms) {
        return error_set(ret_error, OUTCOME_TRANSIENT,
                         "the broker has not confirmed a message for %llu s",
                         (unsigned long long)(lost_ms / 1000));
    }
    return nack_streak_check(&publisher->nacks, now_ms, ret_error);
}

static enum outcome append_declare(struct confirming_publisher *publisher, size_t number,
                                   struct error *ret_error)
{
    const struct connector_options *options = &publisher->options.connection;
    struct shard_name name;
    struct shard_name key;
    const struct broker_queue queue = connector_queue(options, number, &name);
    const struct broker_route route = connector_route(options, number, &key);
    enum outcome outcome = broker_append_declare(publisher->broker, &queue,
                                                 queue.declare == BROKER_DECLARE_NEVER, ret_error);
    return outcome == OUTCOME_OK && options->bind
               ? broker_append_bind(publisher->broker, queue.name, &route, ret_error)
               : outcome;
}

/* Once for all that is returned until the queues are there. The return does not say which one is
 * missing. */
static enum outcome declare_again(struct confirming_publisher *publisher, struct error *ret_error)
{
    const struct connector_options *options = &publisher->options.connection;
    enum outcome outcome = OUTCOME_OK;
    if (publisher->declaring > 0 || publisher->connector == NULL ||
        !connector_minds_queue(options)) {
        return OUTCOME_OK;
    }
    size_t count = connector_queue_count(options);
    while (outcome == OUTCOME_OK && publisher->declaring < count) {
        outcome = append_declare(publisher, publisher->declaring++, ret_error);
    }
    return outcome;
}

enum outcome confirming_publisher_take(struct confirming_publisher *publisher,
                                       const struct broker_event *event, uint64_t now_ms,
                                       struct error *ret_error)
{
    switch (event->type) {
    case BROKER_EVENT_ACK:
        if (!publisher->proven && publisher->connector != NULL) {
            publisher->proven = true;
            connector_succeeded(publisher->connector);
        }
        nack_streak_record_ack(&publisher->nacks);
        return confirm_window_settle(&publisher->window, event->tag, event->multiple, true,
                                     ret_error);
    case BROKER_EVENT_NACK:
        nack_streak_record_nack(&publisher->nacks, now_ms);
        return confirm_window_settle(&publisher->window, event->tag, event->multiple, false,
                                     ret_error);
    case BROKER_EVENT_RETURN:
        confirm_window_mark_returned(&publisher->window, event->text);
        return declare_again(publisher, ret_error);
    case BROKER_EVENT_BLOCKED:
        publisher->blocked = true;
        break;
    case BROKER_EVENT_UNBLOCKED:
        publisher->blocked = false;
        publisher->unblocked_ms = now_ms;
        break;
    case BROKER_EVENT_DECLARED:
        publisher->declaring -= publisher->declaring > 0 ? 1 : 0;
        break;
    case BROKER_EVENT_NONE:
    case BROKER_EVENT_DELIVERY:
    case BROKER_EVENT_EMPTY:
    case BROKER_EVENT_CANCELLED:
        break;
    }
    return OUTCOME_OK;
}

enum outcome confirming_publisher_read(struct confirming_publisher *publisher, uint64_t now_ms,
                                       struct error *ret_error)
{
    struct broker_event event;
    bool goes_on = false;
    enum outcome outcome = OUTCOME_OK;
    do {
        outcome = broker_read(publisher->broker, &event, ret_error);
        goes_on = outcome == OUTCOME_OK && event.type != BROKER_EVENT_NONE;
        if (goes_on) {
            goes_on = publisher->options.heard(publisher->options.context, &event);
            outcome = confirming_publisher_take(publisher, &event, now_ms, ret_error);
        }
    } while (outcome == OUTCOME_OK && goes_on);
    return outcome;
}
