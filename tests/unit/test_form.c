/* Forms become JSON objects of strings; what is no form is refused without a trace in the buffer.
 */
#include "common/http/form.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>

enum { LIMIT_BYTES = 1 << 20 };

/* The length is counted, so that a form can hold a NUL. */
#define FORM(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

static const struct good_row {
    struct slice form;
    const char *json;
} good_rows[] = {
    {FORM(""), "{}"},
    {FORM("&&"), "{}"},
    {FORM("name=Ada&email=ada@example.org"), "{\"name\":\"Ada\",\"email\":\"ada@example.org\"}"},
    {FORM("name=Ada+Lovelace"), "{\"name\":\"Ada Lovelace\"}"},
    {FORM("name=a%2Bb%26c%3Dd"), "{\"name\":\"a+b&c=d\"}"},
    {FORM("flag"), "{\"flag\":\"\"}"},
    {FORM("flag="), "{\"flag\":\"\"}"},
    {FORM("=x"), "{\"\":\"x\"}"},
    {FORM("="), "{\"\":\"\"}"},
    {FORM("&a=1&&b=2&"), "{\"a\":\"1\",\"b\":\"2\"}"},
    {FORM("a=b=c"), "{\"a\":\"b=c\"}"},
    {FORM("a%3Db=c"), "{\"a=b\":\"c\"}"},
    {FORM("n=%c3%A9"), "{\"n\":\"\xc3\xa9\"}"},
    {FORM("n=\xc3\xa9"), "{\"n\":\"\xc3\xa9\"}"},
    {FORM("n=\xc3%a9"), "{\"n\":\"\xc3\xa9\"}"},
    {FORM("q=%22%5C"), "{\"q\":\"\\\"\\\\\"}"},
    {FORM("q=\"\\/"), "{\"q\":\"\\\"\\\\/\"}"},
    {FORM("%22=1"), "{\"\\\"\":\"1\"}"},
    {FORM("c=%0a%0D%09%01%1F%7f"), "{\"c\":\"\\n\\r\\t\\u0001\\u001f\x7f\"}"},
    {FORM("c=a%0D%0Ab\r\nc%0d\nd\r%0a"), "{\"c\":\"a\\nb\\nc\\nd\\n\"}"},
    {FORM("%0D%0A=1"), "{\"\\n\":\"1\"}"},
    {FORM("c=%0D%0D%0A%0D&d=\r&\n=1"), "{\"c\":\"\\r\\n\\r\",\"d\":\"\\r\",\"\\n\":\"1\"}"},
    {FORM("n=%F0%9F%98%80"), "{\"n\":\"\xf0\x9f\x98\x80\"}"},
    {FORM("n=%E2%80%AE"), "{\"n\":\"\xe2\x80\xae\"}"},
    {FORM("a=1&A=2"), "{\"a\":\"1\",\"A\":\"2\"}"},
};

static void good_forms_become_json(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good_rows) / sizeof(good_rows[0]); i++) {
        const struct good_row *row = &good_rows[i];
        struct error error = {.text = ""};
        struct buffer json;
        buffer_init(&json, LIMIT_BYTES);
        buffer_append_text(&json, "before");
        enum outcome outcome = form_to_json(row->form, &json, &error);
        buffer_append_byte(&json, '\0');
        if (outcome != OUTCOME_OK || strcmp(json.data + 6, row->json) != 0) {
            fail_msg("form '%s' gave %d '%s' (%s)", row->form.data, (int)outcome, json.data,
                     error.text);
        }
        json_t *parsed = json_loads(json.data + 6, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(parsed);
        json_decref(parsed);
        buffer_done(&json);
    }
}

static const struct bad_row {
    struct slice form;
    const char *error;
} bad_rows[] = {
    {FORM("a=%"), "a '%' without two hexadecimal digits at byte 2 of the form"},
    {FORM("a=%4"), "a '%' without two hexadecimal digits at byte 2 of the form"},
    {FORM("a=%4g"), "a '%' without two hexadecimal digits at byte 2 of the form"},
    {FORM("a=%g4"), "a '%' without two hexadecimal digits at byte 2 of the form"},
    {FORM("a=%4&1=2"), "a '%' without two hexadecimal digits at byte 2 of the form"},
    {FORM("ab%zz=1"), "a '%' without two hexadecimal digits at byte 2 of the form"},
    {{"a=%41", 4}, "a '%' without two hexadecimal digits at byte 2 of the form"},
    {{"a=%41", 3}, "a '%' without two hexadecimal digits at byte 2 of the form"},
    {FORM("a=x%00"), "a NUL at byte 3 of the form"},
    {FORM("a=\0"), "a NUL at byte 2 of the form"},
    {FORM("a=1&a=2"), "the pair at byte 4 of the form repeats a name"},
    {FORM("a=1&%61=2"), "the pair at byte 4 of the form repeats a name"},
    {FORM("a+b=1&a%20b"), "the pair at byte 6 of the form repeats a name"},
    {FORM("=1&=2"), "the pair at byte 3 of the form repeats a name"},
    {FORM("a=%ff"), "the name or value that begins at byte 2 of the form is not UTF-8"},
    {FORM("a=\xff"), "the name or value that begins at byte 2 of the form is not UTF-8"},
    {FORM("a=%c3"), "the name or value that begins at byte 2 of the form is not UTF-8"},
    {FORM("a=%c3%22"), "the name or value that begins at byte 2 of the form is not UTF-8"},
    {FORM("a=%c0%80"), "the name or value that begins at byte 2 of the form is not UTF-8"},
    {FORM("a=%ed%a0%80"), "the name or value that begins at byte 2 of the form is not UTF-8"},
    {FORM("a=%f4%90%80%80"), "the name or value that begins at byte 2 of the form is not UTF-8"},
    {FORM("a=%e0%80%80"), "the name or value that begins at byte 2 of the form is not UTF-8"},
    {FORM("a=%f0%80%80%80"), "the name or value that begins at byte 2 of the form is not UTF-8"},
    {FORM("a=%e2%82"), "the name or value that begins at byte 2 of the form is not UTF-8"},
    {FORM("a=%80"), "the name or value that begins at byte 2 of the form is not UTF-8"},
    {FORM("%ff=1"), "the name or value that begins at byte 0 of the form is not UTF-8"},
    /* Half a character in the name and the other half in the value make none. */
    {FORM("%c3=%a9"), "the name or value that begins at byte 0 of the form is not UTF-8"},
};

static void bad_forms_are_invalid(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad_rows) / sizeof(bad_rows[0]); i++) {
        const struct bad_row *row = &bad_rows[i];
        struct error error = {.text = ""};
        struct buffer json;
        buffer_init(&json, LIMIT_BYTES);
        buffer_append_text(&json, "before");
        enum outcome outcome = form_to_json(row->form, &json, &error);
        if (outcome != OUTCOME_INVALID || strcmp(error.text, row->error) != 0) {
            fail_msg("form '%s' gave %d '%s'", row->form.data, (int)outcome, error.text);
        }
        assert_true(slice_equal(buffer_slice(&json), slice_of("before")));
        buffer_done(&json);
    }
}

static size_t write_pairs(char *text, size_t bytes, int count)
{
    size_t length = 0;
    for (int i = 0; i < count; i++) {
        length += (size_t)snprintf(text + length, bytes - length, "%d=&", i);
    }
    return length;
}

static void pairs_are_bounded(void **state)
{
    (void)state;
    static char text[16384];
    struct error error = {.text = ""};
    struct buffer json;
    buffer_init(&json, LIMIT_BYTES);
    struct slice form = {text, write_pairs(text, sizeof(text), FORM_PAIRS_MAX)};
    assert_int_equal(form_to_json(form, &json, &error), OUTCOME_OK);
    buffer_clear(&json);
    form.length = write_pairs(text, sizeof(text), FORM_PAIRS_MAX + 1);
    assert_int_equal(form_to_json(form, &json, &error), OUTCOME_INVALID);
    assert_string_equal(error.text, "the form has more than 256 pairs");
    assert_int_equal(json.length, 0);
    buffer_done(&json);
}

/* At every limit too small for the result it is BUSY, never a text cut short. */
static void no_room_is_busy(void **state)
{
    (void)state;
    static const char result[] = "{\"name\":\"Ada\\n\",\"x\":\"\"}";
    for (size_t limit = 0; limit <= sizeof(result) - 1; limit++) {
        struct error error = {.text = ""};
        struct buffer json;
        buffer_init(&json, limit);
        enum outcome outcome = form_to_json(slice_of("name=Ada%0a&x"), &json, &error);
        bool fits = limit == sizeof(result) - 1;
        assert_int_equal(outcome, fits ? OUTCOME_OK : OUTCOME_BUSY);
        assert_int_equal(json.length, fits ? limit : 0);
        buffer_done(&json);
    }
}

static void empty_slice_without_data(void **state)
{
    (void)state;
    struct buffer json;
    buffer_init(&json, LIMIT_BYTES);
    assert_int_equal(form_to_json((struct slice){NULL, 0}, &json, NULL), OUTCOME_OK);
    assert_true(slice_equal(buffer_slice(&json), slice_of("{}")));
    buffer_done(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_forms_become_json),   cmocka_unit_test(bad_forms_are_invalid),
        cmocka_unit_test(pairs_are_bounded),        cmocka_unit_test(no_room_is_busy),
        cmocka_unit_test(empty_slice_without_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
