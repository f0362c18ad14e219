/* The dead letters are copies of impossible messages on their way to `<queue>.dead`, over a
 * connection of their own.
 *
 *          add             publish                 confirm
 *  (none) -----> waiting ----------> published ----------------> (none), its delivery is settled
 *                   ^                    |
 *                   +--------------------+  nacked, returned, connection lost
 *
 * A message moves to the end of its own queue in the same way, so that the broker counts its
 * deliveries anew. That is tried once. If the copy is refused, the delivery stays as it was.
 *
 * A connection on which every copy is refused for too long, or one is not confirmed for too long,
 * is closed.
 *
 * The connection is made for the first copy and then kept. The queue may get a copy twice, but a
 * copy is never lost: its delivery stays unsettled until the confirm, so the broker keeps the
 * original. Everything here runs on the consumer's thread. */
#pragma once

#include "session-service/ack_window.h"
#include "session-service/consumer_status.h"
#include "session-service/settings.h"

#include "common/amqp/broker.h"
#include "common/threads/worker.h"

enum { DEAD_LETTERS_PENDING_BYTES_MAX = 32 * 1024 * 1024 };

struct dead_letters;

/* Borrows all three, and the settings for the life of the process. */
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

/* Copies the delivery to the end of its own queue. BUSY: no memory. */
MUST_CHECK enum outcome dead_letters_move(struct dead_letters *letters,
                                          const struct broker_delivery *delivery,
                                          struct error *ret_error);
/* How many of those are under way. */
size_t dead_letters_moving(const struct dead_letters *letters);
/* Gives up those that are under way: their deliveries stay unsettled. A copy that was published may
 * be in the queue beside its original. */
void dead_letters_stop_moving(struct dead_letters *letters);

/* Returns whether the copies take DEAD_LETTERS_PENDING_BYTES_MAX or more. Then add none until some
 * are confirmed. */
bool dead_letters_is_full(const struct dead_letters *letters);
/* Without those that move. */
size_t dead_letters_pending(const struct dead_letters *letters);

/* Drops all copies. Their deliveries were lost with the consumer's connection, and the broker
 * delivers them again with other tags. */
void dead_letters_forget(struct dead_letters *letters);

/* Return what poll() must watch (fd -1: nothing), and when a turn is due at the latest. */
struct pollfd dead_letters_poll(const struct dead_letters *letters);
uint64_t dead_letters_due_ms(const struct dead_letters *letters);

/* Takes confirms, publishes the copies that wait, and settles in `window` the deliveries whose copy
 * is confirmed. */
void dead_letters_turn(struct dead_letters *letters, struct ack_window *window, uint64_t now_ms);

/* While the thread waits for something else: sends a heartbeat where one is due. */
void dead_letters_show_life(struct dead_letters *letters);

/* Returns why copies do not get through, "" if they do. */
const char *dead_letters_trouble(const struct dead_letters *letters);

/* Writes what an operator should know of the queue, or "". Any thread. */
void dead_letters_warning(const struct dead_letters *letters, struct error *ret_warning);

/* Returns how many attempts to connect were made. Any thread. */
uint64_t dead_letters_connect_attempts(const struct dead_letters *letters);
