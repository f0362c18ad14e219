/* Which times are believed, what is known where none is, and what the store makes of it. */
#include "session-service/store/store_order.h"

#include "session-service/store/store.h"

#include "common/base/message_id.h"

#include "tests/support/database_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { TOLERANCE_MS = 5000, T0 = 1000000 };

#define NOW_MS INT64_C(1795717678092)

static void test_a_time_is_believed_or_arrival_counts(void **state)
{
    (void)state;
    static const struct row {
        const char *id;
        int64_t named_ms;
        bool by_arrival;
        int64_t rank_ms, saved_at_ms, floor_ms, ahead_ms;
    } rows[] = {
        {"m", 0, false, 0, 0, 0, 0},
        {"m", 1000, false, 1000, 1000, 1000, 0},
        {"m", NOW_MS, false, NOW_MS, NOW_MS, NOW_MS, 0},
        {"m", NOW_MS + TOLERANCE_MS, false, NOW_MS + TOLERANCE_MS, NOW_MS + TOLERANCE_MS,
         NOW_MS + TOLERANCE_MS, 0},
        {"m", NOW_MS + TOLERANCE_MS + 1, true, INT64_MAX, NOW_MS, 0, TOLERANCE_MS + 1},
        {"m", INT64_MAX, true, INT64_MAX, NOW_MS, 0, INT64_MAX - NOW_MS},
        {"m", -1, true, INT64_MAX, NOW_MS, 0, 0},
        {"", -1, true, INT64_MAX, NOW_MS, 0, 0},
        {"", 1000, true, INT64_MAX, 1000, 1000, 0},
        {"", INT64_MAX, true, INT64_MAX, NOW_MS, 0, INT64_MAX - NOW_MS},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct store_order order =
            store_order_of(slice_of(rows[i].id), rows[i].named_ms, NOW_MS, TOLERANCE_MS);
        assert_int_equal(order.by_arrival, rows[i].by_arrival);
        assert_int_equal(order.rank_ms, rows[i].rank_ms);
        assert_int_equal(order.saved_at_ms, rows[i].saved_at_ms);
        assert_int_equal(order.floor_ms, rows[i].floor_ms);
        assert_int_equal(order.ahead_ms, rows[i].ahead_ms);
        assert_int_equal(order.latest_ms, NOW_MS + TOLERANCE_MS);
        assert_false(order.id_is_ours);
    }
}

static void test_the_floor_rises_by_what_is_believed(void **state)
{
    (void)state;
    struct store_order order = store_order_of(slice_of("m"), -1, NOW_MS, TOLERANCE_MS);
    store_order_replaces(&order, NOW_MS + TOLERANCE_MS + 1);
    store_order_replaces(&order, INT64_MAX);
    store_order_replaces(&order, -5);
    assert_int_equal(order.floor_ms, 0);
    store_order_replaces(&order, NOW_MS + TOLERANCE_MS);
    store_order_replaces(&order, 7);
    assert_int_equal(order.floor_ms, NOW_MS + TOLERANCE_MS);
}

static void test_an_id_of_ours_has_the_time_of_its_message(void **state)
{
    (void)state;
    static struct message_id_generator ids;
    char id[MESSAGE_ID_TEXT_BYTES];
    assert_int_equal(message_id_generate(&ids, (uint64_t)NOW_MS, id, NULL), OUTCOME_OK);
    assert_true(store_order_of(slice_of(id), NOW_MS, NOW_MS, 0).id_is_ours);
    assert_false(store_order_of(slice_of(id), NOW_MS - 1, NOW_MS, 0).id_is_ours);
    assert_false(store_order_of(slice_of(id), NOW_MS, NOW_MS - 1, 0).id_is_ours); /* by arrival */
    id[14] = '4';
    assert_false(store_order_of(slice_of(id), NOW_MS, NOW_MS, 0).id_is_ours);
    id[14] = '7';
    assert_false(store_order_of((struct slice){id, MESSAGE_ID_TEXT_BYTES - 2}, NOW_MS, NOW_MS, 0)
                     .id_is_ours);
}

struct fixture {
    char directory[64];
    struct store *store;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/test-store-order-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    const struct store_options options = {.directory = fixture->directory,
                                          .session_ttl_ms = 1000,
                                          .inbox_retention_ms = 60000,
                                          .clock_tolerance_ms = TOLERANCE_MS};
    assert_int_equal(store_create(&options, &fixture->store, NULL), OUTCOME_OK);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    store_free(fixture->store);
    remove_store_directory(fixture->directory);
    free(fixture);
    return 0;
}

static struct store_effect change(struct fixture *fixture, bool is_deletion, const char *id,
                                  const char *user, int64_t at_ms, int64_t now_ms)
{
    const struct store_event event = {.change = is_deletion ? STORE_DELETE : STORE_SAVE,
                                      .message_id = slice_of(id),
                                      .payload = slice_of(is_deletion ? "a deletion" : "{}"),
                                      .user_key = slice_of(user),
                                      .body = slice_of("{}"),
                                      .saved_at_ms = at_ms};
    struct store_effect effect;
    assert_int_equal(store_take(fixture->store, &event, 1, now_ms, &effect, NULL), OUTCOME_OK);
    assert_int_equal(effect.result, STORE_APPLIED);
    return effect;
}

static struct store_effect save(struct fixture *fixture, const char *id, const char *user,
                                int64_t at_ms, int64_t now_ms)
{
    return change(fixture, false, id, user, at_ms, now_ms);
}

static struct store_effect delete_user(struct fixture *fixture, const char *id, const char *user,
                                       int64_t at_ms, int64_t now_ms)
{
    return change(fixture, true, id, user, at_ms, now_ms);
}

/* Of one millisecond the later arrival is the later one. Only ids of ours say more than that. */
static void test_two_of_one_time(void **state)
{
    struct fixture *fixture = *state;
    static struct message_id_generator ids;
    char first[MESSAGE_ID_TEXT_BYTES], second[MESSAGE_ID_TEXT_BYTES];
    assert_int_equal(message_id_generate(&ids, 50, first, NULL), OUTCOME_OK);
    assert_int_equal(message_id_generate(&ids, 50, second, NULL), OUTCOME_OK);
    assert_true(save(fixture, "m9", "u", 50, T0).user_changed);
    assert_true(save(fixture, "m4", "u", 50, T0).user_changed);
    assert_true(save(fixture, second, "u", 50, T0).user_changed);
    assert_false(save(fixture, first, "u", 50, T0).user_changed);
    assert_true(save(fixture, "!", "u", 50, T0).user_changed);

    assert_true(save(fixture, "s1", "v", 50, T0).user_changed);
    assert_true(delete_user(fixture, "a", "v", 50, T0).user_changed);
    assert_true(save(fixture, "A", "v", 50, T0).user_changed);
}

/* Without a time that is believed what arrives last stays; an older one of ours stays older. */
static void test_by_arrival(void **state)
{
    struct fixture *fixture = *state;
    static const int64_t unbelieved[] = {-1, T0 + TOLERANCE_MS + 2, INT64_MAX};
    (void)save(fixture, "m0", "u", 50, T0);
    for (size_t i = 0; i < sizeof(unbelieved) / sizeof(unbelieved[0]); i++) {
        char id[16];
        snprintf(id, sizeof(id), "s%zu", i);
        int64_t at = unbelieved[i];
        struct store_effect effect = save(fixture, id, "u", at, T0 + 1);
        assert_true(effect.user_changed);
        assert_int_equal(effect.ahead_ms, at > 0 ? at - T0 - 1 : 0);
        snprintf(id, sizeof(id), "l%zu", i);
        assert_false(save(fixture, id, "u", 49, T0 + 1).user_changed);
        snprintf(id, sizeof(id), "m%zu", i + 1);
        assert_true(save(fixture, id, "u", 50, T0 + 1).user_changed);
    }
    /* A deletion and what comes after it, too. */
    assert_true(delete_user(fixture, "d1", "u", INT64_MAX, T0).user_changed);
    assert_false(save(fixture, "l9", "u", 49, T0).user_changed);
    assert_true(save(fixture, "s9", "u", -1, T0).user_changed);
    assert_false(save(fixture, "l8", "u", 49, T0).user_changed);
    assert_false(delete_user(fixture, "d2", "u", 49, T0).user_changed);
    assert_true(save(fixture, "m9", "u", 51, T0).user_changed);
    assert_true(delete_user(fixture, "d3", "u", 52, T0).user_changed);
    assert_true(delete_user(fixture, "d4", "u", -1, T0).user_changed);
    assert_false(save(fixture, "l7", "u", 51, T0).user_changed);
    assert_true(save(fixture, "m8", "u", 53, T0).user_changed);
}

/* What was stored when the clock was ahead, or by a release that believed any time. */
static void test_a_state_of_the_future_is_replaced(void **state)
{
    struct fixture *fixture = *state;
    enum { DAY_MS = 24 * 3600 * 1000 };
    (void)save(fixture, "s1", "u", T0 + DAY_MS, T0 + DAY_MS);
    (void)delete_user(fixture, "s2", "v", T0 + DAY_MS, T0 + DAY_MS);
    (void)save(fixture, "s3", "w", T0 + TOLERANCE_MS, T0);
    assert_true(save(fixture, "m1", "u", T0, T0).user_changed);
    assert_true(save(fixture, "m2", "v", T0, T0).user_changed);
    assert_false(save(fixture, "m3", "w", T0, T0).user_changed); /* within the tolerance */

    (void)delete_user(fixture, "s4", "u", T0 + DAY_MS, T0 + DAY_MS);
    assert_true(delete_user(fixture, "d1", "u", T0 + 1, T0).user_changed);
    assert_true(save(fixture, "m4", "u", T0 + 2, T0).user_changed);
    assert_false(save(fixture, "m5", "u", T0 + 1, T0).user_changed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_time_is_believed_or_arrival_counts),
        cmocka_unit_test(test_the_floor_rises_by_what_is_believed),
        cmocka_unit_test(test_an_id_of_ours_has_the_time_of_its_message),
        cmocka_unit_test_setup_teardown(test_two_of_one_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_by_arrival, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_state_of_the_future_is_replaced, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
