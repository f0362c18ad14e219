/* Which shard a user belongs to: fixed values, which another publisher may be checked against. */
#include "common/user/user_shard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The first 8 bytes of the SHA-256 of "7" are 7902699be42c8a8e, of "ada" fdee430d40bd57de. */
static const struct {
    const char *id;
    size_t of_2, of_3, of_4, of_64;
} keys[] = {
    {"7", 0, 2, 2, 14},     {"ada", 0, 2, 2, 30},
    {"Ada", 1, 0, 1, 41},   {"0190f0c1-6b1e-7c52-a3d4-0a4b5c6d7e8f", 1, 1, 3, 11},
    {"a@b.c", 0, 1, 2, 42}, {"Zo\xc3\xab", 0, 2, 0, 16},
};

static size_t shard_of(const char *body, size_t shards)
{
    size_t shard = SHARDS_MAX;
    struct error error;
    assert_int_equal(user_shard_of_body(slice_of(body), shards, &shard, &error), OUTCOME_OK);
    return shard;
}

static size_t shard_of_key(const char *key, size_t shards)
{
    size_t shard = SHARDS_MAX;
    struct error error;
    assert_int_equal(user_shard_of_key(slice_of(key), shards, &shard, &error), OUTCOME_OK);
    return shard;
}

static void fixed_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        assert_int_equal(shard_of_key(keys[i].id, 2), keys[i].of_2);
        assert_int_equal(shard_of_key(keys[i].id, 3), keys[i].of_3);
        assert_int_equal(shard_of_key(keys[i].id, 4), keys[i].of_4);
        assert_int_equal(shard_of_key(keys[i].id, SHARDS_MAX), keys[i].of_64);
    }
}

static void a_body_has_the_shard_of_its_user(void **state)
{
    (void)state;
    static const struct {
        const char *body, *key;
    } bodies[] = {
        {"{\"id\":\"ada\",\"name\":\"x\"}", "ada"},
        {" {\"name\":\"y\", \"id\" : \"\\u0061da\"} ", "ada"}, /* however it is written */
        {"{\"id\":7}", "7"},
        {"{\"id\":\"7\"}", "7"},
        {"{\"id\":-7,\"email\":\"a@b.c\"}", "-7"},
        {"{\"email\":\"a@b.c\",\"name\":\"x\"}", "a@b.c"},
        {"{\"id\":\"\",\"email\":\"a@b.c\"}", "a@b.c"},
        {"{\"id\":null,\"email\":\"a@b.c\"}", "a@b.c"},
        {"{\"name\":\"Ada\"}", "{\"name\":\"Ada\"}"},
        {"{\"id\":1.5}", "{\"id\":1.5}"},
        {"[1]", "[1]"},
        {"not json", "not json"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        assert_int_equal(shard_of(bodies[i].body, SHARDS_MAX),
                         shard_of_key(bodies[i].key, SHARDS_MAX));
    }
}

static void without_shards_there_is_nothing_to_choose(void **state)
{
    (void)state;
    assert_int_equal(shard_of("not json", 0), 0);
    assert_int_equal(shard_of("{\"id\":7}", 1), 0);
}

static void the_id_that_was_assigned_counts(void **state)
{
    (void)state;
    struct user user;
    struct user_problems problems;
    struct error error;
    size_t shard = SHARDS_MAX;
    const struct slice json = slice_of("{\"email\":\"a@b.c\"}");
    assert_int_equal(user_parse_any_object(json, &user, &problems), USER_OK);
    assert_int_equal(user_shard_of(&user, "ada", json, SHARDS_MAX, &shard, &error), OUTCOME_OK);
    assert_int_equal(shard, shard_of_key("ada", SHARDS_MAX));
    assert_int_equal(user_shard_of(&user, NULL, json, SHARDS_MAX, &shard, &error), OUTCOME_OK);
    assert_int_equal(shard, shard_of_key("a@b.c", SHARDS_MAX));
    user_done(&user);
}

static void users_are_spread(void **state)
{
    (void)state;
    enum { SHARDS = 8, EACH = 1000 };
    size_t counts[SHARDS] = {0};
    for (int i = 0; i < SHARDS * EACH; i++) {
        char id[24];
        (void)snprintf(id, sizeof(id), "user-%d", i);
        counts[shard_of_key(id, SHARDS)]++;
    }
    for (size_t i = 0; i < SHARDS; i++) {
        assert_in_range(counts[i], EACH * 8 / 10, EACH * 12 / 10);
    }
}

static void names(void **state)
{
    (void)state;
    struct shard_name name;
    char text[SHARDS_TEXT_BYTES];
    char longest[SHORT_STRING_BYTES_MAX - SHARD_SUFFIX_BYTES_MAX + 1];
    assert_string_equal(shard_name_of("session", 0, &name), "session.0");
    assert_string_equal(shard_name_of("session", 63, &name), "session.63");
    assert_string_equal(shard_consumed_queue("session", 0, &name), "session");
    assert_string_equal(shard_consumed_queue("session", 64, &name), "session.63");
    assert_string_equal(shards_text("session", 1, true, text), "session");
    assert_string_equal(shards_text("session", 0, false, text), "session");
    assert_string_equal(shards_text("session", 4, false, text), "session.0 to session.3");
    assert_string_equal(shards_text("session", 4, true, text), "session, session.0 to session.3");
    memset(longest, 'q', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(strlen(shard_name_of(longest, 63, &name)), SHORT_STRING_BYTES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_values),
        cmocka_unit_test(a_body_has_the_shard_of_its_user),
        cmocka_unit_test(without_shards_there_is_nothing_to_choose),
        cmocka_unit_test(the_id_that_was_assigned_counts),
        cmocka_unit_test(users_are_spread),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
