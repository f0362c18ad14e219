/* Counters, gauges and histograms of durations, and their Prometheus text. Updates are from any
 * thread without a lock; rendering may run beside them.
 *
 * One list of a module's metrics declares both the members of its struct and the rows of its table,
 * so that neither their types nor their number can differ:
 *
 *     #define SOME_METRICS(METRIC)                                                        \
 *         METRIC(depth, GAUGE, "some_depth", "What waits.")                               \
 *         METRIC(taken, COUNTERS("outcome", "ok", "failed"), "some_taken_total", "Taken.")
 *     struct some_metrics {
 *         SOME_METRICS(METRIC_MEMBER)
 *     };
 *     #define ROW(...) METRIC_ROW(struct some_metrics, __VA_ARGS__)
 *     METRIC_TABLE(append_some_metrics, struct some_metrics, SOME_METRICS(ROW))
 *
 * The module then calls append_some_metrics(text, &its_metrics) for GET /metrics.
 *
 * How to add a metric: add one line to the list, in the place where it is to be shown, which is
 *
 *     METRIC(member, kind, "name", "help", further fields of struct metric_row)
 *
 * The kind decides the C type of the member:
 *
 *     COUNTER                              metric_counter
 *     COUNTERS("label", "value", ...)      an array of metric_counter, one for each label value;
 *                                          a value may say its index: [EVENT_NACKED] = "nacked"
 *     GAUGE                                metric_gauge
 *     HISTOGRAM                            struct metric_histogram; of durations, so the name ends
 *                                          with _seconds: metric_observe_us() takes microseconds,
 *                                          and all histograms have the same bounds
 *
 * The only further field is `.scale`. Then document the metric in docs/monitoring.md. A value that
 * is known only when it is asked for goes into a struct of metrics that is made for the reply.
 *
 * A new kind needs the macros METRIC_C_TYPE_, METRIC_EXTENT_ and METRIC_FIELDS_ with its name, and
 * a value of enum metric_type, for which metrics.c renders the TYPE line and the samples. */
#pragma once

#include "common/base/buffer.h"
#include "common/base/static_check.h"

#include <stdatomic.h>
#include <stddef.h>

typedef _Atomic uint64_t metric_counter;
typedef _Atomic int64_t metric_gauge;

enum { METRIC_BUCKETS = 14 };

/* Durations; bounds are metric_bucket_bounds_us in microseconds, shown in seconds. */
struct metric_histogram {
    _Atomic uint64_t buckets[METRIC_BUCKETS + 1]; /* the last one is +Inf; not cumulative */
    _Atomic uint64_t sum_us;
};

extern const uint32_t metric_bucket_bounds_us[METRIC_BUCKETS];

enum metric_type { METRIC_COUNTER, METRIC_COUNTERS, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_row {
    const char *name;
    const char *help;
    enum metric_type type;
    size_t offset;             /* in the struct of metrics; only METRIC_ROW() sets it */
    double scale;              /* shown value = value * scale; 0 means 1 (a counter of ms: 0.001) */
    const char *label;         /* of COUNTERS: its name, its values, and how many these are */
    const char *const *values; /* borrowed */
    size_t count;
};

/* What a line of the list becomes: a member, and a row. */
#define METRIC_MEMBER(member, kind, ...)                                                           \
    METRIC_EXPAND(METRIC_C_TYPE_##kind) member METRIC_EXPAND(METRIC_EXTENT_##kind);
#define METRIC_ROW(owner, member, kind, metric_name, metric_help, ...)                             \
    {.name = (metric_name),                                                                        \
     .help = (metric_help),                                                                        \
     .offset = METRIC_OFFSET(owner, member,                                                        \
                             METRIC_EXPAND(METRIC_C_TYPE_##kind)(*)                                \
                                 METRIC_EXPAND(METRIC_EXTENT_##kind)),                             \
     METRIC_EXPAND(METRIC_FIELDS_##kind),                                                          \
     __VA_ARGS__},

/* Only cppcheck needs this: it does not expand a name that was just put together. */
#define METRIC_EXPAND(...) __VA_ARGS__

/* Defines a function that appends the rows: void function(struct buffer *, const owner *). */
#define METRIC_TABLE(function, owner, ...)                                                         \
    static const struct metric_row function##_rows[] = {__VA_ARGS__};                              \
    static void function(struct buffer *text, const owner *metrics)                                \
    {                                                                                              \
        metrics_render(text, function##_rows, sizeof(function##_rows) / sizeof(struct metric_row), \
                       metrics);                                                                   \
    }

#define METRIC_C_TYPE_COUNTER metric_counter
#define METRIC_C_TYPE_COUNTERS(of_label, ...) metric_counter
#define METRIC_C_TYPE_GAUGE metric_gauge
#define METRIC_C_TYPE_HISTOGRAM struct metric_histogram

#define METRIC_EXTENT_COUNTER
#define METRIC_EXTENT_COUNTERS(of_label, ...) [METRIC_COUNT_OF(__VA_ARGS__)]
#define METRIC_EXTENT_GAUGE
#define METRIC_EXTENT_HISTOGRAM

#define METRIC_FIELDS_COUNTER .type = METRIC_COUNTER
#define METRIC_FIELDS_COUNTERS(of_label, ...)                                                      \
    .type = METRIC_COUNTERS, .label = (of_label), .values = (const char *const[]){__VA_ARGS__},    \
    .count = METRIC_COUNT_OF(__VA_ARGS__)
#define METRIC_FIELDS_GAUGE .type = METRIC_GAUGE
#define METRIC_FIELDS_HISTOGRAM .type = METRIC_HISTOGRAM

#define METRIC_COUNT_OF(...) (sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

/* Rendering reads through the offset as the kind says: a member of another type, or a shorter
 * array, must not compile. */
#define METRIC_OFFSET(owner, member, pointer_type)                                                 \
    (offsetof(owner, member) + STATIC_CHECK_TYPE(&((owner *)0)->member, __typeof__(pointer_type),  \
                                                 "the metric's kind asks for another C type"))

static inline void metric_add(metric_counter *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}
static inline void metric_set(metric_gauge *gauge, int64_t value)
{
    atomic_store_explicit(gauge, value, memory_order_relaxed);
}
void metric_observe_us(struct metric_histogram *histogram, uint64_t duration_us);

/* Appends the rows, whose values are in `metrics`, as Prometheus text format 0.0.4. */
void metrics_render(struct buffer *text, const struct metric_row *rows, size_t count,
                    const void *metrics);
