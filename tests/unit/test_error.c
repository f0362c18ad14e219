/* Error texts: written, cut, wrapped. */
#include "common/base/error.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_outcome),
        cmocka_unit_test(an_error_wraps_its_own_text),
        cmocka_unit_test(a_long_text_is_cut),
        cmocka_unit_test(a_cut_never_halves_a_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
