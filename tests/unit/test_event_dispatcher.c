/* The dispatcher: handler, verdict and exactly one log line for each kind of delivery. */
#include "session-service/event_dispatcher.h"

#include "common/log/log.h"

#include "tests/support/database_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

enum { MESSAGE_BYTES_MAX = 1024, NOW_MS = 1000000 };

struct fixture {
    char directory[64];
    struct store *store;
    enum outcome outcome;
    struct event_dispatcher dispatcher;
    struct buffer lines;
    struct handled handled;
    json_t *line; /* the one line that was logged, NULL: none */
};

static void set_up(struct fixture *fixture, enum log_payload payload)
{
    struct user_rules rules = {.strict = true};
    *fixture = (struct fixture){.line = NULL};
    strcpy(fixture->directory, "/tmp/test-event-dispatcher-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    struct store_options options = {.directory = fixture->directory,
                                    .session_ttl_ms = 1000,
                                    .inbox_retention_ms = 60000,
                                    .clock_tolerance_ms = 300000};
    assert_int_equal(store_create(&options, &fixture->store, NULL), OUTCOME_OK);
    assert_int_equal(event_dispatcher_init(&fixture->dispatcher, &rules, MESSAGE_BYTES_MAX, payload,
                                           fixture->store, NULL),
                     OUTCOME_OK);
    buffer_init(&fixture->lines, 1024 * 1024);
}

static void tear_down(struct fixture *fixture)
{
    json_decref(fixture->line);
    event_dispatcher_done(&fixture->dispatcher);
    buffer_done(&fixture->lines);
    store_free(fixture->store);
    remove_store_directory(fixture->directory);
}

/* As the consumer does: what fails leaves nothing behind. */
static void run(struct fixture *fixture, const struct message *message, bool redelivered)
{
    struct event_dispatcher *dispatcher = &fixture->dispatcher;
    struct error error;
    fixture->outcome = event_dispatcher_decode(dispatcher, message, redelivered, (struct slice){0},
                                               &fixture->handled, &error);
    if (fixture->outcome == OUTCOME_OK) {
        fixture->outcome = event_dispatcher_take(dispatcher, NOW_MS, &error);
    }
    if (fixture->outcome == OUTCOME_OK) {
        fixture->outcome = event_dispatcher_tell(dispatcher, &fixture->lines, &error);
    }
}

static struct message message_of(const char *message_id, const char *body)
{
    return (struct message){.body = slice_of(body), .message_id = slice_of(message_id)};
}

static void handle(struct fixture *fixture, const struct message *message, bool redelivered)
{
    buffer_clear(&fixture->lines);
    run(fixture, message, redelivered);
    json_decref(fixture->line);
    fixture->line = NULL;
    struct slice text = buffer_slice(&fixture->lines);
    if (text.length > 0) {
        assert_ptr_equal(memchr(text.data, '\n', text.length), text.data + text.length - 1);
        fixture->line = json_loadb(text.data, text.length, 0, NULL);
        assert_non_null(fixture->line);
    }
}

static const char *field(const struct fixture *fixture, const char *name)
{
    const char *text = json_string_value(json_object_get(fixture->line, name));
    return text == NULL ? "(none)" : text;
}

static void assert_never_shown(const struct fixture *fixture, const char *secret)
{
    assert_null(memmem(fixture->lines.data, fixture->lines.length, secret, strlen(secret)));
}

static void test_handled(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture, LOG_PAYLOAD_REDACTED);
    struct message message =
        message_of("m-1", "{\"id\":\"u-1\",\"name\":\"Ada\",\"x\":\"secret\"}");
    message.headers[0] = (struct message_header){
        .name = slice_of("saved_at_ms"), .type = MESSAGE_HEADER_INTEGER, .integer = 1234567};
    message.header_count = 1;
    handle(&fixture, &message, true);
    assert_int_equal(fixture.handled.verdict, VERDICT_ACK);
    assert_false(fixture.handled.bare);
    assert_string_equal(field(&fixture, "event"), "user.saved");
    assert_string_equal(field(&fixture, "level"), "info");
    assert_string_equal(field(&fixture, "message_id"), "m-1");
    assert_string_equal(field(&fixture, "outcome"), "handled");
    assert_string_equal(field(&fixture, "user_id"), "u-1");
    assert_true(json_is_true(json_object_get(fixture.line, "redelivered")));
    assert_int_equal(json_integer_value(json_object_get(fixture.line, "saved_at_ms")), 1234567);
    json_t *user = json_object_get(fixture.line, "user");
    assert_string_equal(json_string_value(json_object_get(user, "name")), "A***");
    assert_never_shown(&fixture, "secret");
    tear_down(&fixture);
}

static void test_payload_full_and_none(void **state)
{
    (void)state;
    struct fixture fixture;
    struct message message = message_of("m-1", "{\"id\":7,\"name\":\"Ada\"}");
    set_up(&fixture, LOG_PAYLOAD_FULL);
    handle(&fixture, &message, false);
    json_t *user = json_object_get(fixture.line, "user");
    assert_string_equal(json_string_value(json_object_get(user, "name")), "Ada");
    assert_string_equal(field(&fixture, "user_id"), "7");
    assert_true(json_is_false(json_object_get(fixture.line, "redelivered")));
    assert_null(json_object_get(fixture.line, "saved_at_ms"));
    tear_down(&fixture);

    set_up(&fixture, LOG_PAYLOAD_NONE);
    handle(&fixture, &message, false);
    assert_int_equal(fixture.handled.verdict, VERDICT_ACK);
    assert_null(json_object_get(fixture.line, "user"));
    assert_never_shown(&fixture, "Ada");
    tear_down(&fixture);
}

static void test_user_id_that_is_an_address_is_masked(void **state)
{
    (void)state;
    struct fixture fixture;
    struct message message = message_of("m-1", "{\"id\":\"ada@example.org\"}");
    enum log_payload masked[] = {LOG_PAYLOAD_REDACTED, LOG_PAYLOAD_NONE};
    for (size_t i = 0; i < 2; i++) {
        set_up(&fixture, masked[i]);
        handle(&fixture, &message, false);
        assert_string_equal(field(&fixture, "user_id"), "***");
        assert_never_shown(&fixture, "example.org");
        tear_down(&fixture);
    }
    set_up(&fixture, LOG_PAYLOAD_FULL);
    handle(&fixture, &message, false);
    assert_string_equal(field(&fixture, "user_id"), "ada@example.org");
    tear_down(&fixture);
}

static void test_bare(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture, LOG_PAYLOAD_REDACTED);
    struct message message = message_of("", "{\"anything\":[1]}");
    handle(&fixture, &message, false);
    assert_int_equal(fixture.handled.verdict, VERDICT_ACK);
    assert_true(fixture.handled.bare);
    assert_string_equal(field(&fixture, "event"), "user.saved");
    assert_string_equal(field(&fixture, "outcome"), "bare");
    assert_null(json_object_get(fixture.line, "message_id"));
    assert_null(json_object_get(fixture.line, "user_id"));
    tear_down(&fixture);
}

static void test_impossible(void **state)
{
    (void)state;
    char large[MESSAGE_BYTES_MAX + 2];
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    const struct {
        const char *message_id, *body, *reason;
    } cases[] = {
        {"m-1", "topsecret", "not-json"},
        {"", "topsecret", "not-json"},
        {"", "", "not-json"},
        {"m-1", "{\"name\":{\"topsecret\":1}}", "invalid-user"},
        {"m-1", "{}", "invalid-user"},
        {"m\n1", "{\"name\":\"topsecret\"}", "invalid-message-id"},
        {"m-1", large, "too-large"},
    };
    struct fixture fixture;
    set_up(&fixture, LOG_PAYLOAD_FULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct message message = message_of(cases[i].message_id, cases[i].body);
        handle(&fixture, &message, false);
        assert_int_equal(fixture.handled.verdict, VERDICT_DEAD_LETTER);
        assert_string_equal(fixture.handled.reason, cases[i].reason);
        assert_true(strlen(fixture.handled.detail) > 0);
        assert_string_equal(field(&fixture, "event"), "user.dead_lettered");
        assert_string_equal(field(&fixture, "level"), "warning");
        assert_string_equal(field(&fixture, "outcome"), "dead");
        assert_string_equal(field(&fixture, "reason"), cases[i].reason);
        assert_string_equal(field(&fixture, "detail"), fixture.handled.detail);
        assert_int_equal(json_integer_value(json_object_get(fixture.line, "body_bytes")),
                         strlen(cases[i].body));
        assert_string_equal(field(&fixture, "message_id"),
                            cases[i].message_id[0] == '\0' ? "(none)" : cases[i].message_id);
        assert_never_shown(&fixture, "topsecret");
    }
    tear_down(&fixture);
}

/* The type alone decides: no body is looked into for another one. */
static void test_types_and_contents(void **state)
{
    (void)state;
    static char long_type[256];
    memset(long_type, 'x', sizeof(long_type) - 1);
    static const struct {
        const char *type, *content_type, *content_encoding;
        const char *reason, *detail; /* NULL: handled */
    } cases[] = {
        {"", "", "", NULL, NULL},
        {"user.saved", "application/json; charset=utf-8", "utf-8", NULL, NULL},
        {"", "text/plain", "identity", NULL, NULL},
        {"order.created", "application/json", "", "unknown-type",
         "the type \"order.created\" has no handler"},
        {"User.saved", "", "", "unknown-type", "the type \"User.saved\" has no handler"},
        {"a\x1b[2J\n\xff", "", "", "unknown-type", "the type \"a\\x1b[2J\\n\\xff\" has no handler"},
        {"order.created", "text/html", "gzip", "unknown-type",
         "the type \"order.created\" has no handler"},
        {"user.saved", "application/cloudevents+json", "", "unsupported-content",
         "the content type \"application/cloudevents+json\" names something else than plain JSON"},
        {"", "", "gzip", "unsupported-content",
         "the content encoding \"gzip\" names something else than plain JSON"},
        {long_type, "", "", "unknown-type", "...\" has no handler"},
    };
    struct fixture fixture;
    set_up(&fixture, LOG_PAYLOAD_REDACTED);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct message message = message_of("", "{\"id\":1,\"type\":\"user.saved\"}");
        message.type = slice_of(cases[i].type);
        message.content_type = slice_of(cases[i].content_type);
        message.content_encoding = slice_of(cases[i].content_encoding);
        handle(&fixture, &message, false);
        assert_int_equal(fixture.outcome, OUTCOME_OK);
        if (cases[i].reason == NULL) {
            assert_string_equal(field(&fixture, "outcome"), "bare");
            continue;
        }
        assert_int_equal(fixture.handled.verdict, VERDICT_DEAD_LETTER);
        assert_string_equal(fixture.handled.reason, cases[i].reason);
        assert_string_equal(field(&fixture, "reason"), cases[i].reason);
        if (strstr(fixture.handled.detail, cases[i].detail) == NULL) {
            fail_msg("%s", fixture.handled.detail);
        }
    }
    tear_down(&fixture);
}

/* What cannot be logged must not be acked. */
static void test_no_room_for_the_line_pauses(void **state)
{
    (void)state;
    static const char *const bodies[] = {"{\"name\":\"Ada\"}", "not json"};
    for (size_t i = 0; i < 2; i++) {
        struct fixture fixture;
        set_up(&fixture, LOG_PAYLOAD_REDACTED);
        buffer_done(&fixture.lines);
        buffer_init(&fixture.lines, 40);
        buffer_append_text(&fixture.lines, "before\n");
        struct message message = message_of("m-1", bodies[i]);
        run(&fixture, &message, false);
        assert_int_equal(fixture.outcome, OUTCOME_BUSY);
        assert_true(slice_equal(buffer_slice(&fixture.lines), slice_of("before\n")));
        assert_false(fixture.lines.failed);
        tear_down(&fixture);
    }
}

static void test_no_room_for_the_user_pauses(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture, LOG_PAYLOAD_REDACTED);
    buffer_done(&fixture.dispatcher.scratch);
    buffer_init(&fixture.dispatcher.scratch, 4);
    struct message message = message_of("m-1", "{\"name\":\"Ada\"}");
    handle(&fixture, &message, false);
    assert_int_equal(fixture.outcome, OUTCOME_BUSY);
    assert_null(fixture.line);
    tear_down(&fixture);
}

/* One id is one effect; another body under it is a conflict, and changes nothing. */
static void test_duplicate_and_conflict(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture, LOG_PAYLOAD_NONE);
    struct message message = message_of("m-1", "{\"id\":1,\"name\":\"Ada\"}");
    handle(&fixture, &message, false);
    assert_string_equal(field(&fixture, "outcome"), "handled");
    assert_true(fixture.handled.session_opened);
    handle(&fixture, &message, true);
    assert_string_equal(field(&fixture, "outcome"), "duplicate");
    assert_int_equal(fixture.handled.verdict, VERDICT_ACK);
    struct message other = message_of("m-1", "{\"id\":1,\"name\":\"Eve\"}");
    handle(&fixture, &other, false);
    assert_int_equal(fixture.handled.verdict, VERDICT_DEAD_LETTER);
    assert_string_equal(field(&fixture, "reason"), "id-conflict");
    tear_down(&fixture);
}

/* What changes nothing has an outcome of its own; of a time that is not believed it is shown how
 * far it is ahead. */
static void test_outdated_and_ahead(void **state)
{
    (void)state;
    static const char *const outcomes[] = {"handled", "outdated", "duplicate", "handled"};
    static const int64_t times[] = {2000, 1999, 1999, NOW_MS + 300001};
    static const char *const ids[] = {"m-1", "m-2", "m-2", "m-3"};
    struct fixture fixture;
    set_up(&fixture, LOG_PAYLOAD_NONE);
    for (size_t i = 0; i < 4; i++) {
        struct message message = message_of(ids[i], "{\"id\":1}");
        message.headers[0] = (struct message_header){
            .name = slice_of("saved_at_ms"), .type = MESSAGE_HEADER_INTEGER, .integer = times[i]};
        message.header_count = 1;
        handle(&fixture, &message, false);
        assert_string_equal(field(&fixture, "outcome"), outcomes[i]);
        json_t *ahead = json_object_get(fixture.line, "ahead_ms");
        assert_int_equal(json_integer_value(ahead), i == 3 ? 300001 : 0);
    }
    tear_down(&fixture);
}

static struct message deletion_of(const char *message_id, const char *body)
{
    struct message message = message_of(message_id, body);
    message.type = slice_of("user.deleted");
    return message;
}

static void test_deleted(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture, LOG_PAYLOAD_FULL);
    struct message save = message_of("m-1", "{\"id\":7,\"name\":\"Ada\"}");
    handle(&fixture, &save, false);
    struct message deletion = deletion_of("m-2", "{\"id\":7,\"name\":\"topsecret\"}");
    deletion.headers[0] = (struct message_header){
        .name = slice_of("saved_at_ms"), .type = MESSAGE_HEADER_INTEGER, .integer = NOW_MS + 1};
    deletion.header_count = 1;
    handle(&fixture, &deletion, true);
    assert_int_equal(fixture.handled.verdict, VERDICT_ACK);
    assert_false(fixture.handled.session_opened);
    assert_string_equal(field(&fixture, "event"), "user.deleted");
    assert_string_equal(field(&fixture, "level"), "info");
    assert_string_equal(field(&fixture, "outcome"), "handled");
    assert_string_equal(field(&fixture, "message_id"), "m-2");
    assert_string_equal(field(&fixture, "user_id"), "7");
    assert_int_equal(json_integer_value(json_object_get(fixture.line, "saved_at_ms")), NOW_MS + 1);
    assert_true(json_is_true(json_object_get(fixture.line, "redelivered")));
    assert_null(json_object_get(fixture.line, "user"));
    assert_never_shown(&fixture, "topsecret");
    handle(&fixture, &deletion, true);
    assert_string_equal(field(&fixture, "outcome"), "duplicate");
    struct message bare = deletion_of("", "{\"id\":7}");
    handle(&fixture, &bare, false);
    assert_string_equal(field(&fixture, "outcome"), "bare");
    tear_down(&fixture);

    set_up(&fixture, LOG_PAYLOAD_REDACTED);
    struct message address = deletion_of("m-1", "{\"id\":\"ada@example.org\"}");
    handle(&fixture, &address, false);
    assert_string_equal(field(&fixture, "user_id"), "***");
    tear_down(&fixture);
}

/* A body that is right for both types: the type alone tells a repetition from a conflict. */
static void test_an_id_with_another_type_is_a_conflict(void **state)
{
    (void)state;
    for (int deletion_first = 0; deletion_first < 2; deletion_first++) {
        struct fixture fixture;
        set_up(&fixture, LOG_PAYLOAD_NONE);
        const struct message messages[] = {message_of("m-1", "{\"id\":1}"),
                                           deletion_of("m-1", "{\"id\":1}"),
                                           deletion_of("m-1", "{\"id\":2}")};
        handle(&fixture, &messages[deletion_first], false);
        assert_string_equal(field(&fixture, "outcome"), "handled");
        for (int i = 0; i < 3; i++) {
            handle(&fixture, &messages[i], false);
            assert_string_equal(field(&fixture, "outcome"),
                                i == deletion_first ? "duplicate" : "dead");
            assert_string_equal(field(&fixture, "reason"),
                                i == deletion_first ? "(none)" : "id-conflict");
        }
        tear_down(&fixture);
    }
}

static void test_impossible_deletions(void **state)
{
    (void)state;
    static const struct {
        const char *message_id, *body, *reason;
    } cases[] = {
        {"m-1", "{}", "invalid-user"},
        {"", "{}", "invalid-user"},
        {"", "{\"email\":\"ada@example.org\"}", "invalid-user"},
        {"m-1", "{\"id\":[]}", "invalid-user"},
        {"m-1", "not JSON", "not-json"},
        {"m\x7f", "{\"id\":1}", "invalid-message-id"},
    };
    struct fixture fixture;
    set_up(&fixture, LOG_PAYLOAD_FULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct message message = deletion_of(cases[i].message_id, cases[i].body);
        handle(&fixture, &message, false);
        assert_int_equal(fixture.handled.verdict, VERDICT_DEAD_LETTER);
        assert_string_equal(field(&fixture, "reason"), cases[i].reason);
    }
    tear_down(&fixture);
}

static void test_give_up(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture, LOG_PAYLOAD_NONE);
    struct message message = message_of("m-1", "{\"name\":\"Ada\"}");
    assert_int_equal(event_give_up(&message, 6, &fixture.lines, &fixture.handled, NULL),
                     OUTCOME_OK);
    assert_int_equal(fixture.handled.verdict, VERDICT_DEAD_LETTER);
    assert_string_equal(fixture.handled.reason, "too-many-redeliveries");
    assert_non_null(strstr(fixture.handled.detail, "6 times"));
    assert_null(memmem(fixture.lines.data, fixture.lines.length, "Ada", 3));
    tear_down(&fixture);
}

static void *no_memory(size_t size)
{
    (void)size;
    return NULL;
}

static void test_no_memory_to_read_the_body_pauses(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error = {.text = ""};
    set_up(&fixture, LOG_PAYLOAD_NONE);
    struct message message = message_of("m-1", "{\"name\":\"Ada\"}");
    json_set_alloc_funcs(no_memory, free);
    enum outcome outcome = event_dispatcher_decode(&fixture.dispatcher, &message, false,
                                                   (struct slice){0}, &fixture.handled, &error);
    json_set_alloc_funcs(malloc, free);
    assert_int_equal(outcome, OUTCOME_BUSY);
    assert_non_null(strstr(error.text, "no memory"));
    assert_int_equal(fixture.lines.length, 0);
    tear_down(&fixture);
}

int main(void)
{
    log_init("session-service", LOG_FORMAT_JSON, LOG_LEVEL_INFO, STDERR_FILENO);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handled),
        cmocka_unit_test(test_payload_full_and_none),
        cmocka_unit_test(test_user_id_that_is_an_address_is_masked),
        cmocka_unit_test(test_bare),
        cmocka_unit_test(test_impossible),
        cmocka_unit_test(test_types_and_contents),
        cmocka_unit_test(test_no_room_for_the_line_pauses),
        cmocka_unit_test(test_no_room_for_the_user_pauses),
        cmocka_unit_test(test_duplicate_and_conflict),
        cmocka_unit_test(test_outdated_and_ahead),
        cmocka_unit_test(test_deleted),
        cmocka_unit_test(test_an_id_with_another_type_is_a_conflict),
        cmocka_unit_test(test_impossible_deletions),
        cmocka_unit_test(test_give_up),
        cmocka_unit_test(test_no_memory_to_read_the_body_pauses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
