/* See nack_streak.h. */
#include "common/amqp/nack_streak.h"

void nack_streak_begin(struct nack_streak *streak)
{
    streak->since_ms = 0;
}

void nack_streak_record_ack(struct nack_streak *streak)
{
    streak->since_ms = 0;
    streak->patience_ms = 0;
}

void nack_streak_record_nack(struct nack_streak *streak, uint64_t now_ms)
{
    if (streak->since_ms == 0) {
        streak->since_ms = now_ms;
    }
}

enum outcome nack_streak_check(struct nack_streak *streak, uint64_t now_ms, struct error *ret_error)
{
    uint64_t patience_ms =
        streak->patience_ms < NACK_STREAK_MS_MIN ? NACK_STREAK_MS_MIN : streak->patience_ms;
    if (streak->since_ms == 0 || now_ms - streak->since_ms <= patience_ms) {
        return OUTCOME_OK;
    }
    streak->since_ms = 0;
    streak->patience_ms =
        2 * patience_ms < NACK_STREAK_MS_MAX ? 2 * patience_ms : NACK_STREAK_MS_MAX;
    return error_set(ret_error, OUTCOME_TRANSIENT,
                     "the broker has refused every message for %llu s: is the queue full?",
                     (unsigned long long)(patience_ms / 1000));
}
