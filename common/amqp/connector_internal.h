/* What the connector's thread shares with what it sets up on a new connection. */
#pragma once

#include "common/amqp/broker_hosts.h"
#include "common/amqp/connector.h"
#include "common/base/backoff.h"

struct connector {
    struct connector_options options;
    struct worker worker;
    atomic_bool wanted, reset_backoff;
    atomic_bool holds_lock; /* the connection that was made last */
    atomic_uint_least64_t attempts, failed_rounds;

    /* The thread's own. */
    struct broker_hosts hosts;
    size_t next_address;
    size_t failed_hosts; /* of the round */
    struct backoff backoff;
    uint32_t wrong_wait_ms; /* the last wait because of a wrong configuration; else 0 */
    struct error logged_error;
    uint64_t logged_ms;
    struct error logged_not_locked;

    pthread_mutex_t lock; /* guards what follows, and the owner: who has stopped us is not woken */
    struct broker *ready;
    struct error last_error;
    struct broker_queue_finding *findings; /* owned, one for each queue; the thread writes them,
                                            * others read what the queues discard */
    bool stands_by;
    struct error standby_reason;
};

/* Waits so long, or until it is to stop. */
void connector_wait(struct connector *connector, uint32_t wait_ms);

/* Declares and binds what the options name, and takes the lock where there is one; then it consumes
 * or has saves confirmed. May wait for the lock until the worker is stopped. */
enum outcome connector_set_up(struct connector *connector, struct broker *broker,
                              struct error *ret_error);
