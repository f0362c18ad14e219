/* How long a connection has had nothing but refusals from the broker. Pure.
 *
 * A quorum queue of RabbitMQ 3.10 goes on refusing a channel after its reason for it has passed:
 * that it was full, or that its leader was gone. What publishes there needs another one. The first
 * is given up soon, since a new leader is elected within seconds; each one after it is borne twice
 * as long, since a queue that is full stays so. */
#pragma once

#include "common/base/error.h"

#include <stdint.h>

enum { NACK_STREAK_MS_MIN = 1000, NACK_STREAK_MS_MAX = 10000 };

/* All zero: none. */
struct nack_streak {
    uint64_t since_ms;    /* of the connection's first nack since its last ack; 0: none */
    uint64_t patience_ms; /* of the next connection that is given up; 0: the least */
};

/* Another connection: it is borne as long as the last one has made it. */
void nack_streak_begin(struct nack_streak *streak);

void nack_streak_record_ack(struct nack_streak *streak);
void nack_streak_record_nack(struct nack_streak *streak, uint64_t now_ms);

/* TRANSIENT: it lasts so long that the connection is of no more use. Said once for each. */
MUST_CHECK enum outcome nack_streak_check(struct nack_streak *streak, uint64_t now_ms,
                                          struct error *ret_error);
