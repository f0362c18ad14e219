/* The state of the consumer as other threads see it, for /readyz, and its metrics. */
#pragma once

#include "common/base/error.h"
#include "common/metrics/metrics.h"

#include <pthread.h>
#include <stdbool.h>

/* Those of user_event.h, event_handlers.c and event_dispatcher.c. */
#define DEAD_LETTER_REASONS                                                                        \
    "not-json", "not-an-object", "number-out-of-range", "invalid-user", "too-large",               \
        "invalid-message-id", "id-conflict", "too-many-redeliveries", "unknown-type",              \
        "unsupported-content"

enum delivery_outcome {
    DELIVERY_HANDLED,
    DELIVERY_OUTDATED,
    DELIVERY_DUPLICATE,
    DELIVERY_BARE,
    DELIVERY_DEAD
};

/* How to add a metric is said in common/metrics/metrics.h. */
#define CONSUMER_METRICS(METRIC)                                                                   \
    METRIC(deliveries,                                                                             \
           COUNTERS("outcome", [DELIVERY_HANDLED] = "handled", [DELIVERY_OUTDATED] = "outdated",   \
                    [DELIVERY_DUPLICATE] = "duplicate", [DELIVERY_BARE] = "bare",                  \
                    [DELIVERY_DEAD] = "dead"),                                                     \
           "session_service_deliveries_total", "Deliveries by what became of them.")               \
    METRIC(redelivered, COUNTER, "session_service_redelivered_total",                              \
           "Deliveries that had been delivered before.")                                           \
    METRIC(ack_latency, HISTOGRAM, "session_service_ack_latency_seconds",                          \
           "From reading a delivery to sending its ack.")                                          \
    METRIC(dead_letters_pending, GAUGE, "session_service_dead_letters_pending",                    \
           "Impossible messages whose copy is not confirmed yet.")                                 \
    METRIC(consuming, GAUGE, "session_service_consuming", "1 while deliveries are taken.")         \
    METRIC(active, GAUGE, "session_service_active",                                                \
           "1 while this session-service may consume: it has the lock of the queue, or needs "     \
           "none. 0: it stands by, or is not connected.")                                          \
    METRIC(standby, GAUGE, "session_service_standby",                                              \
           "1 while it stands by: another one has the lock of the queue, or the state directory.") \
    METRIC(other_consumers, GAUGE, "session_service_other_consumers",                              \
           "Consumers of the queue besides this one. 0 with --consumer shared.")                   \
    METRIC(active_shards, GAUGE, "session_service_active_shards",                                  \
           "Shards of which this one has had messages since it consumes from them. 0 without "     \
           "--shards.")                                                                            \
    METRIC(store_paused, GAUGE, "session_service_store_paused",                                    \
           "1 while the store can take nothing.")                                                  \
    METRIC(sessions_opened, COUNTER, "session_service_sessions_opened_total", "Sessions opened.")  \
    METRIC(broker_connected, GAUGE, "session_service_broker_connected",                            \
           "1 while the consuming connection is up.")                                              \
    METRIC(reconnects, COUNTER, "session_service_broker_reconnects_total",                         \
           "Consuming connections made after the first.")                                          \
    METRIC(moved, COUNTER, "session_service_moved_total",                                          \
           "Messages moved to the end of their queue, because they were delivered often.")         \
    METRIC(dead_letters, COUNTERS("reason", DEAD_LETTER_REASONS, "other"),                         \
           "session_service_dead_letters_total",                                                   \
           "Impossible messages with a confirmed copy, by reason.")

struct consumer_status {
    atomic_bool connected;
    atomic_bool standing_by;
    atomic_bool without_store; /* another process has it; only while standing by */
    atomic_bool paused;        /* the store cannot take anything now */
    atomic_bool stalled;       /* poison messages without a confirmed copy hold everything up */
    pthread_mutex_t lock;      /* guards the texts */
    struct error last_error;   /* of the consuming connection */
    struct error trouble;      /* of the dead letters, while stalled */
    struct error pause;        /* of the store, while paused */
    struct error standby_reason;

    CONSUMER_METRICS(METRIC_MEMBER)
};

void consumer_status_init(struct consumer_status *status);
void consumer_status_done(struct consumer_status *status);

/* The consumer's thread. */
void consumer_status_connected(struct consumer_status *status);
/* `why` says for whom. `has_store`: it waits for the lock of the queue, over a connection; else for
 * the state directory. */
void consumer_status_stand_by(struct consumer_status *status, const struct error *why,
                              bool has_store);
void consumer_status_disconnected(struct consumer_status *status, const struct error *error);
void consumer_status_stalled(struct consumer_status *status, bool stalled);
/* `why` says why the consumer pauses. NULL: it goes on. */
void consumer_status_paused(struct consumer_status *status, const struct error *why);
void consumer_status_set_trouble(struct consumer_status *status, const char *text);
void consumer_status_count_dead_letter(struct consumer_status *status, const char *reason);

/* Returns true while deliveries are taken, and also while it stands by; then, and if it returns
 * false, `ret_reason` says why. `connecting` says why the last attempt to connect failed, and is ""
 * if none has failed. Any thread. */
MUST_CHECK bool consumer_status_is_ready(struct consumer_status *status,
                                         const struct error *connecting, struct error *ret_reason);

/* Both may be asked by any thread. The store is not to be read where another process has it. */
bool consumer_status_stands_by(const struct consumer_status *status);
bool consumer_status_has_store(const struct consumer_status *status);

/* Appends the metrics for GET /metrics. Any thread. */
void consumer_status_append_metrics(const struct consumer_status *status, struct buffer *text);
