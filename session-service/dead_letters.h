/* Copies of impossible messages on their way to `<queue>.dead`, over a connection of their own.
 *
 *          add             publish                 confirm
 *  (none) -----> waiting ----------> published ----------------> (none), its delivery is settled
 *                   ^                    |
 *                   +--------------------+  nacked, returned, connection lost
 *
 * A connection on which every copy is refused for long is given up.
 *
 * The connection is asked for with the first copy and kept. A copy may reach the queue twice, and
 * never gets lost: its delivery stays unsettled until the confirm, so that the broker keeps the
 * original. Everything here runs on the consumer's thread. */
#pragma once

#include "session-service/ack_window.h"
#include "session-service/consumer_status.h"
#include "session-service/settings.h"

#include "common/amqp/broker.h"
#include "common/threads/worker.h"

enum { DEAD_LETTERS_PENDING_BYTES_MAX = 32 * 1024 * 1024 };

struct dead_letters;

/* Borrows all three: the settings for the process's life. */
MUST_CHECK enum outcome dead_letters_create(const struct settings *settings,
                                            struct consumer_status *status, struct worker *owner,
                                            struct dead_letters **ret_letters,
                                            struct error *ret_error);

/* May block as broker_free() and connector_free() do. NULL is fine. */
void dead_letters_free(struct dead_letters *letters);

/* Copies the delivery; `reason` is a literal. BUSY: no memory. */
MUST_CHECK enum outcome dead_letters_add(struct dead_letters *letters,
                                         const struct broker_delivery *delivery, const char *reason,
                                         const char *detail, struct error *ret_error);

/* The copies take DEAD_LETTERS_PENDING_BYTES_MAX or more: add none until some are confirmed. */
bool dead_letters_is_full(const struct dead_letters *letters);
size_t dead_letters_pending(const struct dead_letters *letters);

/* Drops all copies: their deliveries were lost with the consumer's connection, and the broker
 * delivers them again under other tags. */
void dead_letters_forget(struct dead_letters *letters);

/* What poll() must watch (fd -1: nothing), and when a turn is due at the latest. */
struct pollfd dead_letters_poll(const struct dead_letters *letters);
uint64_t dead_letters_due_ms(const struct dead_letters *letters);

/* Takes confirms, publishes what waits; settles in `window` what is confirmed. */
void dead_letters_turn(struct dead_letters *letters, struct ack_window *window, uint64_t now_ms);

/* Why copies do not get through, "" where they do. */
const char *dead_letters_trouble(const struct dead_letters *letters);

/* Any thread. */
uint64_t dead_letters_connect_attempts(const struct dead_letters *letters);
