/* Error texts: written, cut, wrapped. */
#include "common/base/error.h"
#include "common/base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

static void text_and_outcome(void **state)
{
    (void)state;
    struct error error;
    assert_int_equal(error_set(&error, OUTCOME_BUSY, "%d of %s", 3, "four"), OUTCOME_BUSY);
    assert_string_equal(error.text, "3 of four");
    assert_int_equal(error_set(NULL, OUTCOME_BROKEN, "nobody reads this"), OUTCOME_BROKEN);
    assert_int_equal(error_set_errno(NULL, OUTCOME_INVALID, ENOENT, "nor this"), OUTCOME_INVALID);
    assert_int_equal(error_set_errno(&error, OUTCOME_TRANSIENT, ENOENT, "open %s", "x"),
                     OUTCOME_TRANSIENT);
    assert_string_equal(error.text, "open x: No such file or directory");
}

static void an_error_wraps_its_own_text(void **state)
{
    (void)state;
    struct error error;
    (void)error_set(&error, OUTCOME_BUSY, "inner");
    (void)error_set(&error, OUTCOME_BUSY, "outer: %s (%s)", error.text, error.text);
    assert_string_equal(error.text, "outer: inner (inner)");
}

static void a_long_text_is_cut(void **state)
{
    (void)state;
    char text[2 * ERROR_TEXT_BYTES];
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    struct error error;
    (void)error_set(&error, OUTCOME_BUSY, "%s", text);
    assert_int_equal(strlen(error.text), ERROR_TEXT_BYTES - 1);
    (void)error_set_errno(&error, OUTCOME_BUSY, ENOENT, "%s", text);
    assert_int_equal(strlen(error.text), ERROR_TEXT_BYTES - 1);
    (void)error_set_errno(&error, OUTCOME_BUSY, ENOENT, "%.*s", ERROR_TEXT_BYTES - 4, text);
    assert_string_equal(error.text + ERROR_TEXT_BYTES - 4, ": N");
}

/* Of each length of character, at each place that the end can fall in. */
static void a_cut_never_halves_a_character(void **state)
{
    (void)state;
    static const char *const characters[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    for (size_t i = 0; i < 3; i++) {
        size_t length = strlen(characters[i]);
        for (size_t fits = 0; fits <= length; fits++) {
            char text[2 * ERROR_TEXT_BYTES] = {0};
            size_t start = ERROR_TEXT_BYTES - 1 - fits;
            memset(text, 'a', start);
            memcpy(text + start, characters[i], length);
            memset(text + start + length, 'b', 20);
            struct error error;
            (void)error_set(&error, OUTCOME_BUSY, "%s", text);
            assert_int_equal(strlen(error.text), fits == length ? start + length : start);
        }
    }
}

/* Returns a text of `count` times one character of two bytes, behind `first`. */
static const char *letters(const char *first, size_t count)
{
    static char text[2 * ERROR_TEXT_BYTES + 8];
    (void)strcpy(text, first);
    for (size_t i = 0; i < count; i++) {
        (void)strcat(text, "\xc3\xa9");
    }
    return text;
}

static void two_texts_are_joined(void **state)
{
    (void)state;
    struct error error = {.text = ""};
    error_join(&error, "; ", "");
    assert_string_equal(error.text, "");
    error_join(&error, "; ", "one");
    assert_string_equal(error.text, "one");
    error_join(&error, "; ", "");
    assert_string_equal(error.text, "one");
    error_join(&error, "; ", "two");
    assert_string_equal(error.text, "one; two");
}

static void of_two_long_texts_both_are_cut_between_characters(void **state)
{
    (void)state;
    for (size_t shift = 0; shift < 2; shift++) {
        struct error error;
        (void)error_set(&error, OUTCOME_BUSY, "%s", letters(&"ab"[shift], 240));
        error_join(&error, "; ", letters(&"xyz"[shift], 240));
        const char *found = strstr(error.text, "; x");
        found = found == NULL ? strstr(error.text, "; y") : found;
        assert_non_null(found);
        assert_true(utf8_is_valid(slice_of(error.text)));
        size_t half = (ERROR_TEXT_BYTES - 1 - strlen("; ")) / 2;
        assert_in_range(found - error.text, half - 1, half);
        assert_in_range(strlen(found + 2), half - 1, half);
    }
}

/* What the one does not need the other gets. */
static void of_a_short_and_a_long_text_the_long_one_is_cut(void **state)
{
    (void)state;
    struct error error;
    (void)error_set(&error, OUTCOME_BUSY, "short");
    error_join(&error, "; ", letters("x", 400));
    assert_int_equal(strncmp(error.text, "short; x", 8), 0);
    assert_in_range(strlen(error.text), ERROR_TEXT_BYTES - 2, ERROR_TEXT_BYTES - 1);
    assert_true(utf8_is_valid(slice_of(error.text)));
    (void)error_set(&error, OUTCOME_BUSY, "%s", letters("x", 250));
    error_join(&error, "; ", "the rest is whole");
    assert_in_range(strlen(error.text), ERROR_TEXT_BYTES - 2, ERROR_TEXT_BYTES - 1);
    assert_non_null(strstr(error.text, "\xc3\xa9; the rest is whole"));
    assert_true(utf8_is_valid(slice_of(error.text)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_outcome),
        cmocka_unit_test(an_error_wraps_its_own_text),
        cmocka_unit_test(a_long_text_is_cut),
        cmocka_unit_test(a_cut_never_halves_a_character),
        cmocka_unit_test(two_texts_are_joined),
        cmocka_unit_test(of_two_long_texts_both_are_cut_between_characters),
        cmocka_unit_test(of_a_short_and_a_long_text_the_long_one_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
