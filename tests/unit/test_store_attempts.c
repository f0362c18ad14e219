/* Attempts: who is accused, how often a death was counted, and when that is forgotten. */
#include "session-service/store/store.h"

#include "tests/support/database_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { RETENTION_MS = 60000, T0 = 1000000 };

struct fixture {
    char directory[64];
    struct store *store;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    strcpy(fixture->directory, "/tmp/test-store-attempts-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    const struct store_options options = {.directory = fixture->directory,
                                          .session_ttl_ms = 1000,
                                          .inbox_retention_ms = RETENTION_MS};
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

static void expect_attempts(struct fixture *fixture, const char *key, bool is_accused,
                            int64_t count)
{
    bool accused = !is_accused;
    int64_t found = -1;
    assert_int_equal(store_find_attempts(fixture->store, slice_of(key), &accused, &found, NULL),
                     OUTCOME_OK);
    assert_int_equal(accused, is_accused);
    assert_int_equal(found, count);
}

/* Who is accused is not counted before he was alone. */
static void test_attempts(void **state)
{
    struct fixture *fixture = *state;
    struct slice key = slice_of("m1");
    expect_attempts(fixture, "m1", false, 0);
    assert_int_equal(store_accuse(fixture->store, key, false, T0, NULL), OUTCOME_OK);
    expect_attempts(fixture, "m1", true, 0);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(store_accuse(fixture->store, key, true, T0, NULL), OUTCOME_OK);
        expect_attempts(fixture, "m1", true, i);
    }
    assert_int_equal(store_accuse(fixture->store, key, false, T0, NULL), OUTCOME_OK);
    expect_attempts(fixture, "m1", true, 3);
    expect_attempts(fixture, "m2", false, 0);
    assert_int_equal(store_forget_attempts(fixture->store, key, NULL), OUTCOME_OK);
    expect_attempts(fixture, "m1", false, 0);
}

static bool knows(struct fixture *fixture, const char *message_id, const char *payload)
{
    bool known = false;
    assert_int_equal(
        store_knows(fixture->store, slice_of(message_id), slice_of(payload), &known, NULL),
        OUTCOME_OK);
    return known;
}

static void test_what_the_inbox_knows(void **state)
{
    struct fixture *fixture = *state;
    assert_false(knows(fixture, "m1", "{}"));
    const struct store_event event = {.message_id = slice_of("m1"),
                                      .payload = slice_of("{}"),
                                      .user_key = slice_of("u1"),
                                      .body = slice_of("{}")};
    struct store_effect effect;
    assert_int_equal(store_take(fixture->store, &event, 1, T0, &effect, NULL), OUTCOME_OK);
    assert_true(knows(fixture, "m1", "{}"));
    assert_false(knows(fixture, "m1", "{ }"));
    assert_false(knows(fixture, "m2", "{}"));
}

static void take_accused(struct fixture *fixture, const char *message_id, const char *payload,
                         enum store_result expected)
{
    struct slice key = slice_of(message_id);
    const struct store_event event = {.message_id = key,
                                      .payload = slice_of(payload),
                                      .user_key = slice_of("u1"),
                                      .body = slice_of("{}"),
                                      .attempt_key = key};
    struct store_effect effect;
    assert_int_equal(store_accuse(fixture->store, key, true, T0, NULL), OUTCOME_OK);
    assert_int_equal(store_take(fixture->store, &event, 1, T0, &effect, NULL), OUTCOME_OK);
    assert_int_equal(effect.result, expected);
}

/* What has taken effect is accused no longer. A conflict becomes a dead letter, and may come again
 * before that is confirmed. */
static void test_attempts_are_forgotten_with_the_event(void **state)
{
    struct fixture *fixture = *state;
    take_accused(fixture, "m1", "{}", STORE_APPLIED);
    expect_attempts(fixture, "m1", false, 0);
    take_accused(fixture, "m1", "{}", STORE_DUPLICATE);
    expect_attempts(fixture, "m1", false, 0);
    take_accused(fixture, "m1", "other", STORE_CONFLICT);
    expect_attempts(fixture, "m1", true, 1);
}

static void test_pruning(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(store_accuse(fixture->store, slice_of("m1"), true, T0, NULL), OUTCOME_OK);
    assert_int_equal(store_accuse(fixture->store, slice_of("m2"), true, T0, NULL), OUTCOME_OK);
    assert_int_equal(store_accuse(fixture->store, slice_of("m2"), false, T0 + 1, NULL), OUTCOME_OK);
    assert_int_equal(store_prune(fixture->store, T0 + RETENTION_MS, NULL), OUTCOME_OK);
    expect_attempts(fixture, "m1", false, 0);
    expect_attempts(fixture, "m2", true, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_attempts),
        TEST(test_what_the_inbox_knows),
        TEST(test_attempts_are_forgotten_with_the_event),
        TEST(test_pruning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
