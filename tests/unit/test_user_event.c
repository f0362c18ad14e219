/* Pins the form of a saved user on the queue, and how a delivery is checked. */
#include "session-service/event_handlers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TEXT(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

static const struct user_rules strict = {.strict = true,
                                         .refused_members = USER_REFUSED_MEMBERS_DEFAULT};

static struct slice repeated(char *text, char byte, size_t length)
{
    memset(text, byte, length);
    return (struct slice){text, length};
}

static void message_ids(void **state)
{
    (void)state;
    static const struct id_row {
        struct slice id;
        bool valid;
    } rows[] = {
        {TEXT(""), false},      {TEXT("a"), true},      {TEXT(" ~"), true},
        {TEXT("a\x1f"), false}, {TEXT("a\x7f"), false}, {TEXT("\xc3\xa9"), false},
        {TEXT("a\0b"), false},  {TEXT("\n"), false},    {TEXT("\xff"), false},
        {TEXT("\"\\;,"), true},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (user_event_id_is_valid(rows[i].id) != rows[i].valid) {
            fail_msg("row %zu", i);
        }
    }
    char text[129];
    assert_true(user_event_id_is_valid(repeated(text, 'x', 128)));
    assert_false(user_event_id_is_valid(repeated(text, 'x', 129)));
}

#define TRACEPARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static void encoded_form_is_pinned(void **state)
{
    (void)state;
    struct message message;
    memset(&message, 0xff, sizeof(message));
    user_event_encode(event_type_name(EVENT_USER_SAVED), slice_of("{\"id\":1}"), slice_of("m-1"),
                      1700000000123, (struct slice){0}, &message);
    assert_true(slice_equal(message.body, slice_of("{\"id\":1}")));
    assert_true(slice_equal(message.message_id, slice_of("m-1")));
    assert_true(slice_equal(message.content_type, slice_of("application/json")));
    assert_true(slice_equal(message.type, slice_of("user.saved")));
    assert_true(slice_equal(message.app_id, slice_of("user-service")));
    assert_int_equal(message.timestamp_s, 1700000000);
    assert_true(message.persistent);
    assert_int_equal(message.header_count, 1);
    assert_true(slice_equal(message.headers[0].name, slice_of("saved_at_ms")));
    assert_int_equal(message.headers[0].type, MESSAGE_HEADER_INTEGER);
    assert_int_equal(message.headers[0].integer, 1700000000123);

    static const char traceparent[] = TRACEPARENT;
    user_event_encode(event_type_name(EVENT_USER_SAVED), slice_of("{}"), slice_of("m-1"), 1,
                      slice_of(traceparent), &message);
    assert_int_equal(message.header_count, 2);
    assert_true(slice_equal(message.headers[1].name, slice_of("traceparent")));
    assert_int_equal(message.headers[1].type, MESSAGE_HEADER_TEXT);
    assert_true(slice_equal(message.headers[1].text, slice_of(traceparent)));
}

static void decode_gives_back_what_was_encoded(void **state)
{
    (void)state;
    struct message message;
    struct user_event event;
    struct slice body = slice_of("{\"id\":\"7\",\"x\":1.10}");
    user_event_encode(event_type_name(EVENT_USER_SAVED), body, slice_of("m-1"), 1700000000123,
                      (struct slice){0}, &message);
    user_event_decode(&message, handle_user_saved.parse, &strict, 1024, &event);
    assert_int_equal(event.kind, USER_EVENT_IDENTIFIED);
    assert_int_equal(event.saved_at_ms, 1700000000123);
    assert_ptr_equal(event.user.text.data, body.data);
    assert_int_equal(event.user.text.length, body.length);
    assert_true(event.user.has_id);
    assert_null(event.reason);
    user_event_done(&event);
    user_event_done(&event);
}

enum { BODY_BYTES_MAX = 64 };

static const struct judged_row {
    struct slice message_id;
    struct slice body;
    enum user_event_kind kind;
    const char *reason;
    const char *detail;
} judged_rows[] = {
    {TEXT("m"), TEXT("{\"id\":1}"), USER_EVENT_IDENTIFIED, NULL, ""},
    {TEXT(""), TEXT("{\"id\":1}"), USER_EVENT_BARE, NULL, ""},
    {TEXT(""), TEXT("{}"), USER_EVENT_BARE, NULL, ""},
    {TEXT(""), TEXT("{\"password\":\"\\u0001\",\"a\":1,\"a\":2}"), USER_EVENT_BARE, NULL, ""},
    {TEXT(""), TEXT("[]"), USER_EVENT_IMPOSSIBLE, "not-an-object",
     "must be a JSON object, not an array"},
    {TEXT(""), TEXT("{\"a\":[1e400]}"), USER_EVENT_IMPOSSIBLE, "number-out-of-range",
     "/a/0: a number is too large (send it as a string)"},
    {TEXT("m"), TEXT("{\"id\":-9223372036854775809}"), USER_EVENT_IMPOSSIBLE, "number-out-of-range",
     "/id: an integer does not fit in 64 bits (send it as a string)"},
    {TEXT("m"), TEXT("{\"a@b\":{\"c\":1e400}}"), USER_EVENT_IMPOSSIBLE, "number-out-of-range",
     "/*/*: a number is too large (send it as a string)"},
    {TEXT(""), TEXT("{\"a\":\"\\u0000\"}"), USER_EVENT_IMPOSSIBLE, "invalid-user",
     "line 1, column 13: the character U+0000 is not allowed"},
    {TEXT(""), TEXT("hello Ada"), USER_EVENT_IMPOSSIBLE, "not-json",
     "line 1, column 5: invalid token"},
    {TEXT(""), TEXT(""), USER_EVENT_IMPOSSIBLE, "not-json", "line 1, column 0: the text is empty"},
    {TEXT("m"), TEXT(""), USER_EVENT_IMPOSSIBLE, "not-json", "line 1, column 0: the text is empty"},
    {TEXT("m"), TEXT("{\"name\":\"Ada\""), USER_EVENT_IMPOSSIBLE, "not-json",
     "line 1, column 13: '}' expected near end of file"},
    {TEXT("m"), TEXT("{\"id\":1,\"id\":1}"), USER_EVENT_IMPOSSIBLE, "invalid-user",
     "line 1, column 12: the object has this member already"},
    {TEXT("m"), TEXT("[]"), USER_EVENT_IMPOSSIBLE, "not-an-object",
     "must be a JSON object, not an array"},
    {TEXT("m"), TEXT("{}"), USER_EVENT_IMPOSSIBLE, "invalid-user",
     "must have at least one of id, email, username, name"},
    {TEXT("m"), TEXT("{\"id\":1,\"name\":5}"), USER_EVENT_IMPOSSIBLE, "invalid-user",
     "/name: must be a string"},
    {TEXT("m"), TEXT("{\"id\":{},\"email\":\"ada\",\"name\":5,\"username\":6}"),
     USER_EVENT_IMPOSSIBLE, "invalid-user",
     "/id: must be a string or an integer; /email: must have the form local@domain; "
     "/username: must be a string"},
    {TEXT("m"), TEXT("{\"id\":1,\"x\":{\"a@b\":{\"token\":1}}}"), USER_EVENT_IMPOSSIBLE,
     "invalid-user",
     "/x/*/*: is not accepted: the name is that of a secret, and a queue is no place for a secret"},
    {TEXT("m\n"), TEXT("{"), USER_EVENT_IMPOSSIBLE, "invalid-message-id",
     "the message id must be 1 to 128 printable ASCII characters"},
    {TEXT("\0"), TEXT("{\"id\":1}"), USER_EVENT_IMPOSSIBLE, "invalid-message-id",
     "the message id must be 1 to 128 printable ASCII characters"},
#define BODY_64 "{\"id\":1,\"x\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}"
    {TEXT("m"), TEXT(BODY_64), USER_EVENT_IDENTIFIED, NULL, ""},
    {TEXT(""), TEXT(BODY_64), USER_EVENT_BARE, NULL, ""},
    {TEXT("m"), TEXT(BODY_64 " "), USER_EVENT_IMPOSSIBLE, "too-large",
     "the body has 65 bytes; at most 64 are accepted"},
    {TEXT(""), TEXT(BODY_64 "x"), USER_EVENT_IMPOSSIBLE, "too-large",
     "the body has 65 bytes; at most 64 are accepted"},
    {TEXT("\x80"), TEXT(BODY_64 "x"), USER_EVENT_IMPOSSIBLE, "invalid-message-id",
     "the message id must be 1 to 128 printable ASCII characters"},
};

static void deliveries_are_judged(void **state)
{
    (void)state;
    assert_int_equal(sizeof(BODY_64) - 1, BODY_BYTES_MAX);
    for (size_t i = 0; i < COUNT(judged_rows); i++) {
        const struct judged_row *row = &judged_rows[i];
        struct message message = {.body = row->body, .message_id = row->message_id};
        struct user_event event;
        memset(&event, 0xff, sizeof(event));
        user_event_decode(&message, handle_user_saved.parse, &strict, BODY_BYTES_MAX, &event);
        const char *reason = event.reason == NULL ? "" : event.reason;
        if (event.kind != row->kind || strcmp(event.detail, row->detail) != 0 ||
            strcmp(reason, row->reason == NULL ? "" : row->reason) != 0) {
            fail_msg("row %zu: kind %d, '%s', '%s'", i, (int)event.kind, reason, event.detail);
        }
        assert_int_equal(event.user.root != NULL, row->kind != USER_EVENT_IMPOSSIBLE);
        user_event_done(&event);
    }
}

static void time_comes_from_the_header_alone(void **state)
{
    (void)state;
    static const struct time_row {
        enum message_header_type type;
        int64_t integer;
        uint64_t timestamp_s;
        int64_t saved_at_ms;
    } rows[] = {
        {MESSAGE_HEADER_INTEGER, 5, 7, 5},
        {MESSAGE_HEADER_INTEGER, INT64_MAX, 7, INT64_MAX},
        {MESSAGE_HEADER_INTEGER, 0, 7, -1},
        {MESSAGE_HEADER_INTEGER, -5, 7, -1},
        {MESSAGE_HEADER_TEXT, 5, 7, -1},
        {MESSAGE_HEADER_INTEGER, 0, 0, -1},
        {MESSAGE_HEADER_INTEGER, INT64_MIN, 0, -1},
        {MESSAGE_HEADER_TEXT, 5, INT64_MAX / 1000, -1},
        {MESSAGE_HEADER_TEXT, 5, UINT64_MAX, -1},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct message message = {
            .body = slice_of("{}"),
            .timestamp_s = rows[i].timestamp_s,
            .headers = {{.name = slice_of("other"), .type = MESSAGE_HEADER_INTEGER, .integer = 9},
                        {.name = slice_of("saved_at_ms"),
                         .type = rows[i].type,
                         .text = slice_of("5"),
                         .integer = rows[i].integer}},
            .header_count = 2};
        struct user_event event;
        user_event_decode(&message, handle_user_saved.parse, &strict, BODY_BYTES_MAX, &event);
        assert_int_equal(event.kind, USER_EVENT_BARE);
        assert_int_equal(event.saved_at_ms, rows[i].saved_at_ms);
        user_event_done(&event);
    }
}

/* Long names fill the detail: it is cut between characters and stays terminated. */
static void long_details_are_cut(void **state)
{
    (void)state;
    char body[4096];
    for (size_t shift = 0; shift < 3; shift++) {
        size_t length = (size_t)sprintf(body, "{\"id\":1");
        for (int member = 0; member < 3; member++) {
            length += (size_t)sprintf(body + length, ",\"%d%.*s", member, (int)shift, "xx");
            for (int i = 0; i < 100; i++) {
                length += (size_t)sprintf(body + length, "\xe2\x82\xac");
            }
            length += (size_t)sprintf(body + length, "\":\"\\r\"");
        }
        length += (size_t)sprintf(body + length, "}");
        struct message message = {.body = {body, length}, .message_id = slice_of("m")};
        struct user_event event;
        user_event_decode(&message, handle_user_saved.parse, &strict, sizeof(body), &event);
        assert_int_equal(event.kind, USER_EVENT_IMPOSSIBLE);
        size_t told = strlen(event.detail);
        assert_in_range(told, sizeof(event.detail) - 4, sizeof(event.detail) - 1);
        json_t *text = json_stringn(event.detail, told);
        assert_non_null(text); /* it is UTF-8 */
        json_decref(text);
        assert_non_null(strstr(event.detail, "\xe2\x82\xac...: has a control character"));
        user_event_done(&event);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_ids),
        cmocka_unit_test(encoded_form_is_pinned),
        cmocka_unit_test(decode_gives_back_what_was_encoded),
        cmocka_unit_test(deliveries_are_judged),
        cmocka_unit_test(time_comes_from_the_header_alone),
        cmocka_unit_test(long_details_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
