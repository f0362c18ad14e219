/* The outbox's file: order, limits, what it knows of itself, and that a rollback takes all back. */
#include "common/database/database.h"
#include "user-service/outbox_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

#define TRACEPARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

enum { BYTES_MAX = 100000, MIB = 1024 * 1024, EMPTY_ROW_BYTES = 55 + 64 };

static char folder[] = "/tmp/test_outbox_store_XXXXXX";
static struct outbox_store *store;

static void create_store_of(int64_t bytes_max, int64_t free_bytes_min)
{
    const struct outbox_store_options options = {
        .directory = folder, .bytes_max = bytes_max, .free_bytes_min = free_bytes_min};
    assert_int_equal(outbox_store_create(&options, &store, NULL), OUTCOME_OK);
    assert_int_equal(outbox_store_open(store, NULL), OUTCOME_OK);
}

static void create_store(int64_t free_bytes_min)
{
    create_store_of(BYTES_MAX, free_bytes_min);
}

static void insert(const char *message_id, char *body, uint64_t occurred_at_ms)
{
    struct event event = {.body = body,
                          .body_length = strlen(body),
                          .message_id_length = strlen(message_id),
                          .occurred_at_ms = occurred_at_ms};
    (void)snprintf(event.message_id, sizeof(event.message_id), "%s", message_id);
    (void)snprintf(event.traceparent, sizeof(event.traceparent), TRACEPARENT);
    assert_int_equal(outbox_store_insert(store, &event, NULL), OUTCOME_OK);
}

static void begin(void)
{
    assert_int_equal(outbox_store_begin(store, NULL), OUTCOME_OK);
}

static void commit(void)
{
    assert_int_equal(outbox_store_commit(store, NULL), OUTCOME_OK);
}

/* Returns the sequence of the next event, which has that id; NULL: there is none. */
static int64_t expect_next(int64_t after, const char *message_id)
{
    struct outbox_store_row row;
    assert_int_equal(outbox_store_next(store, after, &row, NULL), OUTCOME_OK);
    struct event *event = row.event;
    if (message_id == NULL) {
        assert_null(event);
        assert_int_equal(row.sequence, 0);
        return 0;
    }
    assert_non_null(event);
    assert_int_equal(row.sequence, event->outbox_sequence);
    assert_int_equal(event->type, EVENT_USER_SAVED);
    assert_string_equal(event->message_id, message_id);
    assert_string_equal(event->traceparent, TRACEPARENT);
    assert_int_equal(event->body_length, 2);
    assert_memory_equal(event->body, "{}", 2);
    int64_t sequence = event->outbox_sequence;
    assert_true(sequence > after);
    event_free(event);
    return sequence;
}

static void expect_content(int64_t events, int64_t bytes, int64_t oldest_ms)
{
    struct outbox_store_content content;
    outbox_store_content(store, &content);
    assert_int_equal(content.events, events);
    assert_int_equal(content.bytes, bytes);
    assert_int_equal(content.oldest_ms, oldest_ms);
}

static void test_order_and_content(void **state)
{
    (void)state;
    char body[] = "{}";
    const int64_t each = 2 + 1 + EMPTY_ROW_BYTES;
    expect_content(0, 0, 0);
    expect_next(0, NULL);
    begin();
    insert("b", body, 20);
    insert("a", body, 10);
    insert("b", body, 30);
    expect_content(0, 0, 0); /* not before the commit */
    commit();
    expect_content(3, 3 * each, 20);
    int64_t first = expect_next(0, "b");
    int64_t second = expect_next(first, "a");
    int64_t third = expect_next(second, "b");
    expect_next(third, NULL);

    begin();
    assert_int_equal(outbox_store_delete(store, first, NULL), OUTCOME_OK);
    assert_int_equal(outbox_store_delete(store, third, NULL), OUTCOME_OK);
    assert_int_equal(outbox_store_delete(store, third + 99, NULL), OUTCOME_OK);
    commit();
    expect_content(1, each, 10);
    /* The number of what was the last is not given again. */
    begin();
    insert("c", body, 40);
    commit();
    assert_true(expect_next(second, "c") > third);

    outbox_store_free(store);
    create_store(0);
    expect_content(2, 2 * each, 10);
    assert_int_equal(expect_next(0, "a"), second);
}

static void test_rollback(void **state)
{
    (void)state;
    char body[] = "{}";
    begin();
    insert("a", body, 10);
    commit();
    int64_t sequence = expect_next(0, "a");
    begin();
    insert("b", body, 20);
    assert_int_equal(outbox_store_delete(store, sequence, NULL), OUTCOME_OK);
    outbox_store_rollback(store, OUTCOME_BUSY);
    expect_content(1, 3 + EMPTY_ROW_BYTES, 10);
    assert_int_equal(expect_next(0, "a"), sequence);
    expect_next(sequence, NULL);
    begin();
    insert("b", body, 20);
    outbox_store_rollback(store, OUTCOME_BROKEN); /* closes the file; the next use opens it */
    expect_next(sequence, NULL);
    expect_content(1, 3 + EMPTY_ROW_BYTES, 10);
}

static void test_limits(void **state)
{
    (void)state;
    struct error error;
    assert_int_equal(outbox_store_check_room(store, BYTES_MAX, &error), OUTCOME_OK);
    assert_int_equal(outbox_store_check_room(store, BYTES_MAX + 1, &error), OUTCOME_BUSY);
    assert_non_null(strstr(error.text, "--outbox-max-bytes"));
    char body[] = "{}";
    begin();
    insert("a", body, 10);
    assert_int_equal(outbox_store_check_room(store, BYTES_MAX, &error), OUTCOME_BUSY);
    assert_int_equal(outbox_store_check_room(store, BYTES_MAX - 3 - EMPTY_ROW_BYTES, &error),
                     OUTCOME_OK);
    commit();
    outbox_store_free(store);
    create_store(INT64_MAX / 2);
    assert_int_equal(outbox_store_check_room(store, 1, &error), OUTCOME_BUSY);
    assert_non_null(strstr(error.text, "--outbox-min-free"));
    /* Who cannot ask does not say that it is full. */
    char moved[sizeof(folder) + 1];
    (void)snprintf(moved, sizeof(moved), "%sx", folder);
    assert_int_equal(rename(folder, moved), 0);
    enum outcome outcome = outbox_store_check_room(store, 1, &error);
    assert_int_equal(rename(moved, folder), 0);
    assert_int_equal(outcome, OUTCOME_TRANSIENT);
    assert_non_null(strstr(error.text, "No such file or directory"));
}

static int64_t free_bytes(void)
{
    struct statvfs system;
    assert_int_equal(statvfs(folder, &system), 0);
    return (int64_t)(system.f_bavail * system.f_frsize);
}

/* Also of what is not committed yet, which the file system does not know of; each byte counts for
 * the log and for the file. */
static void test_room_on_the_disk(void **state)
{
    (void)state;
    static char body[16 * MIB];
    memset(body, 'x', sizeof(body) - 1);
    bool had = false, has = true;
    int64_t before = 0;
    do { /* until nobody else has used the disk meanwhile */
        before = free_bytes();
        outbox_store_free(store);
        create_store_of(64 * MIB, before - 40 * MIB);
        begin();
        had = outbox_store_check_room(store, 12 * MIB, NULL) == OUTCOME_OK;
        insert("a", body, 10);
        has = outbox_store_check_room(store, 12 * MIB, NULL) == OUTCOME_OK;
        outbox_store_rollback(store, OUTCOME_BUSY);
    } while (free_bytes() < before - 4 * MIB || free_bytes() > before + 4 * MIB);
    assert_true(had);
    assert_false(has);
}

/* What another program, or a flipped bit that SQLite cannot see, has left in the file. */
static void test_a_row_that_is_no_save_is_told_and_kept(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "INSERT INTO outbox VALUES (1, 'a', '{}', '" TRACEPARENT "', 1, 'user.saved')",
        "INSERT INTO outbox VALUES (2, '', '{}', '', 2, 'user.saved')",
        "INSERT INTO outbox SELECT 3, group_concat(message_id, '') || hex(zeroblob(65)), '{}', '', "
        "3, 'user.saved' FROM outbox",
        "INSERT INTO outbox VALUES (4, 'b', '', '', 4, 'user.saved')",
        "INSERT INTO outbox VALUES (5, 'c', '{}', 'trace', 5, 'user.saved')",
        "INSERT INTO outbox VALUES (6, 'd', '{}', '', -6, 'user.saved')",
        "INSERT INTO outbox VALUES (7, 'f', '{}', '', 7, 'no.type')",
        "INSERT INTO outbox VALUES (8, 'g', '{}', '', 8, '')",
        "INSERT INTO outbox (sequence, message_id, body, traceparent, saved_at_ms)"
        " VALUES (9, 'e', '{}', '" TRACEPARENT "', 9)",
    };
    static const char *const faults[] = {"message id", "message id", "body", "traceparent",
                                         "time",       "type",       "type"};
    const struct database_options options = {.directory = folder,
                                             .file_name = "user-service.db",
                                             .statements = rows,
                                             .statement_count = sizeof(rows) / sizeof(rows[0]),
                                             .second = true};
    struct database *database = NULL;
    assert_int_equal(database_create(&options, &database, NULL), OUTCOME_OK);
    assert_int_equal(database_open(database, NULL), OUTCOME_OK);
    for (size_t i = 0; i < options.statement_count; i++) {
        assert_int_equal(statement_run(database_statement(database, i), NULL), OUTCOME_OK);
    }
    database_free(database);
    assert_int_equal(expect_next(0, "a"), 1);
    for (int64_t i = 2; i <= 8; i++) {
        struct outbox_store_row row;
        struct error error;
        assert_int_equal(outbox_store_next(store, i - 1, &row, &error), OUTCOME_OK);
        assert_int_equal(row.sequence, i);
        assert_null(row.event);
        assert_non_null(strstr(error.text, faults[i - 2]));
    }
    assert_int_equal(expect_next(8, "e"), 9);
    outbox_store_free(store);
    create_store(0);
    struct outbox_store_content content;
    outbox_store_content(store, &content);
    assert_int_equal(content.events, 9);
}

static int set_up(void **state)
{
    (void)state;
    create_store(0);
    return 0;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"user-service.db", "user-service.db-wal",
                                        "user-service.db-shm"};
    (void)state;
    outbox_store_free(store);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order_and_content, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rollback, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_room_on_the_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_row_that_is_no_save_is_told_and_kept, set_up,
                                        tear_down),
    };
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return rmdir(folder) == 0 ? failed : 1;
}
