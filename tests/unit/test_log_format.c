/* One event is one line, in JSON valid JSON, whatever the fields hold. */
#include "common/log/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { LIMIT_BYTES = 1 << 20 };
static const uint64_t noon_ms = 1769860800123; /* 2026-01-31T12:00:00.123Z */

LOG_EVENT_DEFINE(it_happened, WARNING, "it.happened", "", "")
LOG_EVENT_DEFINE(e, INFO, "e", "", "")
LOG_EVENT_DEFINE(first, INFO, "first", "", "")
LOG_EVENT_DEFINE(second, INFO, "second", "", "")

static char *format_line(enum log_format format, const struct log_field *fields, size_t count)
{
    struct buffer line;
    buffer_init(&line, LIMIT_BYTES);
    log_format_line(&line, format, "user-service", noon_ms, &it_happened, fields, count);
    size_t length;
    char *text = buffer_take(&line, &length);
    assert_non_null(text);
    assert_int_equal(strlen(text), length);
    assert_ptr_equal(strchr(text, '\n'), text + length - 1);
    return text;
}

static char *format_value(enum log_format format, struct log_field field)
{
    return format_line(format, &field, 1);
}

static void text_lines(void **state)
{
    (void)state;
    const struct log_field fields[] = {
        log_string("host", "rabbit-1.example:5672/@+_"),
        log_string("empty", ""),
        log_string("quoted", "a \"b\" \\ \x01\x7f\x80\xc2\x85\xe2\x80\xae\xc3\xa9"),
        log_string("breaks", "\r\n\t"),
        log_integer("low", INT64_MIN),
        log_integer("zero", 0),
        log_boolean("yes", true),
        log_json("user", slice_of("{\"id\":1}")),
    };
    char *line = format_line(LOG_FORMAT_TEXT, fields, 8);
    assert_string_equal(line, "2026-01-31T12:00:00.123Z WARN  it.happened "
                              "host=rabbit-1.example:5672/@+_ empty=\"\" "
                              "quoted=\"a \\\"b\\\" \\\\ \\x01\\x7f\\x80\\u0085\\u202e\xc3\xa9\" "
                              "breaks=\"\\r\\n\\t\" low=-9223372036854775808 zero=0 yes=true "
                              "user=\"{\\\"id\\\":1}\"\n");
    free(line);
}

static void json_lines(void **state)
{
    (void)state;
    const struct log_field fields[] = {
        log_string("quoted", "a \"b\" \\ \n\x01\x7f\x80\xc3\xa9"),
        log_integer("count", -42),
        log_boolean("no", false),
        log_json("user",
                 slice_of("{\"id\": \"\\u0041\xe2\x80\xae\xc2\x9b\x7f\xc3\xa9\",\n\t\"n\":1}")),
        log_json("nothing", slice_of(NULL)),
    };
    char *line = format_line(LOG_FORMAT_JSON, fields, 5);
    assert_string_equal(
        line, "{\"time\":\"2026-01-31T12:00:00.123Z\",\"level\":\"warning\","
              "\"service\":\"user-service\",\"event\":\"it.happened\","
              "\"quoted\":\"a \\\"b\\\" \\\\ \\n\\u0001\\u007f\\ufffd\xc3\xa9\",\"count\":-42,"
              "\"no\":false,"
              "\"user\":{\"id\": \"\\u0041\\u202e\\u009b\\u007f\xc3\xa9\",  \"n\":1},"
              "\"nothing\":null}\n");
    json_t *parsed = json_loads(line, 0, NULL);
    assert_non_null(parsed);
    json_decref(parsed);
    free(line);
}

static void seconds_are_not_confused(void **state)
{
    (void)state;
    static const struct {
        uint64_t wall_ms;
        const char *start;
    } rows[] = {{0, "1970-01-01T00:00:00.000Z INFO  e\n"},
                {999, "1970-01-01T00:00:00.999Z INFO  e\n"},
                {1000, "1970-01-01T00:00:01.000Z INFO  e\n"},
                {951782399007, "2000-02-28T23:59:59.007Z INFO  e\n"},
                {951782400000, "2000-02-29T00:00:00.000Z INFO  e\n"},
                {0, "1970-01-01T00:00:00.000Z INFO  e\n"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buffer line;
        buffer_init(&line, LIMIT_BYTES);
        log_format_line(&line, LOG_FORMAT_TEXT, "s", rows[i].wall_ms, &e, NULL, 0);
        assert_true(slice_equal(buffer_slice(&line), slice_of(rows[i].start)));
        buffer_done(&line);
    }
}

/* No byte of a line may control a terminal or break the line; the line must be valid UTF-8. */
static void assert_line_is_harmless(const char *line)
{
    for (const char *c = line; c[1] != '\0'; c++) {
        unsigned char byte = (unsigned char)*c;
        assert_true(byte >= 0x20 && byte != 0x7f);
    }
    static const char *const characters[] = {"\xd8\x9c",     "\xe2\x80\x8e", "\xe2\x80\x8f",
                                             "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaa",
                                             "\xe2\x80\xae", "\xe2\x81\xa6", "\xe2\x81\xa9",
                                             "\xc2\x80",     "\xc2\x85",     "\xc2\x9f"};
    for (size_t i = 0; i < sizeof(characters) / sizeof(characters[0]); i++) {
        assert_null(strstr(line, characters[i]));
    }
}

/* What jansson reads back must be what went in, but U+FFFD for bytes that are not UTF-8. */
static void check_value(struct slice value, const char *expected)
{
    char *text = format_value(LOG_FORMAT_TEXT, log_text("value", value));
    assert_line_is_harmless(text);
    free(text);
    char *line = format_value(LOG_FORMAT_JSON, log_text("value", value));
    assert_line_is_harmless(line);
    json_error_t problem;
    json_t *parsed = json_loads(line, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &problem);
    if (parsed == NULL) {
        fail_msg("%s: %s", problem.text, line);
    }
    const json_t *read = json_object_get(parsed, "value");
    size_t length = expected == NULL ? value.length : strlen(expected);
    assert_int_equal(json_string_length(read), length);
    assert_memory_equal(json_string_value(read), expected == NULL ? value.data : expected, length);
    json_decref(parsed);
    free(line);
}

static void every_byte(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        char alone = (char)byte;
        check_value((struct slice){&alone, 1}, byte < 0x80 ? NULL : "\xef\xbf\xbd");
        const char between[] = {'a', (char)byte, 'b'};
        check_value((struct slice){between, 3}, byte < 0x80 ? NULL
                                                            : "a\xef\xbf\xbd"
                                                              "b");
    }
}

static size_t encode(uint32_t character, char bytes[4])
{
    if (character < 0x800) {
        bytes[0] = (char)(0xc0 | character >> 6);
        bytes[1] = (char)(0x80 | (character & 0x3f));
        return 2;
    }
    bytes[0] = (char)(0xe0 | character >> 12);
    bytes[1] = (char)(0x80 | (character >> 6 & 0x3f));
    bytes[2] = (char)(0x80 | (character & 0x3f));
    return 3;
}

static bool must_be_escaped(uint32_t character)
{
    return character < 0xa0 || character == 0x61c || character == 0x200e || character == 0x200f ||
           (character >= 0x2028 && character <= 0x202e) ||
           (character >= 0x2066 && character <= 0x2069);
}

static void every_character_of_two_or_three_bytes(void **state)
{
    (void)state;
    for (uint32_t character = 0x80; character < 0x10000; character++) {
        if (character >= 0xd800 && character < 0xe000) {
            continue;
        }
        char bytes[5] = {0};
        struct slice value = {bytes, encode(character, bytes)};
        char *line = format_value(LOG_FORMAT_TEXT, log_text("value", value));
        assert_int_equal(strstr(line, bytes) == NULL, must_be_escaped(character));
        free(line);
        line = format_value(LOG_FORMAT_JSON, log_text("value", value));
        assert_int_equal(strstr(line, bytes) == NULL, must_be_escaped(character));
        free(line);
        if (character < 0x2100) {
            check_value(value, NULL);
        }
    }
}

static void broken_utf8(void **state)
{
    (void)state;
    check_value(slice_of("\xe2\x82"), "\xef\xbf\xbd\xef\xbf\xbd");
    check_value((struct slice){"\xe2\x82\xac", 2}, "\xef\xbf\xbd\xef\xbf\xbd");
    check_value(slice_of("\xc0\xaf"), "\xef\xbf\xbd\xef\xbf\xbd");
    check_value(slice_of("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    check_value(slice_of("\xf0\x9f\x98\x80!"), NULL);
}

static void long_values_are_cut_between_characters(void **state)
{
    (void)state;
    static char value[LOG_VALUE_BYTES_MAX + 10];
    memset(value, 'a', sizeof(value));
    char *line =
        format_value(LOG_FORMAT_TEXT, log_text("v", (struct slice){value, LOG_VALUE_BYTES_MAX}));
    assert_null(strstr(line, "[cut"));
    free(line);
    memcpy(value + LOG_VALUE_BYTES_MAX - 2, "\xf0\x9f\x98\x80", 4);
    for (int format = LOG_FORMAT_TEXT; format <= LOG_FORMAT_JSON; format++) {
        struct log_field fields[] = {log_text("v", (struct slice){value, sizeof(value)}),
                                     log_json("j", (struct slice){value, sizeof(value)})};
        for (size_t i = 0; i < 2; i++) {
            line = format_value((enum log_format)format, fields[i]);
            assert_non_null(strstr(line, "aa...[cut, of 16394 bytes]\""));
            assert_true(strlen(line) < LOG_VALUE_BYTES_MAX + 200);
            if (format == LOG_FORMAT_JSON) {
                json_t *parsed = json_loads(line, 0, NULL);
                const json_t *shown = json_object_get(parsed, i == 0 ? "v" : "j");
                /* Embedded JSON stays an object. */
                assert_true(json_is_string(i == 0 ? shown : json_object_get(shown, "cut")));
                json_decref(parsed);
            }
            free(line);
        }
    }
    memset(value, '\x80', sizeof(value)); /* no character's beginning in sight */
    line = format_value(LOG_FORMAT_JSON, log_text("v", (struct slice){value, sizeof(value)}));
    free(line);
}

static void a_line_that_does_not_fit_leaves_nothing(void **state)
{
    (void)state;
    struct buffer lines;
    buffer_init(&lines, 60);
    log_format_line(&lines, LOG_FORMAT_TEXT, "s", 0, &first, NULL, 0);
    size_t length = lines.length;
    const struct log_field field = log_string("long", "0123456789");
    log_format_line(&lines, LOG_FORMAT_TEXT, "s", 0, &second, &field, 1);
    assert_true(lines.failed);
    assert_int_equal(lines.length, length);
    buffer_done(&lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_lines),
        cmocka_unit_test(json_lines),
        cmocka_unit_test(seconds_are_not_confused),
        cmocka_unit_test(every_byte),
        cmocka_unit_test(every_character_of_two_or_three_bytes),
        cmocka_unit_test(broken_utf8),
        cmocka_unit_test(long_values_are_cut_between_characters),
        cmocka_unit_test(a_line_that_does_not_fit_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
