/* The two clocks: monotonic for every deadline, wall for what people and other machines read. */
#pragma once

#include <stdint.h>

uint64_t clock_monotonic_ms(void);
uint64_t clock_monotonic_us(void);
uint64_t clock_wall_ms(void);
