/* The publisher's state as other threads see it, and its metrics. */
#include "user-service/publisher_internal.h"

#include "common/clock.h"
#include "common/log.h"

void publisher_set_state(struct publisher *publisher, enum publisher_state state,
                         const char *reason)
{
    uint64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&publisher->lock);
    enum publisher_state before = publisher->state;
    publisher->state = state;
    error_set(&publisher->reason, OUTCOME_OK, "%s", reason);
    if (before == PUBLISHER_BLOCKED && state != PUBLISHER_BLOCKED) {
        metric_add(&publisher->metrics.blocked_ms, now_ms - publisher->blocked_since_ms);
    } else if (before != PUBLISHER_BLOCKED && state == PUBLISHER_BLOCKED) {
        publisher->blocked_since_ms = now_ms;
    }
    pthread_mutex_unlock(&publisher->lock);
    if (publisher->outbox != NULL && state == PUBLISHER_CONNECTED) {
        handover_wake(publisher->outbox);
    }
    metric_set(&publisher->metrics.connected, state != PUBLISHER_DISCONNECTED);
    metric_set(&publisher->metrics.blocked, state == PUBLISHER_BLOCKED);
    if (state == PUBLISHER_BLOCKED) {
        log_at(LOG_LEVEL_WARNING, "broker.blocked", log_string("reason", reason));
    } else if (before == PUBLISHER_BLOCKED) {
        log_at(LOG_LEVEL_INFO, "broker.unblocked", log_string("reason", reason));
    }
}

enum publisher_state publisher_get_state(struct publisher *publisher, struct error *ret_reason)
{
    struct error cause;
    connector_last_error(publisher->connector, &cause);
    pthread_mutex_lock(&publisher->lock);
    enum publisher_state state = publisher->state;
    struct error reason = publisher->reason;
    pthread_mutex_unlock(&publisher->lock);
    if (state == PUBLISHER_DISCONNECTED) {
        error_set(ret_reason, OUTCOME_OK, "not connected to the broker: %s",
                  cause.text[0] != '\0' ? cause.text : reason.text);
    } else {
        *ret_reason = reason;
    }
    return state;
}

uint64_t publisher_connect_attempts(struct publisher *publisher)
{
    return connector_attempts(publisher->connector);
}

void publisher_metric_rows(struct publisher *publisher,
                           struct metric_row rows[PUBLISHER_METRIC_ROWS])
{
    struct publisher_metrics *metrics = &publisher->metrics;
    /* A blockage that goes on counts as far as it has come. */
    pthread_mutex_lock(&publisher->lock);
    if (publisher->state == PUBLISHER_BLOCKED) {
        uint64_t now_ms = clock_monotonic_ms();
        metric_add(&metrics->blocked_ms, now_ms - publisher->blocked_since_ms);
        publisher->blocked_since_ms = now_ms;
    }
    pthread_mutex_unlock(&publisher->lock);
    const struct metric_row all[PUBLISHER_METRIC_ROWS] = {
        {"user_service_saves_in_flight", NULL, "Saves at the publisher, not answered yet.",
         METRIC_GAUGE, &metrics->in_flight, 0},
        {"user_service_confirm_latency_seconds", NULL,
         "From accepting a save to the broker's confirm.", METRIC_HISTOGRAM,
         &metrics->confirm_latency, 0},
        {"user_service_broker_connected", NULL, "1 while there is a connection to a broker.",
         METRIC_GAUGE, &metrics->connected, 0},
        {"user_service_broker_blocked", NULL, "1 while the broker takes no publishes.",
         METRIC_GAUGE, &metrics->blocked, 0},
        {"user_service_broker_blocked_seconds_total", NULL,
         "Time in which the broker took no publishes.", METRIC_COUNTER, &metrics->blocked_ms,
         0.001},
        {"user_service_broker_reconnects_total", NULL, "Connections after the first.",
         METRIC_COUNTER, &metrics->reconnects, 0},
        {"user_service_late_confirms_total", NULL,
         "Confirms of saves that had been answered with an unknown outcome.", METRIC_COUNTER,
         &metrics->late_confirms, 0},
        {"user_service_republished_total", NULL,
         "Saves published again on a new connection, with the same id.", METRIC_COUNTER,
         &metrics->republished, 0},
    };
    for (size_t i = 0; i < PUBLISHER_METRIC_ROWS; i++) {
        rows[i] = all[i];
    }
}
