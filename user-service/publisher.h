/* The publisher is the one thread that owns the AMQP connection and keeps many events in flight.
 *
 *                 connection                    blocked            lost
 *   DISCONNECTED ------------> CONNECTED <-----------------> BLOCKED ----> DISCONNECTED
 *                            or REFUSED
 *                                   \______________________________________^
 *
 * The table of transitions in publisher_status.c is asserted.
 *
 * An event that arrives while the publisher is not CONNECTED is refused at once. If the connection
 * is lost, published events are published again on the next connection, with the same id. Each
 * event is completed by its deadline.
 *
 * With an outbox, an event that cannot be confirmed now goes to the outbox, and so do published
 * events when the connection is lost. While the oldest confirm is late, new events go to the outbox
 * at once, as in BLOCKED. A connection on which a confirm is overdue for too long is closed. Events
 * that the outbox forwards return to it, confirmed or not. They have no deadline of their own; they
 * end with the connection. */
#pragma once

#include "common/metrics/metrics.h"
#include "user-service/event.h"
#include "user-service/settings.h"

struct publisher;

/* REFUSED is CONNECTED, but the broker has refused what came before, and has confirmed nothing
 * since: whether it would now, only an event can show. */
enum publisher_state {
    PUBLISHER_DISCONNECTED,
    PUBLISHER_CONNECTED,
    PUBLISHER_REFUSED,
    PUBLISHER_BLOCKED,
};

/* Borrows the settings for the life of the process (see connector.h). Also borrows the outbox's
 * worker, which is woken when there is a connection; NULL: there is no outbox. */
MUST_CHECK enum outcome publisher_create(const struct settings *settings, struct worker *outbox,
                                         struct publisher **ret_publisher, struct error *ret_error);
/* Borrows the worker that gets the completed events. */
MUST_CHECK enum outcome publisher_start(struct publisher *publisher, struct worker *completed,
                                        struct error *ret_error);

/* Hands over a batch of events of requests. If the publisher's thread has ended, they are completed
 * here, as draining. To be called by the thread that gets the completed events. */
void publisher_submit(struct publisher *publisher, struct work_list *batch);

/* The publisher owns each event that is handed over to this worker, until it hands the event over
 * to publisher_completed() or to the outbox. It does that once for each event, with the outcome.
 * When the worker is stopped, it completes every event that it has: published ones as unknown, the
 * others as draining. */
struct worker *publisher_worker(struct publisher *publisher);
struct worker *publisher_completed(struct publisher *publisher);

/* Is called after the worker has ended. NULL is fine. */
void publisher_free(struct publisher *publisher);

/* Returns the state, and in words why it is not CONNECTED. Events are published while it is
 * CONNECTED or REFUSED. Any thread. */
enum publisher_state publisher_get_state(struct publisher *publisher, struct error *ret_reason);

/* Writes what an operator should know of the queue although saves are taken, or "". Any thread. */
void publisher_warning(struct publisher *publisher, struct error *ret_warning);

/* Appends its metrics for GET /metrics, and gathers their values first. Any thread. */
void publisher_append_metrics(struct publisher *publisher, struct buffer *text);
uint64_t publisher_connect_attempts(struct publisher *publisher);
