/* Exponential backoff with full jitter. */
#include "common/base/backoff.h"

void backoff_init(struct backoff *backoff, uint32_t base_ms, uint32_t cap_ms, uint64_t seed)
{
    *backoff = (struct backoff){.base_ms = base_ms, .cap_ms = cap_ms, .random = seed};
}

void backoff_reset(struct backoff *backoff)
{
    backoff->attempt = 0;
}

uint32_t backoff_next_ms(struct backoff *backoff)
{
    /* From 2^32 on every base but 0 is over every cap, and 32 + 32 bits cannot overflow. */
    uint32_t exponent = backoff->attempt < 32 ? backoff->attempt : 32;
    uint64_t ceiling = (uint64_t)backoff->base_ms << exponent;
    if (ceiling > backoff->cap_ms) {
        ceiling = backoff->cap_ms;
    }
    if (backoff->attempt < UINT32_MAX) {
        backoff->attempt++;
    }
    /* Knuth's generator. Its upper half is uniform enough, and seeds side by side lead far apart.
     */
    backoff->random =
        backoff->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(((backoff->random >> 32) * (ceiling + 1)) >> 32);
}

uint32_t backoff_longer_ms(uint32_t last_ms, uint32_t base_ms, uint32_t cap_ms)
{
    uint64_t next_ms = 2 * (uint64_t)last_ms;
    next_ms = next_ms > base_ms ? next_ms : base_ms;
    return next_ms < cap_ms ? (uint32_t)next_ms : cap_ms;
}
