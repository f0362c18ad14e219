/* Counters, gauges and histograms as Prometheus text. */
#include "common/metrics/metrics.h"

#include <inttypes.h>
#include <stdio.h>

const uint32_t metric_bucket_bounds_us[METRIC_BUCKETS] = {
    500,    1000,   2500,   5000,    10000,   25000,   50000,
    100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000,
};

void metric_observe_us(struct metric_histogram *histogram, uint64_t duration_us)
{
    size_t i = 0;
    while (i < METRIC_BUCKETS && duration_us > metric_bucket_bounds_us[i]) {
        i++;
    }
    atomic_fetch_add_explicit(&histogram->buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_us, duration_us, memory_order_relaxed);
}

static const char *type_name(enum metric_type type)
{
    switch (type) {
    case METRIC_COUNTER:
    case METRIC_COUNTERS:
        return "counter";
    case METRIC_GAUGE:
        return "gauge";
    case METRIC_HISTOGRAM:
        return "histogram";
    }
    return "untyped";
}

static void append_help(struct buffer *text, const struct metric_row *row)
{
    buffer_append_format(text, "# HELP %s ", row->name);
    for (const char *help = row->help; *help != '\0'; help++) {
        if (*help == '\\') {
            buffer_append_text(text, "\\\\");
        } else if (*help == '\n') {
            buffer_append_text(text, "\\n");
        } else {
            buffer_append_byte(text, *help);
        }
    }
    buffer_append_format(text, "\n# TYPE %s %s\n", row->name, type_name(row->type));
}

static void append_scaled(struct buffer *text, double value, double scale)
{
    buffer_append_format(text, "%.15g\n", value * scale);
}

static void append_count(struct buffer *text, const struct metric_row *row,
                         const metric_counter *counter)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    if (row->scale > 0) {
        append_scaled(text, (double)value, row->scale);
    } else {
        /* Not by way of a double, which would round what is over 2^53. */
        buffer_append_format(text, "%" PRIu64 "\n", value);
    }
}

static void append_counter(struct buffer *text, const struct metric_row *row,
                           const metric_counter *counter)
{
    buffer_append_format(text, "%s ", row->name);
    append_count(text, row, counter);
}

static void append_counters(struct buffer *text, const struct metric_row *row,
                            const metric_counter *counters)
{
    for (size_t i = 0; i < row->count; i++) {
        buffer_append_format(text, "%s{%s=\"%s\"} ", row->name, row->label, row->values[i]);
        append_count(text, row, &counters[i]);
    }
}

static void append_gauge(struct buffer *text, const struct metric_row *row,
                         const metric_gauge *gauge)
{
    int64_t value = atomic_load_explicit(gauge, memory_order_relaxed);
    buffer_append_format(text, "%s ", row->name);
    if (row->scale > 0) {
        append_scaled(text, (double)value, row->scale);
    } else {
        buffer_append_format(text, "%" PRId64 "\n", value);
    }
}

static void append_bucket(struct buffer *text, const struct metric_row *row, const char *bound,
                          uint64_t count)
{
    buffer_append_format(text, "%s_bucket{le=\"%s\"} %" PRIu64 "\n", row->name, bound, count);
}

static void append_histogram(struct buffer *text, const struct metric_row *row,
                             const struct metric_histogram *histogram)
{
    uint64_t count = 0;
    for (size_t i = 0; i < METRIC_BUCKETS; i++) {
        char bound[32];
        (void)snprintf(bound, sizeof(bound), "%g", metric_bucket_bounds_us[i] / 1e6);
        count += atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
        append_bucket(text, row, bound, count);
    }
    /* _count is what the buckets add up to, so that both agree while others observe. */
    count += atomic_load_explicit(&histogram->buckets[METRIC_BUCKETS], memory_order_relaxed);
    append_bucket(text, row, "+Inf", count);
    uint64_t sum_us = atomic_load_explicit(&histogram->sum_us, memory_order_relaxed);
    buffer_append_format(text, "%s_sum %" PRIu64 ".%06" PRIu64 "\n", row->name, sum_us / 1000000,
                         sum_us % 1000000);
    buffer_append_format(text, "%s_count %" PRIu64 "\n", row->name, count);
}

void metrics_render(struct buffer *text, const struct metric_row *rows, size_t count,
                    const void *metrics)
{
    for (size_t i = 0; i < count; i++) {
        const struct metric_row *row = &rows[i];
        const void *value = (const char *)metrics + row->offset;
        append_help(text, row);
        switch (row->type) {
        case METRIC_COUNTER:
            append_counter(text, row, value);
            break;
        case METRIC_COUNTERS:
            append_counters(text, row, value);
            break;
        case METRIC_GAUGE:
            append_gauge(text, row, value);
            break;
        case METRIC_HISTOGRAM:
            append_histogram(text, row, value);
            break;
        }
    }
}
