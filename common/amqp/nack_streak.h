/* Measures how long a connection has received nothing but refusals (nacks). Pure.
 *
 * A quorum queue of RabbitMQ 3.10 keeps refusing a channel after the cause has passed: the queue
 * was full, or its leader was gone. The publisher then needs another connection. The first such
 * connection is closed soon, since a new leader is elected within seconds. Each later one is kept
 * twice as long, since a full queue usually stays full. */
#pragma once

#include "common/base/error.h"

#include <stdint.h>

enum { NACK_STREAK_MS_MIN = 1000, NACK_STREAK_MS_MAX = 10000 };

/* A struct of zeros is a streak that has not begun. */
struct nack_streak {
    uint64_t since_ms;    /* of the connection's first nack since its last ack; 0: none */
    uint64_t patience_ms; /* the time limit of the next connection that is closed; 0: the least */
};

/* Begins a new connection, with the time limit that the last one has left. */
void nack_streak_begin(struct nack_streak *streak);

void nack_streak_record_ack(struct nack_streak *streak);
void nack_streak_record_nack(struct nack_streak *streak, uint64_t now_ms);

/* TRANSIENT: the connection has refused everything for too long; close it. Returned once per
 * connection. */
MUST_CHECK enum outcome nack_streak_check(struct nack_streak *streak, uint64_t now_ms,
                                          struct error *ret_error);
