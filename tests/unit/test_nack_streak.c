/* A streak of nacks: begins with the first, ends with an ack, is judged by its age. */
#include "common/nack_streak.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_a_streak(void **state)
{
    (void)state;
    struct error error;
    struct nack_streak streak = {0};
    const uint64_t begin_ms = 5000, end_ms = begin_ms + NACK_STREAK_MS_MAX;
    assert_int_equal(nack_streak_judge(&streak, UINT64_MAX, &error), OUTCOME_OK);
    nack_streak_note_nack(&streak, begin_ms);
    nack_streak_note_nack(&streak, end_ms); /* the first one counts */
    assert_int_equal(nack_streak_judge(&streak, end_ms, &error), OUTCOME_OK);
    assert_int_equal(nack_streak_judge(&streak, end_ms + 1, &error), OUTCOME_TRANSIENT);
    assert_non_null(strstr(error.text, "refused every message for 10 s"));
    nack_streak_note_ack(&streak);
    assert_int_equal(nack_streak_judge(&streak, end_ms + 1, &error), OUTCOME_OK);
    nack_streak_note_nack(&streak, end_ms);
    assert_int_equal(nack_streak_judge(&streak, end_ms + 1, &error), OUTCOME_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_streak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
