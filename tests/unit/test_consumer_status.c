/* What others are told of the consumer: consuming or not, why not, and the counts by reason. */
#include "session-service/consumer_status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

/* The value of the metric with this name and these labels, as it is shown. */
static int64_t shown(const struct consumer_status *status, const char *name_and_labels)
{
    struct buffer text;
    char line_start[128];
    buffer_init(&text, 65536);
    consumer_status_append_metrics(status, &text);
    buffer_append_byte(&text, '\0');
    assert_false(text.failed);
    (void)snprintf(line_start, sizeof(line_start), "\n%s ", name_and_labels);
    const char *line = strstr(text.data, line_start);
    if (line == NULL) {
        fail_msg("no metric %s", name_and_labels);
        return -1;
    }
    int64_t value = strtoll(line + strlen(line_start), NULL, 10);
    buffer_done(&text);
    return value;
}

static void it_consumes_only_connected_neither_stalled_nor_paused(void **state)
{
    (void)state;
    const struct error why = {.text = "why"};
    for (unsigned bits = 0; bits < 8; bits++) {
        struct consumer_status status;
        consumer_status_init(&status);
        if (bits & 1) {
            consumer_status_connected(&status);
        }
        consumer_status_stalled(&status, bits & 2);
        consumer_status_paused(&status, bits & 4 ? &why : NULL);
        assert_int_equal(shown(&status, "session_service_consuming"), bits == 1);
        assert_int_equal(shown(&status, "session_service_broker_connected"), bits & 1);
        assert_int_equal(shown(&status, "session_service_store_paused"), (bits & 4) != 0);
        consumer_status_disconnected(&status, &why);
        assert_int_equal(shown(&status, "session_service_consuming"), 0);
        assert_int_equal(shown(&status, "session_service_broker_connected"), 0);
        consumer_status_done(&status);
    }
}

static void expect_reason(struct consumer_status *status, const char *connecting,
                          const char *reason)
{
    struct error cause;
    struct error told = {.text = ""};
    error_set(&cause, OUTCOME_OK, "%s", connecting);
    assert_int_equal(consumer_status_is_ready(status, &cause, &told), reason[0] == '\0');
    assert_string_equal(told.text, reason);
}

static void each_reason_is_told_until_it_has_passed(void **state)
{
    (void)state;
    struct consumer_status status;
    consumer_status_init(&status);
    expect_reason(&status, "", "not connected to the broker: no attempt has ended yet");
    expect_reason(&status, "refused", "not connected to the broker: refused");
    consumer_status_disconnected(&status, &(struct error){.text = "gone"});
    expect_reason(&status, "", "not connected to the broker: gone");
    expect_reason(&status, "refused", "not connected to the broker: refused");
    consumer_status_connected(&status);
    expect_reason(&status, "", "");
    consumer_status_stalled(&status, true);
    expect_reason(&status, "",
                  "not consuming: copies of impossible messages wait for their confirm");
    consumer_status_set_trouble(&status, "the queue is full");
    expect_reason(&status, "",
                  "not consuming: copies of impossible messages wait for their confirm: "
                  "the queue is full");
    consumer_status_paused(&status, &(struct error){.text = "disk full"});
    expect_reason(&status, "refused", "not consuming: disk full");
    consumer_status_paused(&status, NULL);
    consumer_status_stalled(&status, false);
    expect_reason(&status, "refused", "");
    consumer_status_done(&status);
}

static void one_that_stands_by_is_ready_and_not_active(void **state)
{
    (void)state;
    struct consumer_status status;
    struct error told = {.text = ""};
    const struct error nothing = {.text = ""};
    consumer_status_init(&status);
    assert_false(consumer_status_stands_by(&status));
    consumer_status_stand_by(&status, &(struct error){.text = "another one"}, false);
    assert_false(consumer_status_has_store(&status));
    assert_int_equal(shown(&status, "session_service_standby"), 1);
    assert_int_equal(shown(&status, "session_service_broker_connected"), 0);
    consumer_status_stand_by(&status, &(struct error){.text = "another one"}, true);
    assert_true(consumer_status_has_store(&status));
    assert_true(consumer_status_stands_by(&status));
    assert_true(consumer_status_is_ready(&status, &nothing, &told));
    assert_string_equal(told.text, "another one");
    assert_int_equal(shown(&status, "session_service_standby"), 1);
    assert_int_equal(shown(&status, "session_service_active"), 0);
    assert_int_equal(shown(&status, "session_service_consuming"), 0);
    assert_int_equal(shown(&status, "session_service_broker_connected"), 1);

    consumer_status_connected(&status);
    assert_false(consumer_status_stands_by(&status));
    expect_reason(&status, "", "");
    assert_int_equal(shown(&status, "session_service_standby"), 0);
    assert_int_equal(shown(&status, "session_service_active"), 1);

    consumer_status_stand_by(&status, &(struct error){.text = "another one"}, true);
    consumer_status_paused(&status, &(struct error){.text = "disk full"});
    expect_reason(&status, "", "not consuming: disk full");
    consumer_status_paused(&status, NULL);
    metric_set(&status.other_consumers, 1);
    consumer_status_disconnected(&status, &(struct error){.text = "gone"});
    expect_reason(&status, "", "not connected to the broker: gone");
    assert_false(consumer_status_stands_by(&status));
    assert_int_equal(shown(&status, "session_service_standby"), 0);
    assert_int_equal(shown(&status, "session_service_other_consumers"), 0);
    consumer_status_done(&status);
}

static void a_reason_counts_under_its_name(void **state)
{
    (void)state;
    static const char *const reasons[] = {DEAD_LETTER_REASONS, "of a later version"};
    static const char *const shown_as[] = {DEAD_LETTER_REASONS, "other"};
    const size_t count = sizeof(reasons) / sizeof(reasons[0]);
    struct consumer_status status;
    consumer_status_init(&status);
    for (size_t i = 0; i < count; i++) {
        for (size_t times = 0; times <= i; times++) {
            consumer_status_count_dead_letter(&status, reasons[i]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        char name[128];
        (void)snprintf(name, sizeof(name), "session_service_dead_letters_total{reason=\"%s\"}",
                       shown_as[i]);
        assert_int_equal(shown(&status, name), i + 1);
    }
    consumer_status_done(&status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_consumes_only_connected_neither_stalled_nor_paused),
        cmocka_unit_test(each_reason_is_told_until_it_has_passed),
        cmocka_unit_test(one_that_stands_by_is_ready_and_not_active),
        cmocka_unit_test(a_reason_counts_under_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
