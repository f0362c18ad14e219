/* See admission.h. */
#include "user-service/admission.h"

void admission_init(struct admission *admission, size_t events_max, size_t bytes_max,
                    uint64_t latency_max_us)
{
    *admission = (struct admission){.events_max = events_max,
                                    .bytes_max = bytes_max,
                                    .latency_max_us = latency_max_us,
                                    .limit = events_max};
}

bool admission_has_room(struct admission *admission, size_t bytes)
{
    if (admission->events >= admission->limit) {
        admission->was_full = true;
        return false;
    }
    return admission->bytes + bytes <= admission->bytes_max;
}

bool admission_lacks_bytes(const struct admission *admission)
{
    return admission->events < admission->limit;
}

void admission_enter(struct admission *admission, size_t bytes)
{
    admission->events++;
    admission->bytes += bytes;
    if (admission->events > admission->most_events) {
        admission->most_events = admission->events;
    }
}

void admission_leave(struct admission *admission, size_t bytes)
{
    admission->events--;
    admission->bytes -= bytes;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* What was under way at the most, scaled to what would have been confirmed in time. */
static size_t sustainable(const struct admission *admission, uint64_t latency_us)
{
    uint64_t events = admission->most_events * admission->latency_max_us / latency_us;
    size_t least = smaller(ADMISSION_EVENTS_MIN, admission->events_max);
    return events < least ? least : smaller((size_t)events, admission->limit);
}

static void end_interval(struct admission *admission)
{
    uint64_t latency_us = admission->latency_sum_us / admission->confirmed;
    bool is_late = latency_us > admission->latency_max_us;
    if (is_late && admission->was_late) {
        admission->limit = sustainable(admission, latency_us);
    } else if (!is_late && admission->was_full) {
        admission->limit =
            smaller(admission->limit + admission->limit / 8 + 1, admission->events_max);
    }
    admission->was_late = is_late;
}

void admission_record_confirm(struct admission *admission, uint64_t latency_us, uint64_t now_us)
{
    if (admission->confirmed > 0 && now_us - admission->started_us >= ADMISSION_INTERVAL_US) {
        end_interval(admission);
        admission->confirmed = admission->latency_sum_us = 0;
        admission->most_events = admission->events;
        admission->was_full = false;
    }
    if (admission->confirmed == 0) {
        admission->started_us = now_us;
    }
    admission->confirmed++;
    admission->latency_sum_us += latency_us;
}
