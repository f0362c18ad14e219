/* Exponential backoff with full jitter: a wait is uniform in [0, min(cap, base * 2^attempt)]. Pure.
 */
#pragma once

#include <stdint.h>

struct backoff {
    uint32_t base_ms;
    uint32_t cap_ms;
    uint32_t attempt;
    uint64_t random; /* the state of its generator */
};

/* `seed` is any number that differs between callers who would otherwise wait alike. */
void backoff_init(struct backoff *backoff, uint32_t base_ms, uint32_t cap_ms, uint64_t seed);
void backoff_reset(struct backoff *backoff);

/* Returns the next wait in milliseconds and counts the attempt. */
uint32_t backoff_next_ms(struct backoff *backoff);

/* Without jitter: twice the last wait, at least `base_ms` (0: there was none) and at most `cap_ms`.
 */
uint32_t backoff_longer_ms(uint32_t last_ms, uint32_t base_ms, uint32_t cap_ms);
