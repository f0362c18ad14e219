/* One comparison with the time before, and what a clock that was set back leaves for it. */
#include "user-service/event_clock.h"

void event_clock_continue(struct event_clock *clock, uint64_t given_out_ms, uint64_t now_ms)
{
    if (given_out_ms <= now_ms + EVENT_CLOCK_AHEAD_MS_MAX) {
        *clock = (struct event_clock){.last_ms = given_out_ms, .now_ms = given_out_ms};
    }
}

uint64_t event_clock_next(struct event_clock *clock, uint64_t now_ms, bool of_another_type)
{
    if (now_ms < clock->now_ms) {
        uint64_t back_ms = clock->now_ms - now_ms;
        uint64_t ceiling_ms = clock->now_ms + back_ms + EVENT_CLOCK_SPARE_MS;
        if (ceiling_ms > clock->ceiling_ms) {
            clock->ceiling_ms = ceiling_ms;
        }
    }
    clock->now_ms = now_ms;
    if (now_ms >= clock->last_ms + of_another_type) {
        clock->last_ms = now_ms;
    } else if (of_another_type || (now_ms < clock->last_ms && clock->last_ms < clock->ceiling_ms)) {
        clock->last_ms++;
    }
    return clock->last_ms;
}
