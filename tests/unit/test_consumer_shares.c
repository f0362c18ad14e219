/* When a shard counts as quiet, so that it may be given up. */
#include "session-service/consumer_internal.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void a_message_of_this_turn_is_not_long_ago(void **state)
{
    (void)state;
    const struct share share = {.is_active = true, .delivered_ms = 1000};
    assert_false(share_is_quiet(&share, 999)); /* the turn began before it was read */
    assert_false(share_is_quiet(&share, 1000));
    assert_false(share_is_quiet(&share, 1000 + SHARE_QUIET_MS - 1));
    assert_true(share_is_quiet(&share, 1000 + SHARE_QUIET_MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_of_this_turn_is_not_long_ago),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
