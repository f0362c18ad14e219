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

/* Borrows the settings for the life of the process (see connector.h), and the outbox's hand-over,
 * which is also woken when there is a connection; NULL: no outbox. */
MUST_CHECK enum outcome publisher_create(const struct settings *settings, struct handover *outbox,
                                         struct publisher **ret_publisher, struct error *ret_error);
MUST_CHECK enum outcome publisher_start(struct publisher *publisher, struct error *ret_error);

/* Completes every event it has, published ones as unknown and others as draining, and ends the
 * thread. The completed events are in publisher_completed(). Safe when never started. */
void publisher_stop(struct publisher *publisher);

/* After publisher_stop(). NULL is fine. */
void publisher_free(struct publisher *publisher);

/* Any thread: hands over a batch; takes ownership of the events until they are in
 * publisher_completed() or at the outbox, each exactly once, with its outcome. */
void publisher_submit(struct publisher *publisher, struct handover_list *batch);
struct handover *publisher_completed(struct publisher *publisher);

/* Any thread: the state, and in words why it is not CONNECTED. */
enum publisher_state publisher_get_state(struct publisher *publisher, struct error *ret_reason);

/* Appends its metrics for GET /metrics, and gathers their values first. Any thread. */
void publisher_append_metrics(struct publisher *publisher, struct buffer *text);
uint64_t publisher_connect_attempts(struct publisher *publisher);

/* Counts the turns of the publisher's loop, at least one a second. Any thread. */
const atomic_uint_least64_t *publisher_turns(const struct publisher *publisher);
