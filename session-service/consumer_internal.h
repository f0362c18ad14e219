/* What the consumer's source files share: its state, its life (consumer_lifecycle.c), the handling
 * of a batch (consumer_batch.c), what is different for messages that were delivered before
 * (consumer_suspects.c), the lock of the queue (consumer_standby.c), and shards between several
 * (consumer_shares.c). */
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

/* What is known of one shard, on this connection. */
struct share {
    bool is_active;          /* it has had messages of it, and keeps it as long as it consumes */
    bool is_given_up;        /* it has had it before, and gave it up */
    uint64_t delivered_ms;   /* the last */
    uint64_t begin_again_ms; /* when it consumes again; 0: it does */
};

enum { SHARE_QUIET_MS = 250 };

/* No message has come for a while. The last one may have come after `now_ms`, in the same turn. */
static inline bool share_is_quiet(const struct share *share, uint64_t now_ms)
{
    return now_ms >= share->delivered_ms + SHARE_QUIET_MS;
}

struct shares {
    struct share items[SHARDS_MAX + 1]; /* by the number of the queue; 0 is not used */
    size_t active;
    uint8_t held; /* is being given up: its acks are held back; 0: none */
    uint64_t held_until_ms, look_at_ms;
};

enum {
    CONSUMER_PAUSE_BASE_MS = 100,
    CONSUMER_PAUSE_CAP_MS = 5000,
    /* No group grows for longer than this; then it is taken, and acked. After a group whose effects
     * took longer, the next one is at most half as large; else it may be twice as large. */
    CONSUMER_TURN_MS = 500,
    /* Another host may need its time for what it was given, too. */
    CONSUMER_SLOW_TAKE_MS = 1000,
    CONSUMER_FIRST_GROUP = 16, /* messages; doubled some times, it is BATCH_DELIVERIES_MAX */
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
    struct event_dispatcher dispatcher; /* between two groups only a pause has anything in it */
    size_t group_max;                   /* messages */
    uint64_t take_began_ms;
    bool is_marked; /* what the store takes: as the one message in hand */
    struct buffer lines;
    bool paused;    /* the store takes nothing: nothing is read, the batch waits */
    bool gave_back; /* what was in hand, for the store; since a group was finished last */
    uint64_t paused_ms, resume_at_ms, prune_at_ms;
    struct backoff pause_backoff;
    uint64_t connections, connected_ms;
    bool more; /* the batch was closed before everything was read */
    bool proved, proof_reported;
    bool stalled;               /* the copies leave no room: nothing is read */
    bool stands_by;             /* the connector waits for the lock */
    bool holds_lock;            /* the connection does */
    bool has_stood_by;          /* since there was a connection last */
    uint64_t count_at_ms;       /* when the consumers of the queue are counted next */
    uint64_t others;            /* consumers, as counted last */
    struct error store_warning; /* as logged last */
    struct shares shares;
    bool held_up; /* stalled, or all that the broker may send are impossible messages */
};

/* The function of the thread. It returns when the worker is stopped. */
void consumer_run(void *owner);

/* Forgets everything that belongs to the connection, because the broker delivers it again. Keeps a
 * batch that the store could not take, so that the store can be tried with it, where no other
 * session-service can have it meanwhile. */
void consumer_drop_connection(struct consumer *consumer);
/* What is in hand is left to others. */
void consumer_forget_batch(struct consumer *consumer);

/* Part of the batch is not finished. */
static inline bool consumer_has_work(const struct consumer *consumer)
{
    return consumer->batch.next < consumer->batch.count;
}

/* Handles the next group of the batch: all decoded, taken by the store at once, then log lines,
 * then settled in the ack window or handed to the dead letters. It does nothing while copies are
 * awaited. False: the consumer is paused now, and the rest waits. */
MUST_CHECK bool consumer_handle_group(struct consumer *consumer, uint64_t now_ms);

/* The steps of that: adds an item to the group; has the store take the group; logs and settles what
 * is before `end`. A failure of the first two leaves no group. */
MUST_CHECK enum outcome consumer_decode(struct consumer *consumer, struct batch_item *item,
                                        struct slice attempt_key, struct error *ret_error);
MUST_CHECK enum outcome consumer_take(struct consumer *consumer, size_t end,
                                      struct error *ret_error);
MUST_CHECK enum outcome consumer_tell_group(struct consumer *consumer, size_t end,
                                            struct error *ret_error);
/* When a group grows no longer. One that the store did not take is given again as it was, however
 * long that takes: a store that may have taken it knows it by that. */
uint64_t consumer_turn_ends_ms(const struct consumer *consumer);
/* Of store_on_wait(); the context is the consumer. */
void consumer_wait_begins(void *context);

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

/* Whether the broker divides the shards between this one and others. */
bool consumer_divides(const struct consumer *consumer);
/* For a new connection, or none. */
void consumer_shares_begin(struct consumer *consumer, uint64_t now_ms);
/* Of each message of a queue with a number above 0. */
void consumer_shares_delivered(struct consumer *consumer, uint8_t number, uint64_t now_ms);
/* Gives up a shard now and then, as long as this one has more than its share. To be called before
 * the acks are appended. */
MUST_CHECK enum outcome consumer_shares_turn(struct consumer *consumer, uint64_t now_ms,
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
/* TRANSIENT: what is in hand must not wait for this store any longer. While it is displaced nothing
 * can be applied here, however long that takes, and another session-service may have a good one;
 * who shares the queue may be the only one that does not reach the store. The consumer connects
 * again, and asks for the lock, when the store takes something. If that is no message, what is
 * delivered then stays: each time that it is given back is one of RabbitMQ 4's 20 deliveries. */
MUST_CHECK enum outcome consumer_check_store(const struct consumer *consumer, uint64_t now_ms,
                                             struct error *ret_error);
/* Has the lock, if it is held, taken again and the consumers of the queue counted, now and then.
 * The answers are broker events. Who has no right to the lock counts too: nothing keeps others
 * away. */
MUST_CHECK enum outcome consumer_ask_for_others(struct consumer *consumer, uint64_t now_ms,
                                                struct error *ret_error);
void consumer_record_others(struct consumer *consumer, struct slice queue, uint64_t consumers);

/* Prunes a few expired rows of the store, at most once per interval. */
void consumer_prune(struct consumer *consumer, uint64_t now_ms);

/* While the store waits for another host: a turn for the watchdog, and a heartbeat for the broker
 * where one is due. `context` is the consumer. */
bool consumer_show_life(void *context);

/* Says in the log what the store warns of, once and again where it has changed. */
void consumer_report_store(struct consumer *consumer);

void consumer_write_lines(struct consumer *consumer);
