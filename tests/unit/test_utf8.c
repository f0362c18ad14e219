/* What is UTF-8, and its walk, count and cut. */
#include "common/base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TEXT(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

static void validity(void **state)
{
    (void)state;
    static const struct row {
        struct slice text;
        bool valid;
    } rows[] = {
        {TEXT(""), true},
        {TEXT("a\0\x7f"), true},
        {TEXT("\xc2\x80\xdf\xbf"), true},
        {TEXT("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"), true},
        {TEXT("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"), true},
        {TEXT("\x80"), false},
        {TEXT("\xbf"), false},
        {TEXT("\xc0\x80"), false},
        {TEXT("\xc1\xbf"), false},
        {TEXT("\xc2\x7f"), false},
        {TEXT("\xc2\xc0"), false},
        {TEXT("\xe0\x9f\xbf"), false},
        {TEXT("\xed\xa0\x80"), false},
        {TEXT("\xf0\x8f\xbf\xbf"), false},
        {TEXT("\xf4\x90\x80\x80"), false},
        {TEXT("\xf5\x80\x80\x80"), false},
        {TEXT("\xff"), false},
        {TEXT("\xe2\x82x"), false},
        {TEXT("\xf0\x9f\x98x"), false},
        {TEXT("\xf0\x9fx\x80"), false},
        /* The rest of the character is behind the end. */
        {{"\xc3\xa9", 1}, false},
        {{"\xe2\x82\xac", 2}, false},
        {{"\xf0\x9f\x98\x80", 3}, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (utf8_is_valid(rows[i].text) != rows[i].valid) {
            fail_msg("row %zu", i);
        }
    }
}

static void walk_and_count(void **state)
{
    (void)state;
    static const uint32_t expected[] = {'a', 0xe9, 0x20ac, 0x1f600, 0x10ffff, 0};
    const struct slice text = TEXT("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\0");
    size_t position = 0;
    for (size_t i = 0; i < COUNT(expected); i++) {
        assert_int_equal(utf8_next(text, &position), expected[i]);
    }
    assert_int_equal(position, text.length);
    assert_int_equal(utf8_count(text), COUNT(expected));
    assert_int_equal(utf8_first_length(text), 1);
    assert_int_equal(utf8_first_length((struct slice){text.data + 3, text.length - 3}), 3);
    assert_int_equal(utf8_first_length((struct slice){NULL, 0}), 0);
}

static void cut(void **state)
{
    (void)state;
    static const size_t expected[] = {0, 1, 1, 3, 3, 3, 6, 6, 6};
    const struct slice text = TEXT("a\xc3\xa9\xe2\x82\xac");
    for (size_t i = 0; i < COUNT(expected); i++) {
        assert_int_equal(utf8_cut_length(text, i), expected[i]);
    }
}

static void controls(void **state)
{
    (void)state;
    static const uint32_t yes[] = {0, '\t', '\n', 0x1f, 0x7f, 0x80, 0x9f};
    static const uint32_t no[] = {' ', '~', 0xa0, 0x202e};
    for (size_t i = 0; i < COUNT(yes); i++) {
        assert_true(utf8_is_control(yes[i]));
    }
    for (size_t i = 0; i < COUNT(no); i++) {
        assert_false(utf8_is_control(no[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(validity),
        cmocka_unit_test(walk_and_count),
        cmocka_unit_test(cut),
        cmocka_unit_test(controls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
