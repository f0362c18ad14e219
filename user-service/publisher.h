/* The publisher: one thread that alone owns the AMQP connection and keeps many events in flight.
 *
 *                 connection                    blocked            lost
 *   DISCONNECTED ------------> CONNECTED <-----------------> BLOCKED ----> DISCONNECTED
 *                                   \______________________________________^
 *
 * An event that arrives while not CONNECTED is refused at once. One that was published when the
 * connection is lost is published again, with the same id, on the next one. Each is completed by
 * its deadline at the latest.
 *
 * With an outbox an event that cannot be confirmed now goes there, and so does what was published
 * when the connection is lost. While the oldest confirm is late, what arrives goes there at once (a
 * BLOCKED of our own making). A connection that owes a confirm for too long is given up. What the
 * outbox forwards goes back to it, confirmed or not; it has no deadline but the connection's. */
#pragma once

#include "common/metrics/metrics.h"
#include "user-service/event.h"
#include "user-service/settings.h"

struct publisher;

enum publisher_state { PUBLISHER_DISCONNECTED, PUBLISHER_CONNECTED, PUBLISHER_BLOCKED };

/* Borrows the settings for the life of the process (see connector.h), and the outbox's worker,
 * which is also woken when there is a connection; NULL: no outbox. */
MUST_CHECK enum outcome publisher_create(const struct settings *settings, struct worker *outbox,
                                         struct publisher **ret_publisher, struct error *ret_error);
/* Borrows the worker that gets the completed events. */
MUST_CHECK enum outcome publisher_start(struct publisher *publisher, struct worker *completed,
                                        struct error *ret_error);

/* What is handed over to this worker is the publisher's until it is handed over to
 * publisher_completed() or to the outbox, each event exactly once, with its outcome. When it is
 * stopped it completes every event that it has: published ones as unknown, others as draining. */
struct worker *publisher_worker(struct publisher *publisher);
struct worker *publisher_completed(struct publisher *publisher);

/* After the worker's end. NULL is fine. */
void publisher_free(struct publisher *publisher);

/* Any thread: the state, and in words why it is not CONNECTED. */
enum publisher_state publisher_get_state(struct publisher *publisher, struct error *ret_reason);

/* Appends its metrics for GET /metrics, and gathers their values first. Any thread. */
void publisher_append_metrics(struct publisher *publisher, struct buffer *text);
uint64_t publisher_connect_attempts(struct publisher *publisher);
