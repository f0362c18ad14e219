/* What the publisher's source files share. */
#pragma once

#include "common/amqp/confirming_publisher.h"
#include "user-service/publisher.h"

/* How to add a metric is said in common/metrics/metrics.h. */
#define PUBLISHER_METRICS(METRIC)                                                                  \
    METRIC(in_flight, GAUGE, "user_service_saves_in_flight",                                       \
           "Saves that were sent, from the oldest that is not confirmed on.")                      \
    METRIC(confirm_latency, HISTOGRAM, "user_service_confirm_latency_seconds",                     \
           "From accepting a save, or from writing its Idempotency-Key, to the broker's confirm.") \
    METRIC(connected, GAUGE, "user_service_broker_connected",                                      \
           "1 while there is a connection to a broker.")                                           \
    METRIC(blocked, GAUGE, "user_service_broker_blocked",                                          \
           "1 while the broker takes no publishes.")                                               \
    METRIC(blocked_ms, COUNTER, "user_service_broker_blocked_seconds_total",                       \
           "Time in which the broker took no publishes.", .scale = 0.001)                          \
    METRIC(reconnects, COUNTER, "user_service_broker_reconnects_total",                            \
           "Connections after the first.")                                                         \
    METRIC(late_confirms, COUNTER, "user_service_late_confirms_total",                             \
           "Confirms of saves that had been answered with an unknown outcome.")                    \
    METRIC(republished, COUNTER, "user_service_republished_total",                                 \
           "Saves published again on a new connection, with the same id.")

struct publisher_metrics {
    PUBLISHER_METRICS(METRIC_MEMBER)
};

struct publisher {
    const struct settings *settings;
    struct worker worker;     /* events are handed over to it; the connector wakes it too */
    struct worker *completed; /* borrowed: completed events are handed over to it */
    struct worker *outbox;    /* borrowed; NULL: none */

    /* The thread's own. */
    struct confirming_publisher confirms; /* its `broker` is NULL: DISCONNECTED */
    bool late; /* with an outbox: the oldest confirm is late, and new events go there */
    bool ever_connected;
    bool is_first_try_over; /* connected once, or failed at all hosts once */
    uint64_t read_at_ms;
    struct error refusal;         /* the broker's last, without a confirm since; "": none */
    uint64_t refused_ms;          /* when it has refused last */
    struct event_queue owned;     /* requests' events, in the order of their deadlines */
    struct event_queue forwarded; /* the outbox's: theirs is that of the connection */
    struct event_queue waiting;   /* of both, to be sent */
    struct event_queue lost;      /* without an outbox: with the connection, to be sent again */
    struct work_list done, to_outbox;
    uint64_t now_ms;

    pthread_mutex_t lock; /* guards what follows */
    enum publisher_state state;
    struct error reason;
    uint64_t blocked_since_ms;

    struct publisher_metrics metrics;
};

/* publisher_status.c: the only way that the state changes. */
void publisher_set_state(struct publisher *publisher, enum publisher_state state,
                         const char *reason);
/* CONNECTED or REFUSED, as it is. */
void publisher_show_connected(struct publisher *publisher);
void publisher_record_refusal(struct publisher *publisher, const struct error *why);
/* Whether what was refused is over: something was confirmed, or nothing was tried for long. */
void publisher_review_refusal(struct publisher *publisher);

/* publisher_events.c: the events, their window and their outcomes. No function starts a thread or
 * waits. */
void publisher_accept(struct publisher *publisher, struct event *event);
MUST_CHECK enum outcome publisher_send_waiting(struct publisher *publisher,
                                               struct error *ret_error);
/* The two functions that confirming_publisher.h calls; `context` is the publisher. */
void publisher_settle(void *item, enum confirm_result result, void *context);
bool publisher_hear(void *context, const struct broker_event *event);
void publisher_expire(struct publisher *publisher);
/* Checks whether the connection is still usable. TRANSIENT: it has not confirmed anything, or has
 * refused everything, for too long; close it. */
MUST_CHECK enum outcome publisher_check_confirms(struct publisher *publisher,
                                                 struct error *ret_error);
void publisher_keep_for_next_connection(struct publisher *publisher);
void publisher_complete_all(struct publisher *publisher);
