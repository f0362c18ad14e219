/* Prometheus text: every type, label and scale; buckets that add up. */
#include "common/metrics/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define SOME_METRICS(METRIC)                                                                       \
    METRIC(saves, COUNTERS("outcome", [1] = "failed", [0] = "ok"), "saves_total",                  \
           "Saves \\ by\noutcome.")                                                                \
    METRIC(large, COUNTER, "large_total", "Large.")                                                \
    METRIC(blocked_ms, COUNTER, "blocked_seconds_total", "Blocked.", .scale = 0.001)               \
    METRIC(depth, GAUGE, "depth", "Depth.")
struct some_metrics {
    SOME_METRICS(METRIC_MEMBER)
};
#define SOME_ROW(...) METRIC_ROW(struct some_metrics, __VA_ARGS__)
METRIC_TABLE(append_some_metrics, struct some_metrics, SOME_METRICS(SOME_ROW))

#define LATENCY_METRICS(METRIC) METRIC(latency, HISTOGRAM, "latency_seconds", "Latency.")
struct latency_metrics {
    LATENCY_METRICS(METRIC_MEMBER)
};
#define LATENCY_ROW(...) METRIC_ROW(struct latency_metrics, __VA_ARGS__)
METRIC_TABLE(append_latency_metrics, struct latency_metrics, LATENCY_METRICS(LATENCY_ROW))

static void assert_text(struct buffer *text, const char *expected)
{
    size_t length;
    char *taken = buffer_take(text, &length);
    assert_non_null(taken);
    assert_string_equal(taken, expected);
    free(taken);
}

static void counters_and_gauges(void **state)
{
    (void)state;
    struct some_metrics metrics = {.depth = 0};
    struct buffer text;
    buffer_init(&text, 65536);
    metric_add(&metrics.saves[0], 3);
    metric_add(&metrics.saves[0], 4);
    metric_add(&metrics.large, UINT64_MAX);
    metric_add(&metrics.blocked_ms, 1500);
    metric_set(&metrics.depth, -2);
    append_some_metrics(&text, &metrics);
    assert_text(&text, "# HELP saves_total Saves \\\\ by\\noutcome.\n"
                       "# TYPE saves_total counter\n"
                       "saves_total{outcome=\"ok\"} 7\n"
                       "saves_total{outcome=\"failed\"} 0\n"
                       "# HELP large_total Large.\n"
                       "# TYPE large_total counter\n"
                       "large_total 18446744073709551615\n"
                       "# HELP blocked_seconds_total Blocked.\n"
                       "# TYPE blocked_seconds_total counter\n"
                       "blocked_seconds_total 1.5\n"
                       "# HELP depth Depth.\n"
                       "# TYPE depth gauge\n"
                       "depth -2\n");
}

static void each_row_reads_its_own_member(void **state)
{
    (void)state;
    struct some_metrics metrics = {.depth = 5};
    struct buffer text;
    buffer_init(&text, 65536);
    metric_add(&metrics.saves[0], 1);
    metric_add(&metrics.saves[1], 2);
    metric_add(&metrics.large, 3);
    metric_add(&metrics.blocked_ms, 4000);
    append_some_metrics(&text, &metrics);
    buffer_append_byte(&text, '\0');
    assert_non_null(strstr(text.data, "\nsaves_total{outcome=\"ok\"} 1\n"
                                      "saves_total{outcome=\"failed\"} 2\n"));
    assert_non_null(strstr(text.data, "\nlarge_total 3\n"));
    assert_non_null(strstr(text.data, "\nblocked_seconds_total 4\n"));
    assert_non_null(strstr(text.data, "\ndepth 5\n"));
    buffer_done(&text);
}

static void a_histogram_is_cumulative(void **state)
{
    (void)state;
    struct latency_metrics metrics = {.latency = {.sum_us = 0}};
    struct buffer text;
    buffer_init(&text, 65536);
    metric_observe_us(&metrics.latency, 0);
    metric_observe_us(&metrics.latency, 500); /* a bound is inside its bucket */
    metric_observe_us(&metrics.latency, 501);
    metric_observe_us(&metrics.latency, 700000);
    metric_observe_us(&metrics.latency, 10000000);
    metric_observe_us(&metrics.latency, 10000001);
    append_latency_metrics(&text, &metrics);
    assert_text(&text, "# HELP latency_seconds Latency.\n"
                       "# TYPE latency_seconds histogram\n"
                       "latency_seconds_bucket{le=\"0.0005\"} 2\n"
                       "latency_seconds_bucket{le=\"0.001\"} 3\n"
                       "latency_seconds_bucket{le=\"0.0025\"} 3\n"
                       "latency_seconds_bucket{le=\"0.005\"} 3\n"
                       "latency_seconds_bucket{le=\"0.01\"} 3\n"
                       "latency_seconds_bucket{le=\"0.025\"} 3\n"
                       "latency_seconds_bucket{le=\"0.05\"} 3\n"
                       "latency_seconds_bucket{le=\"0.1\"} 3\n"
                       "latency_seconds_bucket{le=\"0.25\"} 3\n"
                       "latency_seconds_bucket{le=\"0.5\"} 3\n"
                       "latency_seconds_bucket{le=\"1\"} 4\n"
                       "latency_seconds_bucket{le=\"2.5\"} 4\n"
                       "latency_seconds_bucket{le=\"5\"} 4\n"
                       "latency_seconds_bucket{le=\"10\"} 5\n"
                       "latency_seconds_bucket{le=\"+Inf\"} 6\n"
                       "latency_seconds_sum 20.701002\n"
                       "latency_seconds_count 6\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_and_gauges),
        cmocka_unit_test(each_row_reads_its_own_member),
        cmocka_unit_test(a_histogram_is_cumulative),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
