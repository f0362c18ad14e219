/* How many events are admitted: the fixed limits, and the one that follows the latency. */
#include "user-service/admission.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SAVES_MAX = 1000, BYTES_MAX = 100000, LATENCY_MAX_US = 10000 };

static struct admission fresh(void)
{
    struct admission admission;
    admission_init(&admission, SAVES_MAX, BYTES_MAX, LATENCY_MAX_US);
    return admission;
}

/* Offers events until one is refused; as many begin, wait for the latency and are confirmed. */
static size_t run_interval(struct admission *admission, uint64_t latency_us, uint64_t *now_us)
{
    size_t begun = 0;
    while (begun < SAVES_MAX + 1 && admission_has_room(admission, 1)) {
        admission_enter(admission, 1);
        begun++;
    }
    *now_us += ADMISSION_INTERVAL_US;
    for (size_t i = 0; i < begun; i++) {
        admission_record_confirm(admission, latency_us, *now_us);
        admission_leave(admission, 1);
    }
    return begun;
}

static void saves_and_bytes_are_limited(void **state)
{
    (void)state;
    struct admission admission = fresh();
    assert_true(admission_has_room(&admission, BYTES_MAX));
    assert_false(admission_has_room(&admission, BYTES_MAX + 1));
    assert_true(admission_lacks_bytes(&admission));
    admission_enter(&admission, BYTES_MAX - 1);
    assert_true(admission_has_room(&admission, 1));
    assert_false(admission_has_room(&admission, 2));
    for (size_t i = 1; i < SAVES_MAX; i++) {
        admission_enter(&admission, 0);
    }
    assert_false(admission_has_room(&admission, 0));
    admission_leave(&admission, 0);
    assert_true(admission_has_room(&admission, 0));
}

static void in_time_the_limit_stays(void **state)
{
    (void)state;
    struct admission admission = fresh();
    uint64_t now_us = 1;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(run_interval(&admission, LATENCY_MAX_US, &now_us), SAVES_MAX);
    }
}

static void one_late_interval_is_forgiven(void **state)
{
    (void)state;
    struct admission admission = fresh();
    uint64_t now_us = 1;
    (void)run_interval(&admission, 8 * LATENCY_MAX_US, &now_us);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(run_interval(&admission, LATENCY_MAX_US, &now_us), SAVES_MAX);
    }
}

static void lateness_lowers_the_limit_to_what_is_in_time(void **state)
{
    (void)state;
    struct admission admission = fresh();
    uint64_t now_us = 1;
    for (int i = 0; i < 4; i++) {
        (void)run_interval(&admission, 4 * LATENCY_MAX_US, &now_us);
    }
    size_t limit = admission.limit;
    assert_in_range(limit, ADMISSION_EVENTS_MIN, SAVES_MAX / 4);
    for (int i = 0; i < 20; i++) {
        (void)run_interval(&admission, 1000 * LATENCY_MAX_US, &now_us);
    }
    assert_int_equal(admission.limit, ADMISSION_EVENTS_MIN);
}

static void a_limit_below_the_least_is_kept(void **state)
{
    (void)state;
    struct admission admission;
    uint64_t now_us = 1;
    admission_init(&admission, 3, BYTES_MAX, LATENCY_MAX_US);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(run_interval(&admission, 9 * LATENCY_MAX_US, &now_us), 3);
    }
}

static void it_grows_back_only_where_it_was_reached(void **state)
{
    (void)state;
    struct admission admission = fresh();
    uint64_t now_us = 1;
    for (int i = 0; i < 20; i++) {
        (void)run_interval(&admission, 1000 * LATENCY_MAX_US, &now_us);
    }
    for (int i = 0; i < 5; i++) { /* few, and in time: nothing is known of more */
        admission_enter(&admission, 1);
        now_us += ADMISSION_INTERVAL_US;
        admission_record_confirm(&admission, 1, now_us);
        admission_leave(&admission, 1);
    }
    assert_int_equal(admission.limit, ADMISSION_EVENTS_MIN);
    size_t before = admission.limit;
    int intervals = 0;
    while (admission.limit < SAVES_MAX && intervals++ < 100) {
        (void)run_interval(&admission, 1, &now_us);
        assert_true(admission.limit >= before);
        before = admission.limit;
    }
    assert_int_equal(admission.limit, SAVES_MAX);
    assert_in_range(intervals, 10, 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saves_and_bytes_are_limited),
        cmocka_unit_test(in_time_the_limit_stays),
        cmocka_unit_test(one_late_interval_is_forgiven),
        cmocka_unit_test(lateness_lowers_the_limit_to_what_is_in_time),
        cmocka_unit_test(a_limit_below_the_least_is_kept),
        cmocka_unit_test(it_grows_back_only_where_it_was_reached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
