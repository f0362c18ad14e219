/* Backoff: bounds, cap, and no overflow however long it goes on. */
#include "common/base/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void waits_double_up_to_the_cap(void **state)
{
    (void)state;
    static const uint32_t ceilings[] = {100, 200, 400, 800, 1000, 1000};
    struct backoff low;
    struct backoff middle;
    struct backoff high;
    backoff_init(&low, 100, 1000);
    backoff_init(&middle, 100, 1000);
    backoff_init(&high, 100, 1000);
    for (size_t i = 0; i < sizeof(ceilings) / sizeof(ceilings[0]); i++) {
        assert_int_equal(backoff_next_ms(&low, 0), 0);
        assert_int_equal(backoff_next_ms(&middle, UINT32_MAX / 2 + 1), (ceilings[i] + 1) / 2);
        assert_int_equal(backoff_next_ms(&high, UINT32_MAX), ceilings[i]);
    }
    assert_int_equal(high.attempt, 6);
    backoff_reset(&high);
    assert_int_equal(backoff_next_ms(&high, UINT32_MAX), 100);
}

static void never_overflows(void **state)
{
    (void)state;
    static const struct {
        uint32_t base_ms, cap_ms;
    } rows[] = {{1, UINT32_MAX}, {UINT32_MAX, UINT32_MAX}, {3, 30000}, {0x80000001, 7}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct backoff backoff;
        backoff_init(&backoff, rows[i].base_ms, rows[i].cap_ms);
        uint32_t last = 0;
        for (int attempt = 0; attempt <= 1000; attempt++) {
            uint32_t wait = backoff_next_ms(&backoff, UINT32_MAX);
            assert_true(wait >= last);
            last = wait;
        }
        assert_int_equal(last, rows[i].cap_ms);
    }
    struct backoff worn = {.base_ms = 3, .cap_ms = 30000, .attempt = UINT32_MAX};
    assert_int_equal(backoff_next_ms(&worn, UINT32_MAX), 30000);
    assert_int_equal(backoff_next_ms(&worn, UINT32_MAX), 30000);
}

static void no_base_is_no_wait(void **state)
{
    (void)state;
    struct backoff backoff;
    backoff_init(&backoff, 0, 1000);
    for (int attempt = 0; attempt <= 100; attempt++) {
        assert_int_equal(backoff_next_ms(&backoff, UINT32_MAX), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_double_up_to_the_cap),
        cmocka_unit_test(never_overflows),
        cmocka_unit_test(no_base_is_no_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
