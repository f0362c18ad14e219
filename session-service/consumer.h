/* The thread that consumes: reads deliveries in batches, has them handled, logs, then acks.
 *
 * For each batch, in this order: judge all and apply them in one transaction of the store, commit,
 * one write to the log, publish copies of the impossible ones, append the acks of what is settled,
 * one write to the broker. A batch closes when nothing more has arrived, or at a size, so that an
 * idle system acks at once.
 *
 *                 connector_take                  cancelled, broken
 *  disconnected -----------------> consuming ---------------------------> disconnected
 *                                   |     ^                                    ^
 *                     not now       v     |  tried again, with backoff         |
 *                                   paused ------------------------------------+
 *
 * A pause keeps the connection and the batch, and makes no new connection: a broker counts
 * deliveries, and may drop what it has delivered too often. What was delivered over a lost
 * connection comes again over the next. */
#pragma once

#include "session-service/consumer_status.h"
#include "session-service/settings.h"
#include "session-service/store/store.h"

#include "common/threads/worker.h"

struct consumer;

/* Borrows the settings for the process's life, the store (which is its own from consumer_start()
 * on) and the status for its own. Starts nothing. */
MUST_CHECK enum outcome consumer_create(const struct settings *settings, struct store *store,
                                        struct consumer_status *status,
                                        struct consumer **ret_consumer, struct error *ret_error);

/* The consumer connects at once and again whenever it must. */
MUST_CHECK enum outcome consumer_start(struct consumer *consumer, struct error *ret_error);

/* When it is stopped it finishes the batch at hand, sends its acks, and waits a short while for the
 * confirms of copies. */
struct worker *consumer_worker(struct consumer *consumer);

/* After the worker's end, or before consumer_start(). NULL is fine. */
void consumer_free(struct consumer *consumer);

/* True while deliveries are taken; else `ret_reason` says why not. Any thread. */
MUST_CHECK bool consumer_is_ready(struct consumer *consumer, struct error *ret_reason);

/* Attempts to connect so far. Any thread. */
uint64_t consumer_connect_attempts(const struct consumer *consumer);
uint64_t consumer_dead_letter_attempts(const struct consumer *consumer);
