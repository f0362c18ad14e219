/* Which content types, encodings and headers say that a body is plain JSON. */
#include "session-service/event_content.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *problem_of(const struct message *message)
{
    struct event_content_problem problem = {.what = NULL};
    return event_content_is_json(message, &problem) ? NULL : problem.what;
}

struct row {
    const char *value;
    bool taken;
};

static void content_types(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"", true},
        {" ", true},
        {"application/json", true},
        {"Application/JSON", true},
        {"application/json;charset=utf-8", true},
        {"application/json ; charset=\"UTF-8\"; x=y", true},
        {"\tapplication/json ", true},
        {"text/plain", true},
        {"text/plain; charset=us-ascii", true},
        {"application/octet-stream", true},
        {"application/jso", false},
        {"application/json5", false},
        {"application/json, text/plain", false},
        {"application/cloudevents+json", false},
        {"application/cloudevents+json; charset=utf-8", false},
        {"application/cloudevents-batch+json", false},
        {"application/problem+json", false},
        {"application/x-protobuf", false},
        {"application/msgpack", false},
        {"application/x-python-serialize", false},
        {"application/xml", false},
        {"text/html", false},
        {"text/odd", false},
        {"json", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct message message = {.content_type = slice_of(rows[i].value)};
        const char *problem = problem_of(&message);
        if ((problem == NULL) != rows[i].taken) {
            fail_msg("'%s'", rows[i].value);
        }
        if (problem != NULL) {
            assert_string_equal(problem, "the content type");
        }
    }
    const struct message cut = {.content_type = {"application/json\0", 17}};
    assert_non_null(problem_of(&cut));
}

static void content_encodings(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"", true},         {"identity", true}, {"utf-8", true},           {"UTF-8", true},
        {"utf8", true},     {"gzip", false},    {"GZIP", false},           {"x-gzip", false},
        {"deflate", false}, {"br", false},      {"zstd", false},           {"compress", false},
        {"utf-16", false},  {"binary", false},  {"identity, gzip", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct message message = {.content_type = slice_of("application/json"),
                                        .content_encoding = slice_of(rows[i].value)};
        const char *problem = problem_of(&message);
        if ((problem == NULL) != rows[i].taken) {
            fail_msg("'%s'", rows[i].value);
        }
        if (problem != NULL) {
            assert_string_equal(problem, "the content encoding");
        }
    }
}

static void headers_of_a_cloud_event(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"cloudEvents:specversion", false},
        {"cloudEvents_specversion", false},
        {"cloudevents:id", false},
        {"ce-specversion", false},
        {"CE-id", false},
        {"saved_at_ms", true},
        {"traceparent", true},
        {"cloudEvents", true},
        {"ce", true},
        {"celery-task", true},
        {"type", true},
        {"", true},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct message message = {
            .headers = {{.name = slice_of("first"), .type = MESSAGE_HEADER_INTEGER},
                        {.name = slice_of(rows[i].value),
                         .type = MESSAGE_HEADER_TEXT,
                         .text = slice_of("1.0")}},
            .header_count = 2};
        const char *problem = problem_of(&message);
        if ((problem == NULL) != rows[i].taken) {
            fail_msg("'%s'", rows[i].value);
        }
        if (problem != NULL) {
            assert_string_equal(problem, "the header");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_types),
        cmocka_unit_test(content_encodings),
        cmocka_unit_test(headers_of_a_cloud_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
