/* What a deletion's body must have: an id, whatever else is in it. */
#include "session-service/event_handlers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct user_rules strict = {.strict = true};
static const struct user_rules relaxed = {.strict = false};

static void the_id_alone_counts(void **state)
{
    (void)state;
    static const struct row {
        const char *body;
        enum user_result result;
        const char *pointer, *id;
    } rows[] = {
        {"{\"id\":\"u-1\"}", USER_OK, NULL, "u-1"},
        {"{\"id\":-7}", USER_OK, NULL, "-7"},
        {"{\"id\":7,\"name\":5,\"email\":\"none\",\"password\":\"x\"}", USER_OK, NULL, "7"},
        {"{\"id\":\"\"}", USER_INVALID, "/id", NULL},
        {"{\"id\":{}}", USER_INVALID, "/id", NULL},
        {"{\"id\":1.5}", USER_INVALID, "/id", NULL},
        {"{\"id\":true}", USER_INVALID, "/id", NULL},
        {"{\"id\":null}", USER_INVALID, "/id", NULL},
        {"{\"id\":\"a\\n\\u0001\"}", USER_INVALID, "/id", NULL},
        {"{}", USER_INVALID, "/id", NULL},
        {"{\"ID\":1,\"email\":\"a@b\"}", USER_INVALID, "/id", NULL},
        {"{\"data\":{\"id\":1}}", USER_INVALID, "/id", NULL},
        {"[1]", USER_NOT_AN_OBJECT, "", NULL},
        {"1", USER_NOT_AN_OBJECT, "", NULL},
        {"{\"id\":1,\"id\":2}", USER_NOT_PORTABLE, "", NULL},
        {"{\"id\":1e400}", USER_NUMBER_OUT_OF_RANGE, "/id", NULL},
        {"{\"id\":1", USER_MALFORMED, "", NULL},
        {"", USER_MALFORMED, "", NULL},
    };
    for (size_t i = 0; i < 2 * COUNT(rows); i++) {
        const struct row *row = &rows[i / 2];
        struct user user;
        struct user_problems problems;
        char scratch[24];
        struct slice id;
        enum user_result result =
            handle_user_deleted.parse(slice_of(row->body), i % 2 == 1, &strict, &user, &problems);
        if (result != row->result) {
            fail_msg("%s: %d", row->body, (int)result);
        }
        assert_int_equal(user.root != NULL, result == USER_OK);
        if (result == USER_OK) {
            assert_true(user_id_text(&user, scratch, &id));
            assert_true(slice_equal(id, slice_of(row->id)));
        } else {
            assert_int_equal(problems.count, 1);
            const struct user_problem *problem = &problems.items[0];
            assert_string_equal(problem->pointer, row->pointer);
            assert_string_equal(problem->logged_pointer, row->pointer);
            assert_string_not_equal(problem->detail, "");
        }
        user_done(&user);
    }
}

/* Whom a save may create a deletion may remove: without an id, and with relaxed rules, an id has
 * any length. */
static void the_length_is_that_of_a_save(void **state)
{
    (void)state;
    for (int characters = 128; characters <= 129; characters++) {
        char body[400];
        size_t length = (size_t)sprintf(body, "{\"id\":\"");
        for (int i = 0; i < characters; i++) {
            length += (size_t)sprintf(body + length, "\xc3\xa9");
        }
        length += (size_t)sprintf(body + length, "\"}");
        for (int kind = 0; kind < 3; kind++) {
            struct user user;
            struct user_problems problems;
            enum user_result result =
                handle_user_deleted.parse((struct slice){body, length}, kind == 1,
                                          kind == 2 ? &relaxed : &strict, &user, &problems);
            assert_int_equal(result, characters == 129 && kind == 0 ? USER_INVALID : USER_OK);
            user_done(&user);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_id_alone_counts),
        cmocka_unit_test(the_length_is_that_of_a_save),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
