/* See nack_streak.h. */
#include "common/nack_streak.h"

void nack_streak_note_ack(struct nack_streak *streak)
{
    streak->since_ms = 0;
}

void nack_streak_note_nack(struct nack_streak *streak, uint64_t now_ms)
{
    if (streak->since_ms == 0) {
        streak->since_ms = now_ms;
    }
}

enum outcome nack_streak_judge(const struct nack_streak *streak, uint64_t now_ms,
                               struct error *ret_error)
{
    if (streak->since_ms == 0 || now_ms - streak->since_ms <= NACK_STREAK_MS_MAX) {
        return OUTCOME_OK;
    }
    return error_set(ret_error, OUTCOME_TRANSIENT,
                     "the broker has refused every message for %d s: is the queue full?",
                     NACK_STREAK_MS_MAX / 1000);
}
