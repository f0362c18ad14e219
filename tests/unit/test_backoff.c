/* Backoff: bounds, cap, spread, and no overflow however long it goes on. */
#include "common/base/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The next wait where the generator comes to these upper bits. */
static uint32_t next_ms(struct backoff *backoff, uint32_t random)
{
    const uint64_t increment = UINT64_C(1442695040888963407);
    const uint64_t inverse = UINT64_C(13877824140714322085); /* of the generator's factor */
    backoff->random = (((uint64_t)random << 32) - increment) * inverse;
    return backoff_next_ms(backoff);
}

static void waits_double_up_to_the_cap(void **state)
{
    (void)state;
    static const uint32_t ceilings[] = {100, 200, 400, 800, 1000, 1000};
    struct backoff low;
    struct backoff middle;
    struct backoff high;
    backoff_init(&low, 100, 1000, 0);
    backoff_init(&middle, 100, 1000, 0);
    backoff_init(&high, 100, 1000, 0);
    for (size_t i = 0; i < sizeof(ceilings) / sizeof(ceilings[0]); i++) {
        assert_int_equal(next_ms(&low, 0), 0);
        assert_int_equal(next_ms(&middle, UINT32_MAX / 2 + 1), (ceilings[i] + 1) / 2);
        assert_int_equal(next_ms(&high, UINT32_MAX), ceilings[i]);
    }
    assert_int_equal(high.attempt, 6);
    backoff_reset(&high);
    assert_int_equal(next_ms(&high, UINT32_MAX), 100);
}

static void never_overflows(void **state)
{
    (void)state;
    static const struct {
        uint32_t base_ms, cap_ms;
    } rows[] = {{1, UINT32_MAX}, {UINT32_MAX, UINT32_MAX}, {3, 30000}, {0x80000001, 7}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct backoff backoff;
        backoff_init(&backoff, rows[i].base_ms, rows[i].cap_ms, 0);
        uint32_t last = 0;
        for (int attempt = 0; attempt <= 1000; attempt++) {
            uint32_t wait = next_ms(&backoff, UINT32_MAX);
            assert_true(wait >= last);
            last = wait;
        }
        assert_int_equal(last, rows[i].cap_ms);
    }
    struct backoff worn = {.base_ms = 3, .cap_ms = 30000, .attempt = UINT32_MAX};
    assert_int_equal(next_ms(&worn, UINT32_MAX), 30000);
    assert_int_equal(next_ms(&worn, UINT32_MAX), 30000);
}

static void no_base_is_no_wait(void **state)
{
    (void)state;
    struct backoff backoff;
    backoff_init(&backoff, 0, 1000, 0);
    for (int attempt = 0; attempt <= 100; attempt++) {
        assert_int_equal(next_ms(&backoff, UINT32_MAX), 0);
    }
}

static void without_jitter_each_wait_is_longer(void **state)
{
    (void)state;
    static const uint32_t waits[] = {1000, 2000, 4000, 8000, 15000, 15000};
    uint32_t last = 0;
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        last = backoff_longer_ms(last, 1000, 15000);
        assert_int_equal(last, waits[i]);
    }
    assert_int_equal(backoff_longer_ms(UINT32_MAX, 1, UINT32_MAX), UINT32_MAX);
    assert_int_equal(backoff_longer_ms(0, 9, 7), 7);
}

enum { QUARTERS = 4, DRAWS = 4000, CEILING_MS = 999 };

static void assert_spread(const int counts[QUARTERS])
{
    for (int i = 0; i < QUARTERS; i++) {
        assert_in_range(counts[i], DRAWS / QUARTERS * 8 / 10, DRAWS / QUARTERS * 12 / 10);
    }
}

/* Each wait falls anywhere below its ceiling, and those who begin side by side do not wait alike.
 */
static void waits_are_spread(void **state)
{
    (void)state;
    int of_one[QUARTERS] = {0};
    int of_many[QUARTERS] = {0};
    struct backoff one;
    backoff_init(&one, CEILING_MS, CEILING_MS, 1);
    for (uint64_t i = 0; i < DRAWS; i++) {
        struct backoff neighbour;
        backoff_init(&neighbour, CEILING_MS, CEILING_MS, 1000000 + i);
        of_one[backoff_next_ms(&one) * QUARTERS / (CEILING_MS + 1)]++;
        of_many[backoff_next_ms(&neighbour) * QUARTERS / (CEILING_MS + 1)]++;
    }
    assert_spread(of_one);
    assert_spread(of_many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_double_up_to_the_cap),
        cmocka_unit_test(never_overflows),
        cmocka_unit_test(no_base_is_no_wait),
        cmocka_unit_test(without_jitter_each_wait_is_longer),
        cmocka_unit_test(waits_are_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
