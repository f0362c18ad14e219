/* What a program reads of a letter: text as it is, and every other byte as base64 (RFC 4648). */
#include "session-service/dead_letters_command/dead_letter_print.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

/* The letter with this body, as JSON. */
static json_t *printed(struct slice body)
{
    const struct message message = {.body = body};
    struct dead_letter_view view;
    dead_letter_view_init(&view, &message, 1, "m-1");
    char *text = NULL;
    size_t length = 0;
    FILE *terminal = stdout;
    stdout = open_memstream(&text, &length);
    bool done = dead_letter_print_whole(&view, true);
    fclose(stdout);
    stdout = terminal;
    assert_true(done);
    json_t *letter = json_loadb(text, length, 0, NULL);
    assert_non_null(letter);
    free(text);
    return letter;
}

static void expect_member(struct slice body, const char *name, const char *expected)
{
    json_t *letter = printed(body);
    assert_string_equal(json_string_value(json_object_get(letter, name)), expected);
    json_decref(letter);
}

static void text_is_shown_as_it_is(void **state)
{
    (void)state;
    expect_member(slice_of(""), "body", "");
    expect_member(slice_of("{\"name\":\"Ada\"}"), "body", "{\"name\":\"Ada\"}");
}

static void other_bytes_are_base64(void **state)
{
    (void)state;
    expect_member(slice_of("\xff"), "body_base64", "/w==");
    expect_member((struct slice){"\xff\0", 2}, "body_base64", "/wA=");
    expect_member(slice_of("foobar\xff"), "body_base64", "Zm9vYmFy/w==");
    expect_member(slice_of("fooba\xff"), "body_base64", "Zm9vYmH/");
}

static void what_is_too_large_is_left_out(void **state)
{
    (void)state;
    json_t *letter = printed((struct slice){"\xff", (size_t)INT32_MAX});
    assert_null(json_object_get(letter, "body_base64"));
    assert_int_equal(json_integer_value(json_object_get(letter, "body_bytes")), INT32_MAX);
    json_decref(letter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_shown_as_it_is),
        cmocka_unit_test(other_bytes_are_base64),
        cmocka_unit_test(what_is_too_large_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
