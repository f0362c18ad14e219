/* The consumer is the thread that reads deliveries in batches, has them handled, logs them, and
 * acknowledges them.
 *
 * Each batch goes through these steps in order: decode every message, have the store take
 * all of them at once, write the log lines at once, publish the copies of impossible messages,
 * append the acks of what is settled, send everything with one write to the broker. A batch ends
 * when nothing more has arrived or a size is reached, so an idle system acknowledges at once.
 *
 *                connector_take
 *  disconnected <------------------> consuming
 *     |     ^     cancelled, broken   |     ^
 *     |     |            store fails  v     |  store works
 *     |     | store works            paused
 *     v     |             broken      |
 *  paused, disconnected <-------------+
 *
 * While another session-service has the state directory or the lock of the queue, the consumer is
 * disconnected, and stands by: it shows so, and takes the next connection when the lock is free.
 * The start leads to "paused, disconnected" if the store already fails at the first pruning.
 * A pause keeps the connection and the batch, and makes no new connection. The broker counts
 * deliveries and may drop a message that it has delivered too often. Deliveries of a lost
 * connection are delivered again over the next one. */
#pragma once

#include "session-service/consumer_status.h"
#include "session-service/settings.h"
#include "session-service/store/store.h"

#include "common/service/state_directory.h"
#include "common/threads/worker.h"

struct consumer;

/* Borrows the settings for the life of the process. Also borrows the status, and the store, which
 * only the consumer uses after consumer_start(). If the directory of the store is not held yet, the
 * consumer waits for that first. Starts nothing. */
MUST_CHECK enum outcome consumer_create(const struct settings *settings,
                                        struct state_directory *directory, struct store *store,
                                        struct consumer_status *status,
                                        struct consumer **ret_consumer, struct error *ret_error);

/* Starts the thread, which connects at once, and again whenever it must. */
MUST_CHECK enum outcome consumer_start(struct consumer *consumer, struct error *ret_error);

/* Returns the worker. When it is stopped, it finishes the batch, sends its acks, and waits a short
 * while for the confirms of copies. */
struct worker *consumer_worker(struct consumer *consumer);

/* Is called after the worker has ended, or before consumer_start(). NULL is fine. */
void consumer_free(struct consumer *consumer);

/* Returns true while deliveries are taken, and also while it stands by; then, and if it returns
 * false, `ret_reason` says why. Any thread. */
MUST_CHECK bool consumer_is_ready(struct consumer *consumer, struct error *ret_reason);

/* Writes what an operator should know of the store and the queues although all is handled, or "".
 * Any thread. */
void consumer_warning(const struct consumer *consumer, struct error *ret_warning);

/* Both return how many attempts to connect were made. Any thread. */
uint64_t consumer_connect_attempts(const struct consumer *consumer);
uint64_t consumer_dead_letter_attempts(const struct consumer *consumer);
