/* The times of events: none is earlier than the one before, whatever the wall clock does. Pure.
 *
 *     the wall clock goes on       its time; events of one millisecond share it, and their ids
 *                                  say which is the later one
 *     it was set back              the time before and a millisecond: who reads it compares times
 *                                  and not only ids, which a client may have chosen
 *     another type than before     at least a millisecond later, for the same reason
 *
 * More than a thousand events a second use these milliseconds up faster than they pass. So the
 * second row has an end: as far ahead of the clock as it was set back, and a second. From there on
 * events share a time until the clock has come up to it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    EVENT_CLOCK_SPARE_MS = 1000,
    /* What is further ahead is not taken over from the process before: its clock was wrong. */
    EVENT_CLOCK_AHEAD_MS_MAX = 24 * 3600 * 1000,
};

/* Zero it to begin. Times are in milliseconds since 1970. */
struct event_clock {
    uint64_t last_ms;    /* the time that was given out last */
    uint64_t now_ms;     /* the wall clock, when it was */
    uint64_t ceiling_ms; /* up to here times ascend while the wall clock is behind them */
};

/* Begins after a time that the process before has given out: the clock may have been set back in
 * between. `now_ms` is the wall clock. */
void event_clock_continue(struct event_clock *clock, uint64_t given_out_ms, uint64_t now_ms);

/* The time of the next event. `now_ms` is the wall clock. */
uint64_t event_clock_next(struct event_clock *clock, uint64_t now_ms, bool of_another_type);
