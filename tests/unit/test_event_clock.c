/* The times of events, with a wall clock that stands, is set back, and comes up again. */
#include "user-service/event_clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { NOW_MS = 1000000, HOUR_MS = 3600 * 1000 };

static void test_it_follows_the_wall_clock(void **state)
{
    (void)state;
    struct event_clock clock = {0};
    assert_int_equal(event_clock_next(&clock, NOW_MS, false), NOW_MS);
    assert_int_equal(event_clock_next(&clock, NOW_MS, false), NOW_MS);
    assert_int_equal(event_clock_next(&clock, NOW_MS + 1, true), NOW_MS + 1);
    assert_int_equal(event_clock_next(&clock, NOW_MS + HOUR_MS, false), NOW_MS + HOUR_MS);
}

/* However many there are: what follows does not run ahead, but for the changes of type. */
static void test_another_type_is_later(void **state)
{
    (void)state;
    struct event_clock clock = {0};
    assert_int_equal(event_clock_next(&clock, NOW_MS, false), NOW_MS);
    assert_int_equal(event_clock_next(&clock, NOW_MS, true), NOW_MS + 1);
    assert_int_equal(event_clock_next(&clock, NOW_MS, true), NOW_MS + 2);
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(event_clock_next(&clock, NOW_MS, false), NOW_MS + 2);
    }
    assert_int_equal(event_clock_next(&clock, NOW_MS + 3, false), NOW_MS + 3);
}

static void test_behind_the_next_is_greater(void **state)
{
    (void)state;
    struct event_clock clock = {0};
    (void)event_clock_next(&clock, NOW_MS + HOUR_MS, false);
    for (uint64_t i = 1; i <= 5000; i++) {
        uint64_t next_ms = event_clock_next(&clock, NOW_MS + i / 5, i % 7 == 0);
        assert_int_equal(next_ms, NOW_MS + HOUR_MS + i);
    }
    /* The clock comes up to what was given out. */
    assert_int_equal(event_clock_next(&clock, NOW_MS + HOUR_MS + 4999, false),
                     NOW_MS + HOUR_MS + 5001);
    assert_int_equal(event_clock_next(&clock, NOW_MS + HOUR_MS + 6000, false),
                     NOW_MS + HOUR_MS + 6000);
    assert_int_equal(event_clock_next(&clock, NOW_MS + HOUR_MS + 6000, false),
                     NOW_MS + HOUR_MS + 6000);
}

/* Under a load that uses up the milliseconds faster than they pass. */
static void test_it_runs_ahead_only_so_far(void **state)
{
    (void)state;
    enum { BACK_MS = 200, EVENTS = 100000 };
    struct event_clock clock = {0};
    (void)event_clock_next(&clock, NOW_MS, false);
    uint64_t last_ms = 0;
    for (uint64_t i = 0; i < EVENTS; i++) {
        last_ms = event_clock_next(&clock, NOW_MS - BACK_MS + i / 1000, false);
    }
    assert_int_equal(last_ms, NOW_MS + BACK_MS + EVENT_CLOCK_SPARE_MS);
    assert_int_equal(event_clock_next(&clock, NOW_MS, true), last_ms + 1);
    /* Also where it is set back again and again. */
    for (uint64_t i = 0; i < EVENTS; i++) {
        last_ms = event_clock_next(&clock, NOW_MS + (i % 2) * BACK_MS, false);
    }
    assert_in_range(last_ms, NOW_MS, NOW_MS + 2 * BACK_MS + EVENT_CLOCK_SPARE_MS + 1);
}

/* After a restart: as if the process had gone on. */
static void test_it_goes_on_from_the_process_before(void **state)
{
    (void)state;
    struct event_clock clock = {0};
    event_clock_continue(&clock, NOW_MS + HOUR_MS, NOW_MS);
    assert_int_equal(event_clock_next(&clock, NOW_MS, false), NOW_MS + HOUR_MS + 1);
    assert_int_equal(event_clock_next(&clock, NOW_MS, false), NOW_MS + HOUR_MS + 2);
    event_clock_continue(&clock, NOW_MS - 1000, NOW_MS);
    assert_int_equal(event_clock_next(&clock, NOW_MS, false), NOW_MS);
    /* A time that cannot be right would be given out for ever. */
    clock = (struct event_clock){0};
    event_clock_continue(&clock, NOW_MS + EVENT_CLOCK_AHEAD_MS_MAX + 1, NOW_MS);
    assert_int_equal(event_clock_next(&clock, NOW_MS, false), NOW_MS);
    event_clock_continue(&clock, UINT64_MAX, NOW_MS);
    assert_int_equal(event_clock_next(&clock, NOW_MS + 1, false), NOW_MS + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_follows_the_wall_clock),
        cmocka_unit_test(test_another_type_is_later),
        cmocka_unit_test(test_behind_the_next_is_greater),
        cmocka_unit_test(test_it_runs_ahead_only_so_far),
        cmocka_unit_test(test_it_goes_on_from_the_process_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
