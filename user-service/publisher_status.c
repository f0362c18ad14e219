/* The publisher's state as other threads see it, and its metrics. */
#include "user-service/publisher_internal.h"

#include "user-service/log_events.h"

#include "common/base/clock.h"
#include "common/base/transitions.h"

/* A state that follows itself gets another reason: an alarm of the broker after late confirms. */
static const uint8_t transitions[] = {
    [PUBLISHER_DISCONNECTED] = STATE_BIT(PUBLISHER_CONNECTED) | STATE_BIT(PUBLISHER_REFUSED),
    [PUBLISHER_CONNECTED] = UINT8_MAX, /* any */
    [PUBLISHER_REFUSED] = UINT8_MAX,   /* any */
    [PUBLISHER_BLOCKED] = UINT8_MAX,   /* any */
};

enum {
    /* Who sends no saves to what is not ready would never learn that it is again. */
    REFUSAL_QUIET_MS = 30000,
};

void publisher_set_state(struct publisher *publisher, enum publisher_state state,
                         const char *reason)
{
    uint64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&publisher->lock);
    enum publisher_state before = publisher->state;
    STATE_SET(transitions, publisher->state, state);
    error_set(&publisher->reason, OUTCOME_OK, "%s", reason);
    if (before == PUBLISHER_BLOCKED && state != PUBLISHER_BLOCKED) {
        metric_add(&publisher->metrics.blocked_ms, now_ms - publisher->blocked_since_ms);
    } else if (before != PUBLISHER_BLOCKED && state == PUBLISHER_BLOCKED) {
        publisher->blocked_since_ms = now_ms;
    }
    pthread_mutex_unlock(&publisher->lock);
    if (publisher->outbox != NULL && (state == PUBLISHER_CONNECTED || state == PUBLISHER_REFUSED)) {
        worker_wake(publisher->outbox);
    }
    metric_set(&publisher->metrics.connected, state != PUBLISHER_DISCONNECTED);
    metric_set(&publisher->metrics.blocked, state == PUBLISHER_BLOCKED);
    if (state == PUBLISHER_BLOCKED) {
        log_at(&event_broker_blocked, log_string("reason", reason));
    } else if (before == PUBLISHER_BLOCKED) {
        log_at(&event_broker_unblocked, log_string("reason", reason));
    }
}

void publisher_show_connected(struct publisher *publisher)
{
    struct error reason;
    if (publisher->refusal.text[0] == '\0') {
        publisher_set_state(publisher, PUBLISHER_CONNECTED, "");
    } else {
        error_set(&reason, OUTCOME_OK, "nothing was confirmed since this: %s",
                  publisher->refusal.text);
        publisher_set_state(publisher, PUBLISHER_REFUSED, reason.text);
    }
}

void publisher_record_refusal(struct publisher *publisher, const struct error *why)
{
    publisher->refusal = *why;
    publisher->refused_ms = publisher->now_ms;
}

void publisher_review_refusal(struct publisher *publisher)
{
    bool has_refusal = publisher->refusal.text[0] != '\0';
    if (has_refusal && publisher->now_ms - publisher->refused_ms >= REFUSAL_QUIET_MS) {
        publisher->refusal.text[0] = '\0';
        has_refusal = false;
    }
    if (publisher->state == PUBLISHER_REFUSED && !has_refusal) {
        publisher_show_connected(publisher);
    }
}

enum publisher_state publisher_get_state(struct publisher *publisher, struct error *ret_reason)
{
    struct error cause;
    connector_last_error(publisher->confirms.connector, &cause);
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

void publisher_warning(struct publisher *publisher, struct error *ret_warning)
{
    connector_discards(publisher->confirms.connector, ret_warning);
}

uint64_t publisher_connect_attempts(struct publisher *publisher)
{
    return connector_attempts(publisher->confirms.connector);
}

#define ROW(...) METRIC_ROW(struct publisher_metrics, __VA_ARGS__)
METRIC_TABLE(append_metrics, struct publisher_metrics, PUBLISHER_METRICS(ROW))

void publisher_append_metrics(struct publisher *publisher, struct buffer *text)
{
    /* A blockage that goes on counts as far as it has come. */
    pthread_mutex_lock(&publisher->lock);
    if (publisher->state == PUBLISHER_BLOCKED) {
        uint64_t now_ms = clock_monotonic_ms();
        metric_add(&publisher->metrics.blocked_ms, now_ms - publisher->blocked_since_ms);
        publisher->blocked_since_ms = now_ms;
    }
    pthread_mutex_unlock(&publisher->lock);
    append_metrics(text, &publisher->metrics);
}
