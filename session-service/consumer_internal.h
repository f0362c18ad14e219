/* What the consumer's source files share: its state, its life (consumer_life.c), and the handling
 * of a batch (consumer_batch.c). */
#pragma once

#include "session-service/ack_window.h"
#include "session-service/consumer_status.h"
#include "session-service/dead_letters.h"
#include "session-service/delivery_batch.h"

#include "common/amqp/connector.h"
#include "common/base/backoff.h"

#define CONSUMER_NAME "consumer"

enum { CONSUMER_PAUSE_BASE_MS = 100, CONSUMER_PAUSE_CAP_MS = 5000 };

struct consumer {
    const struct settings *settings;
    struct consumer_status *status;
    struct connector *connector;
    struct worker worker; /* is woken when a connection is ready */

    /* The thread's own. */
    struct dead_letters *dead_letters;
    struct broker *broker; /* NULL: none */
    struct ack_window window;
    struct store *store; /* borrowed */
    struct delivery_batch batch;
    struct event_dispatcher dispatcher;
    struct buffer lines;
    bool paused; /* the store takes nothing: nothing is read, the batch waits */
    uint64_t resume_at_ms, prune_at_ms;
    struct backoff pause_backoff;
    uint64_t connections, connected_ms;
    bool more; /* the batch was closed before everything was read */
    bool proved, proof_told;
    bool stalled; /* the copies leave no room: nothing is read */
    bool held_up; /* stalled, or all that the broker may send are impossible messages */
};

/* The function of the thread. It returns when the worker is stopped. */
void consumer_run(void *owner);

/* Forgets everything that belongs to the connection, because the broker delivers it again. Keeps a
 * batch that the store could not take, so that the store can be tried with it. */
void consumer_drop_connection(struct consumer *consumer);

/* Handles the rest of the batch: first the effects on disk, then the log lines, then each delivery
 * is settled in the ack window or handed over to the dead letters. False: the consumer is paused
 * now, and the rest waits. */
MUST_CHECK bool consumer_handle_batch(struct consumer *consumer, uint64_t now_ms);

/* Prunes a few expired rows of the store, at most once per interval. */
void consumer_prune(struct consumer *consumer, uint64_t now_ms);

void consumer_write_lines(struct consumer *consumer);
