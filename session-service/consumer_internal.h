/* What the consumer's two source files share: its state, and its life (consumer_life.c). */
#pragma once

#include "session-service/ack_window.h"
#include "session-service/consumer_status.h"
#include "session-service/dead_letters.h"
#include "session-service/handle_user_saved.h"

#include "common/connector.h"

#define CONSUMER_NAME "consumer"

struct consumer {
    const struct settings *settings;
    struct consumer_status *status;
    struct connector *connector;
    int wake_descriptor; /* eventfd: a connection is ready, or stop */
    atomic_bool stopping;
    atomic_uint_least64_t turns;
    pthread_t thread;
    bool started, joined; /* main's own */
    pthread_mutex_t lock; /* guards `ended` */
    pthread_cond_t changed;
    bool ended;

    /* The thread's own. */
    struct dead_letters *dead_letters;
    struct broker *broker; /* NULL: none */
    struct ack_window window;
    struct user_saved_handler handler;
    struct buffer lines;
    uint64_t connections, connected_ms, life_shown_ms;
    bool more; /* the batch was closed before everything was read */
    bool proved, proof_told;
    bool stalled; /* the copies leave no room: nothing is read */
    bool held_up; /* stalled, or all that the broker may send are impossible messages */
};

/* The thread, until it is told to stop. */
void consumer_run(struct consumer *consumer);

/* Forgets all that belongs to the connection: the broker delivers it again. */
void consumer_drop_connection(struct consumer *consumer);
