/* What is JSON by its grammar, and where a text stops to be it. */
#include "common/base/json_syntax.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TEXT(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

static enum outcome check(struct slice text, size_t *ret_position)
{
    /* In memory of its own, so that a read behind its end is seen. */
    char *copy = malloc(text.length + 1);
    assert_non_null(copy);
    copy = realloc(copy, text.length > 0 ? text.length : 1);
    memcpy(copy, text.data, text.length);
    enum outcome outcome = json_syntax_check((struct slice){copy, text.length}, ret_position);
    free(copy);
    return outcome;
}

static void what_is_json(void **state)
{
    (void)state;
    static const struct slice texts[] = {
        TEXT("0"),
        TEXT("-0"),
        TEXT("1e400"),
        TEXT("-1.50E+99999"),
        TEXT("10e-2"),
        TEXT("99999999999999999999999"),
        TEXT("true"),
        TEXT(" false\r\n"),
        TEXT("\tnull"),
        TEXT("\"\""),
        TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00aF\\u0000\\ud800\""),
        TEXT("\"\xc3\xa9\x7f\""),
        TEXT("[]"),
        TEXT("[ ]"),
        TEXT("{}"),
        TEXT("{ }"),
        TEXT("[1,[2,{\"a\":[{}]}] , null]"),
        TEXT("{\"a\":1,\"a\":{\"b\" : [ ] } , \"\" : \"]}\"}"),
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        size_t position = 0;
        if (check(texts[i], &position) != OUTCOME_OK) {
            fail_msg("'%s' is JSON, but for its byte %zu", texts[i].data, position);
        }
    }
}

static void what_is_none(void **state)
{
    (void)state;
    static const struct {
        struct slice text;
        size_t position;
    } rows[] = {
        {TEXT(""), 0},
        {TEXT("  "), 2},
        {TEXT("+1"), 0},
        {TEXT("-"), 1},
        {TEXT("01"), 1},
        {TEXT("1."), 2},
        {TEXT(".5"), 0},
        {TEXT("1e"), 2},
        {TEXT("1e+"), 3},
        {TEXT("1e+-1"), 3},
        {TEXT("0x1"), 1},
        {TEXT("tru"), 3},
        {TEXT("True"), 0},
        {TEXT("nulll"), 4},
        {TEXT("\""), 1},
        {TEXT("\"\\\""), 3},
        {TEXT("\"\\x\""), 2},
        {TEXT("\"\\u12g4\""), 5},
        {TEXT("\"a\nb\""), 2},
        {TEXT("\"\0\""), 1},
        {TEXT("1\0"), 1},
        {TEXT("\0"), 0},
        {TEXT("\"\\\0\""), 2},
        {TEXT("["), 1},
        {TEXT("]"), 0},
        {TEXT("[1,]"), 3},
        {TEXT("[,1]"), 1},
        {TEXT("[1 2]"), 3},
        {TEXT("[1}"), 2},
        {TEXT("{1:1}"), 1},
        {TEXT("{\"a\"}"), 4},
        {TEXT("{\"a\":}"), 5},
        {TEXT("{\"a\":1,}"), 7},
        {TEXT("{\"a\":1]"), 6},
        {TEXT("{,}"), 1},
        {TEXT("[][]"), 2},
        {TEXT("{} x"), 3},
        {TEXT("1,2"), 1},
        {TEXT("\xef\xbb\xbf{}"), 0},
        {TEXT("{\"a\":\"\xff\"}"), 0},
        {TEXT("[\"a\":1]"), 4},
        {TEXT("{\"a\" 1}"), 5},
        {TEXT("\xc2\xa0"), 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t position = 99;
        enum outcome outcome = check(rows[i].text, &position);
        if (outcome != OUTCOME_INVALID || position != rows[i].position) {
            fail_msg("'%s': %d at %zu", rows[i].text.data, (int)outcome, position);
        }
    }
}

static void depth_has_no_bound(void **state)
{
    (void)state;
    enum { LEVELS = 100000 };
    size_t position = 0;
    char *text = malloc(2 * LEVELS);
    assert_non_null(text);
    memset(text, '[', LEVELS);
    memset(text + LEVELS, ']', LEVELS);
    assert_int_equal(check((struct slice){text, 2 * LEVELS}, &position), OUTCOME_OK);
    assert_int_equal(check((struct slice){text, 2 * LEVELS - 1}, &position), OUTCOME_INVALID);
    assert_int_equal(position, 2 * LEVELS - 1);
    text[2 * LEVELS - 1] = '}';
    assert_int_equal(check((struct slice){text, 2 * LEVELS}, &position), OUTCOME_INVALID);
    assert_int_equal(position, 2 * LEVELS - 1);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_json),
        cmocka_unit_test(what_is_none),
        cmocka_unit_test(depth_has_no_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
