/* Counters, gauges and histograms, and their Prometheus text. Each module owns a struct of metrics
 * and a table of rows that describe it; a service renders the tables it is made of.
 * Updates are from any thread without a lock; rendering may run beside them. */
#pragma once

#include "common/buffer.h"

#include <stdatomic.h>

typedef _Atomic uint64_t metric_counter;
typedef _Atomic int64_t metric_gauge;

enum { METRIC_BUCKETS = 14 };

/* Durations; bounds are metric_bucket_bounds_us in microseconds, shown in seconds. */
struct metric_histogram {
    _Atomic uint64_t buckets[METRIC_BUCKETS + 1]; /* the last one is +Inf; not cumulative */
    _Atomic uint64_t sum_us;
};

extern const uint32_t metric_bucket_bounds_us[METRIC_BUCKETS];

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_row {
    const char *name;   /* rows of one name stand together; the first gives help and type */
    const char *labels; /* `outcome="confirmed"`, or NULL */
    const char *help;
    enum metric_type type;
    const void *value; /* metric_counter, metric_gauge or struct metric_histogram, borrowed */
    double scale;      /* shown value = value * scale; 0 means 1 (a counter of ms is 0.001) */
};

static inline void metric_add(metric_counter *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}
static inline void metric_set(metric_gauge *gauge, int64_t value)
{
    atomic_store_explicit(gauge, value, memory_order_relaxed);
}
void metric_observe_us(struct metric_histogram *histogram, uint64_t duration_us);

/* Appends the rows as Prometheus text format 0.0.4; HELP and TYPE once for each name. */
void metrics_render(struct buffer *text, const struct metric_row *rows, size_t count);
