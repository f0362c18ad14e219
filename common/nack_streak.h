/* How long a connection has had nothing but refusals from the broker. Pure.
 *
 * A quorum queue of RabbitMQ 3.10 whose length limit is removed while it is reached goes on
 * refusing each channel that it has refused: what publishes there needs another one. */
#pragma once

#include "common/error.h"

#include <stdint.h>

enum { NACK_STREAK_MS_MAX = 10000 };

/* All zero: none. For each connection anew. */
struct nack_streak {
    uint64_t since_ms; /* of the first nack since the last ack; 0: none */
};

void nack_streak_note_ack(struct nack_streak *streak);
void nack_streak_note_nack(struct nack_streak *streak, uint64_t now_ms);

/* TRANSIENT: it lasts so long that the connection is of no more use. */
MUST_CHECK enum outcome nack_streak_judge(const struct nack_streak *streak, uint64_t now_ms,
                                          struct error *ret_error);
