/* What the dispatcher does with several messages at once. */
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

enum { MESSAGE_BYTES_MAX = 1024, NOW_MS = 1000000 };

struct fixture {
    char directory[64];
    struct store *store;
    struct event_dispatcher dispatcher;
    struct buffer lines;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    const struct user_rules rules = {.strict = true};
    strcpy(fixture->directory, "/tmp/test-event-group-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    const struct store_options options = {
        .directory = fixture->directory, .session_ttl_ms = 1000, .inbox_retention_ms = 60000};
    assert_int_equal(store_create(&options, &fixture->store, NULL), OUTCOME_OK);
    assert_int_equal(event_dispatcher_init(&fixture->dispatcher, &rules, MESSAGE_BYTES_MAX,
                                           LOG_PAYLOAD_NONE, fixture->store, NULL),
                     OUTCOME_OK);
    buffer_init(&fixture->lines, 1024 * 1024);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    event_dispatcher_done(&fixture->dispatcher);
    buffer_done(&fixture->lines);
    store_free(fixture->store);
    remove_store_directory(fixture->directory);
    free(fixture);
    return 0;
}

static struct message message_of(const char *message_id, const char *body)
{
    return (struct message){.body = slice_of(body), .message_id = slice_of(message_id)};
}

static struct message deletion_of(const char *message_id, const char *body)
{
    struct message message = message_of(message_id, body);
    message.type = slice_of("user.deleted");
    return message;
}

/* The members of a group keep their own effects, verdicts and lines, also where the store gets only
 * some of them. What was taken is told once more where there was no room for the lines. */
static void each_member_keeps_its_own(void **state)
{
    const struct message messages[] = {
        message_of("m-1", "{\"id\":1,\"name\":\"Ada\"}"),
        message_of("m-2", "not JSON"),
        deletion_of("m-3", "{\"id\":2}"),
        message_of("m-1", "{\"id\":1}"),
        message_of("m-3", "{\"id\":2}"),
        message_of("", "{\"id\":3}"),
    };
    static const char *const told[] = {"handled",     "not-json",    "handled",
                                       "id-conflict", "id-conflict", "bare"};
    enum { COUNT = 6 };
    struct handled handled[COUNT];
    struct fixture *fixture = *state;
    struct event_dispatcher *dispatcher = &fixture->dispatcher;
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(event_dispatcher_decode(dispatcher, &messages[i], false, (struct slice){0},
                                                 &handled[i], NULL),
                         OUTCOME_OK);
    }
    assert_int_equal(event_dispatcher_untold(dispatcher), 0);
    assert_int_equal(event_dispatcher_take(dispatcher, NOW_MS, NULL), OUTCOME_OK);
    fixture->lines.limit = 500;
    assert_int_equal(event_dispatcher_tell(dispatcher, &fixture->lines, NULL), OUTCOME_BUSY);
    assert_int_equal(fixture->lines.length, 0);
    assert_int_equal(event_dispatcher_untold(dispatcher), COUNT);
    fixture->lines.limit = 1024 * 1024;
    assert_int_equal(event_dispatcher_tell(dispatcher, &fixture->lines, NULL), OUTCOME_OK);
    assert_int_equal(event_dispatcher_untold(dispatcher), 0);
    const char *line = fixture->lines.data;
    const char *end = line + fixture->lines.length;
    for (size_t i = 0; i < COUNT; i++) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        assert_non_null(next);
        assert_non_null(memmem(line, (size_t)(next - line), told[i], strlen(told[i])));
        line = next + 1;
        assert_int_equal(handled[i].verdict,
                         i == 1 || i == 3 || i == 4 ? VERDICT_DEAD_LETTER : VERDICT_ACK);
    }
    assert_ptr_equal(line, end);
    assert_true(handled[0].session_opened && handled[5].session_opened);
}

int main(void)
{
    log_init("session-service", LOG_FORMAT_JSON, LOG_LEVEL_INFO, STDERR_FILENO);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_member_keeps_its_own, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
