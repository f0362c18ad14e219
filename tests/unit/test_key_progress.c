/* What the HTTP loop is told of a key while the key writer says how far it is. */
#include "user-service/key_progress.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { ORDERS = 10 * 1000 * 1000 };

static void a_failure_lasts_until_the_next_success(void **state)
{
    (void)state;
    struct key_progress progress = {0};
    assert_int_equal(key_progress_of(&progress, 1), KEY_SYNC_UNDER_WAY);
    key_progress_show(&progress, 2, true);
    assert_int_equal(key_progress_of(&progress, 2), KEY_SYNCED);
    assert_int_equal(key_progress_of(&progress, 3), KEY_SYNC_UNDER_WAY);
    key_progress_show(&progress, 4, false);
    assert_int_equal(key_progress_of(&progress, 2), KEY_SYNCED);
    assert_int_equal(key_progress_of(&progress, 3), KEY_NOT_SYNCED);
    assert_int_equal(key_progress_of(&progress, 5), KEY_SYNC_UNDER_WAY);
    key_progress_show(&progress, 4, true);
    assert_int_equal(key_progress_of(&progress, 4), KEY_SYNCED);
}

static void *show_all(void *argument)
{
    for (uint64_t order = 1; order <= ORDERS; order++) {
        key_progress_show(argument, order, true);
    }
    return NULL;
}

/* Whoever asks in the middle of it: where every sync succeeds, no key has failed. */
static void no_success_looks_like_a_failure(void **state)
{
    (void)state;
    struct key_progress progress = {0};
    pthread_t thread;
    size_t failures = 0;
    assert_int_equal(pthread_create(&thread, NULL, show_all, &progress), 0);
    for (uint64_t order = 1; order <= ORDERS; order++) {
        enum key_sync sync;
        while ((sync = key_progress_of(&progress, order)) == KEY_SYNC_UNDER_WAY) {
        }
        failures += sync == KEY_NOT_SYNCED;
    }
    pthread_join(thread, NULL);
    assert_int_equal(failures, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_lasts_until_the_next_success),
        cmocka_unit_test(no_success_looks_like_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
