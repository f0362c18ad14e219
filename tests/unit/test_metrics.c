/* Prometheus text: every type, label and scale; buckets that add up. */
#include "common/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

static void assert_rendered(const struct metric_row *rows, size_t count, const char *expected)
{
    struct buffer text;
    buffer_init(&text, 65536);
    metrics_render(&text, rows, count);
    size_t length;
    char *taken = buffer_take(&text, &length);
    assert_non_null(taken);
    assert_string_equal(taken, expected);
    free(taken);
}

static void counters_and_gauges(void **state)
{
    (void)state;
    metric_counter ok = 0;
    metric_counter failed = 0;
    metric_counter large = 0;
    metric_counter blocked_ms = 0;
    metric_gauge depth = 0;
    metric_add(&ok, 3);
    metric_add(&ok, 4);
    metric_add(&large, UINT64_MAX);
    metric_add(&blocked_ms, 1500);
    metric_set(&depth, -2);
    const struct metric_row rows[] = {
        {"saves_total", "outcome=\"ok\"", "Saves \\ by\noutcome.", METRIC_COUNTER, &ok, 0},
        {"saves_total", "outcome=\"failed\"", "Saves.", METRIC_COUNTER, &failed, 0},
        {"large_total", NULL, "Large.", METRIC_COUNTER, &large, 0},
        {"blocked_seconds_total", NULL, "Blocked.", METRIC_COUNTER, &blocked_ms, 0.001},
        {"depth", NULL, "Depth.", METRIC_GAUGE, &depth, 0},
    };
    assert_rendered(rows, 5,
                    "# HELP saves_total Saves \\\\ by\\noutcome.\n"
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
    assert_rendered(rows, 0, "");
}

static void a_histogram_is_cumulative(void **state)
{
    (void)state;
    struct metric_histogram histogram = {.sum_us = 0};
    metric_observe_us(&histogram, 0);
    metric_observe_us(&histogram, 500); /* a bound is inside its bucket */
    metric_observe_us(&histogram, 501);
    metric_observe_us(&histogram, 700000);
    metric_observe_us(&histogram, 10000000);
    metric_observe_us(&histogram, 10000001);
    const struct metric_row row = {"latency_seconds", "queue=\"session\"", "Latency.",
                                   METRIC_HISTOGRAM,  &histogram,          0};
    assert_rendered(&row, 1,
                    "# HELP latency_seconds Latency.\n"
                    "# TYPE latency_seconds histogram\n"
                    "latency_seconds_bucket{queue=\"session\",le=\"0.0005\"} 2\n"
                    "latency_seconds_bucket{queue=\"session\",le=\"0.001\"} 3\n"
                    "latency_seconds_bucket{queue=\"session\",le=\"0.0025\"} 3\n"
                    "latency_seconds_bucket{queue=\"session\",le=\"0.005\"} 3\n"
                    "latency_seconds_bucket{queue=\"session\",le=\"0.01\"} 3\n"
                    "latency_seconds_bucket{queue=\"session\",le=\"0.025\"} 3\n"
                    "latency_seconds_bucket{queue=\"session\",le=\"0.05\"} 3\n"
                    "latency_seconds_bucket{queue=\"session\",le=\"0.1\"} 3\n"
                    "latency_seconds_bucket{queue=\"session\",le=\"0.25\"} 3\n"
                    "latency_seconds_bucket{queue=\"session\",le=\"0.5\"} 3\n"
                    "latency_seconds_bucket{queue=\"session\",le=\"1\"} 4\n"
                    "latency_seconds_bucket{queue=\"session\",le=\"2.5\"} 4\n"
                    "latency_seconds_bucket{queue=\"session\",le=\"5\"} 4\n"
                    "latency_seconds_bucket{queue=\"session\",le=\"10\"} 5\n"
                    "latency_seconds_bucket{queue=\"session\",le=\"+Inf\"} 6\n"
                    "latency_seconds_sum{queue=\"session\"} 20.701002\n"
                    "latency_seconds_count{queue=\"session\"} 6\n");
}

static void a_histogram_without_labels(void **state)
{
    (void)state;
    struct metric_histogram histogram = {.sum_us = 0};
    metric_observe_us(&histogram, 20000000);
    const struct metric_row row = {"wait_seconds", NULL, "Wait.", METRIC_HISTOGRAM, &histogram, 0};
    struct buffer text;
    buffer_init(&text, 65536);
    metrics_render(&text, &row, 1);
    size_t length;
    char *taken = buffer_take(&text, &length);
    assert_non_null(strstr(taken, "\nwait_seconds_bucket{le=\"10\"} 0\n"
                                  "wait_seconds_bucket{le=\"+Inf\"} 1\n"
                                  "wait_seconds_sum 20.000000\n"
                                  "wait_seconds_count 1\n"));
    free(taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_and_gauges),
        cmocka_unit_test(a_histogram_is_cumulative),
        cmocka_unit_test(a_histogram_without_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
