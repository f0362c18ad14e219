/* What the consumer's source files share: its state, its life (consumer_lifecycle.c), the handling
 * of a batch (consumer_batch.c), what is different for messages that were delivered before
 * (consumer_suspects.c), and the lock of the queue (consumer_standby.c). */
#pragma once

#include "session-service/ack_window.h"
#include "session-service/consumer_status.h"
#include "session-service/dead_letters.h"
#include "session-service/delivery_batch.h"
#include "session-service/store/in_hand.h"

#include "common/amqp/connector.h"
#include "common/base/backoff.h"
#include "common/service/state_directory.h"

#define CONSUMER_NAME "consumer"

enum {
    CONSUMER_PAUSE_BASE_MS = 100,
    CONSUMER_PAUSE_CAP_MS = 5000,
    /* No transaction is extended for longer than this; then it is committed, and acked. */
    CONSUMER_TURN_MS = 500,
};

struct consumer {
    const struct settings *settings;
    struct consumer_status *status;
    struct connector *connector;
    struct worker worker; /* is woken when a connection is ready */

    /* The thread's own. */
    struct dead_letters *dead_letters;
    struct broker *broker; /* NULL: none */
    struct ack_window window;
    struct state_directory *directory; /* borrowed; its file is opened once it is held */
    struct store *store;               /* borrowed */
    struct delivery_batch batch;
    struct in_hand in_hand;
    /* Copies of messages that were given up or move are on their way: nothing is handled. */
    bool awaits_copies;
    bool gave_up; /* since copies were last awaited */
    uint64_t await_until_ms;
    struct event_dispatcher dispatcher;
    struct buffer lines;
    bool paused; /* the store takes nothing: nothing is read, the batch waits */
    uint64_t resume_at_ms, prune_at_ms;
    struct backoff pause_backoff;
    uint64_t connections, connected_ms;
    bool more; /* the batch was closed before everything was read */
    bool proved, proof_reported;
    bool stalled;         /* the copies leave no room: nothing is read */
    bool stands_by;       /* the connector waits for the lock */
    bool holds_lock;      /* the connection does */
    bool has_stood_by;    /* since there was a connection last */
    uint64_t count_at_ms; /* when the consumers of the queue are counted next */
    uint64_t others;      /* consumers, as counted last */
    bool held_up;         /* stalled, or all that the broker may send are impossible messages */
};

/* The function of the thread. It returns when the worker is stopped. */
void consumer_run(void *owner);

/* Forgets everything that belongs to the connection, because the broker delivers it again. Keeps a
 * batch that the store could not take, so that the store can be tried with it. */
void consumer_drop_connection(struct consumer *consumer);

/* Part of the batch is not finished. */
static inline bool consumer_has_work(const struct consumer *consumer)
{
    return consumer->batch.next < consumer->batch.count;
}

/* Handles the next group of the batch, one transaction: effects on disk, then log lines, then
 * settled in the ack window or handed to the dead letters. It does nothing while copies are
 * awaited. False: the consumer is paused now, and the rest waits. */
MUST_CHECK bool consumer_handle_group(struct consumer *consumer, uint64_t now_ms);

/* In a transaction. */
MUST_CHECK enum outcome consumer_dispatch(struct consumer *consumer, struct batch_item *item,
                                          int64_t now_wall_ms, struct error *ret_error);
/* After a transaction that has ended with `outcome`, which it returns: where it is OK, what is
 * before `end` is logged and settled. */
MUST_CHECK enum outcome consumer_end_group(struct consumer *consumer, size_t end,
                                           enum outcome outcome, struct error *ret_error);

/* Says of an item that was read whether it was delivered before. */
void consumer_look_at(struct batch_item *item);
/* Handles the next group, where the batch goes on with messages that were delivered before. */
MUST_CHECK enum outcome consumer_handle_suspects(struct consumer *consumer,
                                                 struct error *ret_error);
/* How long awaited copies are waited for; 0: no longer. */
uint64_t consumer_copies_wait_ms(const struct consumer *consumer, uint64_t now_ms);
/* Has messages that were delivered very often moved to the end of their queue, and passes over
 * those that have arrived there. Awaits the copies of these and of what was given up, for a while:
 * what is handled next may end the process. */
MUST_CHECK enum outcome consumer_move_worn(struct consumer *consumer, uint64_t now_ms,
                                           struct error *ret_error);

/* Writes the name of the lock of `queue`. */
void consumer_lock_name(const char *queue, char ret_name[SHORT_STRING_BYTES_MAX + 1]);
/* Waits until this process holds the state directory, and shows meanwhile that it stands by. False:
 * the worker is to end. */
MUST_CHECK bool consumer_await_directory(struct consumer *consumer);
/* While there is no connection: shows whether it stands by, as the connector said last. */
void consumer_show_standby(struct consumer *consumer, bool stands_by, const struct error *why);
/* A connection was taken: it stands by no longer. */
void consumer_end_standby(struct consumer *consumer, uint64_t now_ms);
/* TRANSIENT: the broker may have given the connection up meanwhile, and another session-service may
 * have what came over it. */
MUST_CHECK enum outcome consumer_check_hold(const struct consumer *consumer, uint64_t now_ms,
                                            struct error *ret_error);
/* Has the lock, if it is held, taken again and the consumers of the queue counted, now and then.
 * The answers are broker events. Who has no right to the lock counts too: nothing keeps others
 * away. */
MUST_CHECK enum outcome consumer_ask_for_others(struct consumer *consumer, uint64_t now_ms,
                                                struct error *ret_error);
void consumer_record_others(struct consumer *consumer, struct slice queue, uint64_t consumers);

/* Prunes a few expired rows of the store, at most once per interval. */
void consumer_prune(struct consumer *consumer, uint64_t now_ms);

void consumer_write_lines(struct consumer *consumer);
