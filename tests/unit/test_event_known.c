/* What the dispatcher does with a message that the inbox knows, without looking into it. */
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
    struct handled handled;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    const struct user_rules rules = {.strict = true};
    strcpy(fixture->directory, "/tmp/test-event-known-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    const struct store_options options = {
        .directory = fixture->directory, .session_ttl_ms = 1000, .inbox_retention_ms = 60000};
    assert_int_equal(store_create(&options, &fixture->store, NULL), OUTCOME_OK);
    assert_int_equal(event_dispatcher_init(&fixture->dispatcher, &rules, MESSAGE_BYTES_MAX,
                                           LOG_PAYLOAD_FULL, fixture->store, NULL),
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

static void handle(struct fixture *fixture, const struct message *message)
{
    struct event_dispatcher *dispatcher = &fixture->dispatcher;
    assert_int_equal(event_dispatcher_decode(dispatcher, message, false, (struct slice){0},
                                             &fixture->handled, NULL),
                     OUTCOME_OK);
    assert_int_equal(event_dispatcher_take(dispatcher, NOW_MS, NULL), OUTCOME_OK);
    assert_int_equal(event_dispatcher_tell(dispatcher, &fixture->lines, NULL), OUTCOME_OK);
}

static bool is_known(struct fixture *fixture, const struct message *message)
{
    bool known = false;
    buffer_clear(&fixture->lines);
    assert_int_equal(event_dispatch_known(&fixture->dispatcher, message, true, &fixture->lines,
                                          &known, &fixture->handled, NULL),
                     OUTCOME_OK);
    assert_int_equal(fixture->lines.length > 0, known);
    return known;
}

static void it_is_a_duplicate(void **state)
{
    struct fixture *fixture = *state;
    const struct message saved = {.message_id = slice_of("m-1"),
                                  .body = slice_of("{\"id\":1,\"name\":\"Ada\"}")};
    const struct message deleted = {.message_id = slice_of("m-2"),
                                    .body = slice_of("{\"id\":1}"),
                                    .type = slice_of("user.deleted")};
    assert_false(is_known(fixture, &saved));
    assert_false(is_known(fixture, &deleted));
    handle(fixture, &saved);
    handle(fixture, &deleted);
    assert_true(is_known(fixture, &saved));
    assert_int_equal(fixture->handled.verdict, VERDICT_ACK);
    assert_true(fixture->handled.duplicate);
    assert_null(memmem(fixture->lines.data, fixture->lines.length, "Ada", 3));
    assert_non_null(memmem(fixture->lines.data, fixture->lines.length, "duplicate", 9));
    assert_true(is_known(fixture, &deleted));
    struct message typed = saved;
    typed.type = slice_of("user.saved");
    assert_true(is_known(fixture, &typed));
}

static void everything_else_is_left_alone(void **state)
{
    struct fixture *fixture = *state;
    const struct message saved = {.message_id = slice_of("m-1"), .body = slice_of("{\"id\":1}")};
    const struct message bare = {.body = saved.body};
    struct message others[] = {saved, saved, saved, saved, bare};
    others[0].body = slice_of("{\"id\":2}");
    others[1].type = slice_of("user.deleted");
    others[2].type = slice_of("user.renamed");
    others[3].message_id = slice_of("m\x7f");
    handle(fixture, &saved);
    handle(fixture, &bare);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_false(is_known(fixture, &others[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_is_a_duplicate, set_up, tear_down),
        cmocka_unit_test_setup_teardown(everything_else_is_left_alone, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
