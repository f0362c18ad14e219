/* The outbox's file: order, limits, what it knows of itself, and that a rollback takes all back. */
#include "user-service/outbox_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { BYTES_MAX = 100000 };

static char folder[] = "/tmp/test_outbox_store_XXXXXX";
static struct outbox_store *store;

static void create_store(int64_t free_bytes_min)
{
    const struct outbox_store_options options = {
        .directory = folder, .bytes_max = BYTES_MAX, .free_bytes_min = free_bytes_min};
    assert_int_equal(outbox_store_create(&options, &store, NULL), OUTCOME_OK);
    assert_int_equal(outbox_store_open(store, NULL), OUTCOME_OK);
}

static void insert(const char *message_id, char *body, uint64_t saved_at_ms)
{
    struct save save = {.body = body,
                        .body_length = strlen(body),
                        .message_id_length = strlen(message_id),
                        .saved_at_ms = saved_at_ms};
    (void)snprintf(save.message_id, sizeof(save.message_id), "%s", message_id);
    (void)snprintf(save.traceparent, sizeof(save.traceparent), "trace");
    assert_int_equal(outbox_store_insert(store, &save, NULL), OUTCOME_OK);
}

static void begin(void)
{
    assert_int_equal(outbox_store_begin(store, NULL), OUTCOME_OK);
}

static void commit(void)
{
    assert_int_equal(outbox_store_commit(store, NULL), OUTCOME_OK);
}

/* Returns the sequence of the next save, which has that id; NULL: there is none. */
static int64_t expect_next(int64_t after, const char *message_id)
{
    struct save *save = NULL;
    assert_int_equal(outbox_store_next(store, after, &save, NULL), OUTCOME_OK);
    if (message_id == NULL) {
        assert_null(save);
        return 0;
    }
    assert_non_null(save);
    assert_string_equal(save->message_id, message_id);
    assert_string_equal(save->traceparent, "trace");
    assert_int_equal(save->body_length, 2);
    assert_memory_equal(save->body, "{}", 2);
    int64_t sequence = save->outbox_sequence;
    assert_true(sequence > after);
    save_free(save);
    return sequence;
}

static void expect_content(int64_t saves, int64_t bytes, int64_t oldest_ms)
{
    struct outbox_store_content content;
    outbox_store_content(store, &content);
    assert_int_equal(content.saves, saves);
    assert_int_equal(content.bytes, bytes);
    assert_int_equal(content.oldest_ms, oldest_ms);
}

static void test_order_and_content(void **state)
{
    (void)state;
    char body[] = "{}";
    const int64_t each = 2 + 1 + 5 + 64;
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
    expect_content(1, 72, 10);
    assert_int_equal(expect_next(0, "a"), sequence);
    expect_next(sequence, NULL);
    begin();
    insert("b", body, 20);
    outbox_store_rollback(store, OUTCOME_BROKEN); /* closes the file; the next use opens it */
    expect_next(sequence, NULL);
    expect_content(1, 72, 10);
}

static void test_limits(void **state)
{
    (void)state;
    struct error error;
    assert_true(outbox_store_has_room(store, BYTES_MAX, &error));
    assert_false(outbox_store_has_room(store, BYTES_MAX + 1, &error));
    assert_non_null(strstr(error.text, "--outbox-max-bytes"));
    char body[] = "{}";
    begin();
    insert("a", body, 10);
    assert_false(outbox_store_has_room(store, BYTES_MAX, &error));
    assert_true(outbox_store_has_room(store, BYTES_MAX - 72, &error));
    commit();
    outbox_store_free(store);
    create_store(INT64_MAX / 2);
    assert_false(outbox_store_has_room(store, 1, &error));
    assert_non_null(strstr(error.text, "--outbox-min-free"));
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
    };
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return rmdir(folder) == 0 ? failed : 1;
}
