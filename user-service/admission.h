/* Admission limits how many events may be in flight. There is a fixed limit of events and one of
 * bytes. A third limit, below them, follows the latency of the confirms. Pure; one thread.
 *
 * When confirms take longer than `latency_max_us` in two consecutive intervals, the limit becomes
 * the number of events that are confirmed in that time (Little's law). Further events are refused
 * at once. While confirms are in time, the limit grows again. */
#pragma once

#include "common/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    ADMISSION_INTERVAL_US = 250 * 1000,
    ADMISSION_EVENTS_MIN = 64, /* no latency makes the limit smaller */
};

struct admission {
    size_t events_max, bytes_max;
    uint64_t latency_max_us;
    size_t limit;         /* of events, now */
    size_t events, bytes; /* under way */
    /* Of the interval that began at started_us. */
    uint64_t started_us, latency_sum_us, confirmed;
    size_t most_events;
    bool was_full;
    bool was_late; /* the interval before was */
};

void admission_init(struct admission *admission, size_t events_max, size_t bytes_max,
                    uint64_t latency_max_us);

/* Returns whether an event of `bytes` bytes may begin. */
bool admission_has_room(struct admission *admission, size_t bytes);
/* Of one that has no room: whether for another one, of no bytes, there would be room. */
bool admission_lacks_bytes(const struct admission *admission);
void admission_enter(struct admission *admission, size_t bytes);
void admission_leave(struct admission *admission, size_t bytes);

/* Records the latency of an event that the broker has confirmed. */
void admission_record_confirm(struct admission *admission, uint64_t latency_us, uint64_t now_us);
