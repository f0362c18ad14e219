/* A streak of nacks: begins with the first, ends with an ack, is judged by its age. */
#include "common/amqp/nack_streak.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { BEGIN_MS = 5000 };

/* Returns what it is judged at so long after its first nack. */
static enum outcome judge_after(struct nack_streak *streak, uint64_t age_ms, struct error *error)
{
    nack_streak_begin(streak);
    nack_streak_record_nack(streak, BEGIN_MS);
    nack_streak_record_nack(streak, BEGIN_MS + age_ms); /* the first one counts */
    return nack_streak_check(streak, BEGIN_MS + age_ms, error);
}

static void test_without_nacks_or_with_an_ack_it_is_none(void **state)
{
    (void)state;
    struct error error;
    struct nack_streak streak = {0};
    assert_int_equal(nack_streak_check(&streak, UINT64_MAX, &error), OUTCOME_OK);
    nack_streak_record_nack(&streak, BEGIN_MS);
    nack_streak_record_ack(&streak);
    assert_int_equal(nack_streak_check(&streak, UINT64_MAX, &error), OUTCOME_OK);
}

static void test_each_connection_is_borne_longer_until_an_ack(void **state)
{
    (void)state;
    struct error error;
    struct nack_streak streak = {0};
    static const struct {
        uint64_t patience_ms;
        const char *told;
    } connections[] = {{1000, "for 1 s"}, {2000, "for 2 s"},   {4000, "for 4 s"},
                       {8000, "for 8 s"}, {10000, "for 10 s"}, {10000, "for 10 s"}};
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof(connections) / sizeof(connections[0]); i++) {
            uint64_t patience_ms = connections[i].patience_ms;
            assert_int_equal(judge_after(&streak, patience_ms, &error), OUTCOME_OK);
            assert_int_equal(judge_after(&streak, patience_ms + 1, &error), OUTCOME_TRANSIENT);
            assert_non_null(strstr(error.text, connections[i].told));
            /* Told once. */
            assert_int_equal(nack_streak_check(&streak, UINT64_MAX, &error), OUTCOME_OK);
        }
        nack_streak_record_ack(&streak);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_nacks_or_with_an_ack_it_is_none),
        cmocka_unit_test(test_each_connection_is_borne_longer_until_an_ack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
