/* The clocks: units, and which clock is which. */
#include "common/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

static uint64_t read_ms(clockid_t clock)
{
    struct timespec now;
    assert_int_equal(clock_gettime(clock, &now), 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void each_is_between_two_readings(void **state)
{
    (void)state;
    uint64_t before = read_ms(CLOCK_MONOTONIC);
    uint64_t ms = clock_monotonic_ms();
    uint64_t us = clock_monotonic_us();
    assert_in_range(ms, before, read_ms(CLOCK_MONOTONIC));
    assert_in_range(us / 1000, ms, read_ms(CLOCK_MONOTONIC));
    before = read_ms(CLOCK_REALTIME);
    assert_in_range(clock_wall_ms(), before, read_ms(CLOCK_REALTIME));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_between_two_readings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
