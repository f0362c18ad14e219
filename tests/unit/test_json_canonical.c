/* Texts of the same value have one canonical text, and others have others. */
#include "common/base/json_canonical.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { LIMIT_BYTES = 1 << 20 };

static char *canonical(const char *json)
{
    struct buffer text;
    size_t length = 0;
    buffer_init(&text, LIMIT_BYTES);
    buffer_append_text(&text, "x");
    bool done = json_canonical_append(slice_of(json), &text);
    assert_true(done || text.length == 1);
    char *taken = done ? buffer_take(&text, &length) : NULL;
    buffer_done(&text);
    return taken;
}

static const struct {
    const char *left, *right;
    bool same;
} rows[] = {
    {"{\"a\":1,\"b\":2}", " { \"b\" : 2 ,\r\n\t\"a\" : 1 } ", true},
    {"{\"a\":{\"c\":[1,{\"e\":0,\"d\":0}],\"b\":null}}",
     "{\"a\":{\"b\":null,\"c\":[1,{\"d\":0,\"e\":0}]}}", true},
    {"{\"aa\":1,\"a\":2,\"\":3}", "{\"\":3,\"a\":2,\"aa\":1}", true},
    {"{\"n\":\"\\u0041\\/\\u00e9\\ud83d\\ude00\\u20ac\"}",
     "{\"n\":\"A/\xc3\xa9\xf0\x9f\x98\x80\xe2\x82\xac\"}", true},
    {"[\"\\u000a\\u0022\\u005C\\b\\u0009\"]", "[\"\\n\\\"\\\\\\u0008\\t\"]", true},
    {"{\"\\u0061\":1,\"b\":2}", "{\"b\":2,\"a\":1}", true},
    {"[]", "[ ]", true},
    {"{}", "{ }", true},
    {"-1.50e+7", " -1.50e+7 ", true},
    {"{\"a\":1}", "{\"a\":2}", false},
    {"{\"a\":1}", "{\"a\":1.0}", false},
    {"{\"a\":0.1}", "{\"a\":0.1000000000000000055}", false},
    {"{\"a\":100}", "{\"a\":1e2}", false},
    {"{\"a\":1}", "{\"a\":\"1\"}", false},
    {"{\"a\":1,\"b\":2}", "{\"a\":2,\"b\":1}", false},
    {"{\"a\":[1,2]}", "{\"a\":[2,1]}", false},
    {"{\"a\":[[1],2]}", "{\"a\":[1,[2]]}", false},
    {"{\"a\":{}}", "{\"a\":[]}", false},
    {"{\"a\":null}", "{}", false},
    {"{\"a\":\"\"}", "{\"a\":null}", false},
    {"{\"a\":\",\\\"b\\\":2\"}", "{\"a\":\",\",\"b\":2}", false},
    {"{\"a\":\"x\"}", "{\"A\":\"x\"}", false},
    {"[\"\\\\u0041\"]", "[\"A\"]", false},
    {"[\"\\ud83d\\ude00\"]", "[\"\\ud83d\\ude01\"]", false},
};

static void same_and_other_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *left = canonical(rows[i].left);
        char *right = canonical(rows[i].right);
        assert_non_null(left);
        assert_non_null(right);
        if ((strcmp(left, right) == 0) != rows[i].same) {
            fail_msg("%s and %s: %s and %s", rows[i].left, rows[i].right, left, right);
        }
        free(left);
        free(right);
    }
}

/* No reading beyond the end, and nothing appended, where it is no JSON after all. */
static void what_is_not_done(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",      " ",         "{",     "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "[",
        "[1",    "[1,",       "\"",    "\"\\",   "\"\\u",   "\"\\u00",  "\"\\ud83d", "\"\\ud83d\\u",
        "{1:2}", "{\"a\" 1}", "[1 2]", ",",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        size_t length = strlen(bad[i]);
        char *exact = malloc(length + 1);
        assert_non_null(exact);
        memcpy(exact, bad[i], length + 1);
        char *text = canonical(exact);
        if (text != NULL) {
            fail_msg("%s: %s", bad[i], text);
        }
        free(exact);
    }
    char deep[2 * JSON_CANONICAL_DEPTH_MAX + 3] = "";
    memset(deep, '[', JSON_CANONICAL_DEPTH_MAX + 1);
    memset(deep + JSON_CANONICAL_DEPTH_MAX + 1, ']', JSON_CANONICAL_DEPTH_MAX + 1);
    assert_null(canonical(deep));
    deep[2 * JSON_CANONICAL_DEPTH_MAX + 1] = '\0'; /* one less at each end */
    char *fits = canonical(deep + 1);
    assert_non_null(fits);
    free(fits);
    char wide[4096] = "{";
    for (int i = 0; i <= JSON_CANONICAL_MEMBERS_MAX; i++) {
        (void)sprintf(wide + strlen(wide), "%s\"m%d\":1", i == 0 ? "" : ",", i);
    }
    assert_null(canonical(strcat(wide, "}")));
    struct buffer small;
    buffer_init(&small, 4);
    assert_false(json_canonical_append(slice_of("{\"a\":1,\"b\":2}"), &small));
    buffer_done(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_and_other_values),
        cmocka_unit_test(what_is_not_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
