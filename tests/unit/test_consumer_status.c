/* What others are told of the consumer: consuming or not, why not, and the counts by reason. */
#include "session-service/consumer_status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* The value of the row with this name and label, as it is shown. */
static int64_t shown(const struct consumer_status *status, const char *name, const char *labels)
{
    struct metric_row rows[CONSUMER_METRIC_ROWS];
    consumer_status_metric_rows(status, rows);
    for (size_t i = 0; i < CONSUMER_METRIC_ROWS; i++) {
        bool same_labels = labels == NULL
                               ? rows[i].labels == NULL
                               : rows[i].labels != NULL && strcmp(rows[i].labels, labels) == 0;
        if (strcmp(rows[i].name, name) == 0 && same_labels) {
            return rows[i].type == METRIC_COUNTER
                       ? (int64_t) * (const metric_counter *)rows[i].value
                       : *(const metric_gauge *)rows[i].value;
        }
    }
    fail_msg("no metric %s", name);
    return -1;
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
        assert_int_equal(shown(&status, "session_service_consuming", NULL), bits == 1);
        assert_int_equal(shown(&status, "session_service_broker_connected", NULL), bits & 1);
        assert_int_equal(shown(&status, "session_service_store_paused", NULL), (bits & 4) != 0);
        consumer_status_disconnected(&status, &why);
        assert_int_equal(shown(&status, "session_service_consuming", NULL), 0);
        assert_int_equal(shown(&status, "session_service_broker_connected", NULL), 0);
        consumer_status_done(&status);
    }
}

static void each_reason_is_told_until_it_has_passed(void **state)
{
    (void)state;
    struct consumer_status status;
    struct error error;
    consumer_status_init(&status);
    consumer_status_last_error(&status, &error);
    assert_string_equal(error.text, "");
    consumer_status_disconnected(&status, &(struct error){.text = "gone"});
    consumer_status_last_error(&status, &error);
    assert_string_equal(error.text, "gone");
    consumer_status_set_trouble(&status, "the queue is full");
    consumer_status_trouble(&status, &error);
    assert_string_equal(error.text, "the queue is full");
    consumer_status_paused(&status, &(struct error){.text = "disk full"});
    consumer_status_pause(&status, &error);
    assert_string_equal(error.text, "disk full");
    consumer_status_paused(&status, NULL);
    consumer_status_pause(&status, &error);
    assert_string_equal(error.text, "");
    consumer_status_done(&status);
}

static void a_reason_counts_under_its_name(void **state)
{
    (void)state;
    static const char *const counted[][2] = {
        {"not-json", "reason=\"not-json\""},
        {"invalid-user", "reason=\"invalid-user\""},
        {"too-large", "reason=\"too-large\""},
        {"invalid-message-id", "reason=\"invalid-message-id\""},
        {"id-conflict", "reason=\"id-conflict\""},
        {"too-many-redeliveries", "reason=\"too-many-redeliveries\""},
        {"of a later version", "reason=\"other\""},
    };
    struct consumer_status status;
    consumer_status_init(&status);
    for (size_t i = 0; i < DEAD_LETTER_REASONS; i++) {
        for (size_t times = 0; times <= i; times++) {
            consumer_status_count_dead_letter(&status, counted[i][0]);
        }
    }
    for (size_t i = 0; i < DEAD_LETTER_REASONS; i++) {
        assert_int_equal(shown(&status, "session_service_dead_letters_total", counted[i][1]),
                         i + 1);
    }
    consumer_status_done(&status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_consumes_only_connected_neither_stalled_nor_paused),
        cmocka_unit_test(each_reason_is_told_until_it_has_passed),
        cmocka_unit_test(a_reason_counts_under_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
