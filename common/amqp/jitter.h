/* Any spread will do for a backoff's jitter: never waits, never fails. */
#pragma once

#include <stdint.h>

uint32_t jitter_random(void);
