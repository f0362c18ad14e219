/* What the outbox stores, what it says of what it does not take, and what it forwards at once. The
 * publisher's thread and the HTTP loop are the test's. */
#include "user-service/outbox_internal.h"
#include "user-service/publisher_internal.h"

#include "tests/support/database_files.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { BODY_BYTES = 1000, EVENTS = 8, IN_FLIGHT_BYTES_MAX = 4 * 2500, MIB = 1024 * 1024 };

static char folder[] = "/tmp/test_outbox_events_XXXXXX";

static struct event *event_of(int number)
{
    struct event *event = calloc(1, sizeof(*event));
    assert_non_null(event);
    event->body = calloc(1, BODY_BYTES);
    assert_non_null(event->body);
    event->body_length = BODY_BYTES;
    event->message_id_length =
        (size_t)snprintf(event->message_id, sizeof(event->message_id), "%d", number);
    return event;
}

/* Returns how many events the worker was handed, which are freed, but for the first. */
static size_t take(struct worker *worker, struct event **ret_first)
{
    struct work_list list;
    struct work_item *item = NULL;
    size_t count = 0;
    *ret_first = NULL;
    worker_take_all(worker, &list);
    while ((item = work_list_take(&list)) != NULL) {
        if (count++ == 0) {
            *ret_first = (struct event *)item;
        } else {
            event_free((struct event *)item);
        }
    }
    return count;
}

static void settle(struct outbox *outbox, struct event *event)
{
    struct work_list list = STAILQ_HEAD_INITIALIZER(list);
    event->outcome = EVENT_CONFIRMED;
    STAILQ_INSERT_TAIL(&list, &event->item, next);
    worker_push(&outbox->worker, &list);
    outbox_take_arriving(outbox);
    outbox_store_batch(outbox);
}

static char url[] = "amqp://127.0.0.1:1/";
static char queue[] = "session";

struct fixture {
    struct settings settings;
    struct state_directory directory;
    struct outbox *outbox;
    struct publisher *publisher;
    struct worker http;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    fixture->settings = (struct settings){.common = {.amqp_url = url, .queue = queue},
                                          .max_in_flight = 4 * EVENTS,
                                          .max_in_flight_bytes = IN_FLIGHT_BYTES_MAX,
                                          .outbox_max_bytes = MIB,
                                          .outbox_min_free_bytes = MIB};
    (void)snprintf(fixture->directory.path, sizeof(fixture->directory.path), "%s", folder);
    assert_int_equal(state_directory_hold(&fixture->directory, NULL), OUTCOME_OK);
    assert_int_equal(worker_init(&fixture->http, NULL), OUTCOME_OK);
    assert_int_equal(outbox_create(&fixture->settings, &fixture->directory, &fixture->outbox, NULL),
                     OUTCOME_OK);
    assert_int_equal(
        publisher_create(&fixture->settings, &fixture->outbox->worker, &fixture->publisher, NULL),
        OUTCOME_OK);
    fixture->outbox->publisher = fixture->publisher;
    fixture->publisher->completed = &fixture->http;
    publisher_set_state(fixture->publisher, PUBLISHER_CONNECTED, "");
    *state = fixture;
    return 0;
}

/* Their names have the time. */
static void remove_copies(void)
{
    char pattern[64];
    glob_t found;
    (void)snprintf(pattern, sizeof(pattern), "%s/user-service.db.saved-*", folder);
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            (void)unlink(found.gl_pathv[i]);
        }
        globfree(&found);
    }
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    outbox_free(fixture->outbox);
    publisher_free(fixture->publisher);
    worker_done(&fixture->http);
    (void)unlink(fixture->directory.lock.path);
    state_directory_release(&fixture->directory);
    free(fixture);
    remove_database_files(folder, "user-service.db");
    remove_copies();
    return 0;
}

static void store(struct fixture *fixture, struct event *event)
{
    STAILQ_INSERT_TAIL(&fixture->outbox->at_hand, &event->item, next);
}

/* Has the outbox take an event that became `at_broker` at the publisher. */
static void expect_outcome(struct fixture *fixture, enum event_outcome at_broker, bool published,
                           enum event_outcome expected)
{
    struct event *event = event_of(1);
    event->outcome = at_broker;
    event->published = published;
    store(fixture, event);
    outbox_store_batch(fixture->outbox);
    if (take(&fixture->http, &event) != 1 || event == NULL) {
        fail_msg("it did not come back");
        return;
    }
    assert_int_equal(event->outcome, expected);
    assert_int_equal(event->at_broker, at_broker);
    event_free(event);
}

/* What the broker has said, or not said, stays true. */
static void expect_outcomes(struct fixture *fixture, enum event_outcome expected)
{
    static const enum event_outcome unsent[] = {EVENT_DISCONNECTED, EVENT_BLOCKED, EVENT_OVERLOADED,
                                                EVENT_DRAINING, EVENT_NO_MEMORY};
    for (size_t i = 0; i < sizeof(unsent) / sizeof(unsent[0]); i++) {
        expect_outcome(fixture, unsent[i], false, expected);
        expect_outcome(fixture, unsent[i], true, EVENT_UNKNOWN);
    }
    expect_outcome(fixture, EVENT_NACKED, true, EVENT_NACKED);
    expect_outcome(fixture, EVENT_UNROUTABLE, true, EVENT_UNROUTABLE);
    expect_outcome(fixture, EVENT_UNKNOWN, true, EVENT_UNKNOWN);
}

static void begin_with(struct fixture *fixture, int64_t bytes_max, int64_t min_free_bytes)
{
    outbox_free(fixture->outbox);
    fixture->settings.outbox_max_bytes = bytes_max;
    fixture->settings.outbox_min_free_bytes = min_free_bytes;
    assert_int_equal(outbox_create(&fixture->settings, &fixture->directory, &fixture->outbox, NULL),
                     OUTCOME_OK);
    fixture->outbox->publisher = fixture->publisher;
}

/* That the outbox is full is said where a limit of it is reached, and nowhere else. */
static void a_limit_that_is_reached_is_told_as_that(void **state)
{
    struct fixture *fixture = *state;
    expect_outcome(fixture, EVENT_DISCONNECTED, false, EVENT_STORED);
    begin_with(fixture, 1500, MIB); /* there is one of 1,000 */
    expect_outcomes(fixture, EVENT_OUTBOX_FULL);
    begin_with(fixture, MIB, INT64_MAX / 4);
    expect_outcomes(fixture, EVENT_OUTBOX_FULL);
}

static void a_file_that_fails_is_told_as_that(void **state)
{
    struct fixture *fixture = *state;
    struct outbox *outbox = fixture->outbox;
    char path[sizeof(folder) + 32];
    (void)snprintf(path, sizeof(path), "%s/user-service.db-wal", folder);
    outbox_store_rollback(outbox->store, OUTCOME_BROKEN); /* closes it */
    (void)unlink(path);
    assert_int_equal(mkdir(path, 0700), 0); /* cannot be opened as a log */
    expect_outcomes(fixture, EVENT_OUTBOX_UNAVAILABLE);
    assert_true(outbox->store_at_ms > 0);
    assert_int_equal(rmdir(path), 0);
    expect_outcomes(fixture, EVENT_OUTBOX_UNAVAILABLE); /* it waits until it tries again */
    outbox->now_ms = outbox->store_at_ms;
    expect_outcome(fixture, EVENT_DISCONNECTED, false, EVENT_STORED);
}

static void forwarded_events_are_bounded_by_their_bytes(void **state)
{
    struct fixture *fixture = *state;
    struct outbox *outbox = fixture->outbox;
    struct worker *publisher = &fixture->publisher->worker;
    struct event *first = NULL;
    for (int i = 0; i < EVENTS; i++) {
        store(fixture, event_of(i));
    }
    outbox_store_batch(outbox);
    assert_int_equal(take(&fixture->http, &first), EVENTS);
    assert_int_equal(first->outcome, EVENT_STORED);
    event_free(first);

    outbox_forward(outbox);
    assert_int_equal(take(publisher, &first), 3); /* 2,500 bytes, and what is begun */
    settle(outbox, first);
    outbox_forward(outbox);
    assert_int_equal(take(publisher, &first), 1);
    settle(outbox, first);
    fixture->settings.max_in_flight_bytes = 1; /* one event goes always */
    outbox->forwarded = outbox->forwarded_bytes = 0;
    outbox_forward(outbox);
    assert_int_equal(take(publisher, &first), 1);
    event_free(first);
}

/* What they hold is forwarded and deleted all the same. */
static void displaced_files_take_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct outbox *outbox = fixture->outbox;
    struct outbox_store_content content;
    struct event *first = NULL;
    struct error reason;
    expect_outcome(fixture, EVENT_DISCONNECTED, false, EVENT_STORED);
    assert_true(outbox_is_in_place(outbox, &reason));
    remove_database_files(folder, "user-service.db");
    expect_outcomes(fixture, EVENT_OUTBOX_DISPLACED);
    assert_false(outbox_is_in_place(outbox, &reason));
    assert_non_null(strstr(reason.text, "/user-service.db was removed"));

    outbox_store_content(outbox->store, &content);
    assert_int_equal(content.events, 1);
    outbox_forward(outbox);
    assert_int_equal(take(&fixture->publisher->worker, &first), 1);
    assert_string_equal(first->message_id, "1");
    settle(outbox, first);
    outbox_store_content(outbox->store, &content);
    assert_int_equal(content.events + (int64_t)outbox->settled_count, 0);
}

/* Another process may have the same file, and the locks of neither one keep the other away. */
static void contested_files_are_left_alone(void **state)
{
    struct fixture *fixture = *state;
    struct outbox *outbox = fixture->outbox;
    struct event *first = NULL;
    char path[64];
    expect_outcome(fixture, EVENT_DISCONNECTED, false, EVENT_STORED);
    outbox_forward(outbox);
    assert_int_equal(take(&fixture->publisher->worker, &first), 1);
    (void)snprintf(path, sizeof(path), "%s/user-service.db-wal", folder);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(fixture->directory.lock.path), 0);
    expect_outcome(fixture, EVENT_DISCONNECTED, false, EVENT_OUTBOX_DISPLACED);
    settle(outbox, first);
    assert_int_equal(outbox->settled_count, 1); /* it is not deleted */
    assert_true(outbox->store_at_ms > outbox->now_ms);
    outbox_show_state(outbox); /* its content is kept, however often a batch fails */
    assert_true(outbox->is_written_out);
    outbox->store_at_ms = 0;
    outbox->cursor = 0;
    outbox_forward(outbox);
    assert_int_equal(take(&fixture->publisher->worker, &first), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_limit_that_is_reached_is_told_as_that, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_fails_is_told_as_that, set_up, tear_down),
        cmocka_unit_test_setup_teardown(forwarded_events_are_bounded_by_their_bytes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(displaced_files_take_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(contested_files_are_left_alone, set_up, tear_down),
    };
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return rmdir(folder) == 0 ? failed : 1;
}
