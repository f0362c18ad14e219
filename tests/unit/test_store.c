/* The store: effects, their order, sessions, attempts, pruning; refusals of files that are not its
 * own. */
#include "tests/support/store_fixture.h"

#include <fcntl.h>

static void test_one_id_is_one_effect(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(apply(fixture, "m1", "u", "{\"name\":\"A\"}", 5, T0).result, STORE_APPLIED);
    assert_int_equal(apply(fixture, "m1", "u", "{\"name\":\"A\"}", 5, T0).result, STORE_DUPLICATE);
    assert_int_equal(apply(fixture, "m1", "u", "{\"name\":\"B\"}", 9, T0).result, STORE_CONFLICT);
    expect_user(fixture, "u", "A", 5);
    assert_int_equal(apply(fixture, "", "u", "{\"name\":\"C\"}", 6, T0).result, STORE_APPLIED);
    assert_int_equal(apply(fixture, "", "u", "{\"name\":\"C\"}", 6, T0).result, STORE_APPLIED);
    expect_user(fixture, "u", "C", 6);
}

/* Takes the event and one that no store takes, because its body is longer than any may be: that one
 * fails, and with it both. */
static void fail_to_take(struct fixture *fixture, const struct store_event *event)
{
    const struct store_event events[] = {
        *event,
        {.message_id = slice_of("too long"),
         .user_key = slice_of("another"),
         .body = {.data = "{}", .length = (size_t)INT32_MAX}},
    };
    struct store_effect effects[2];
    assert_int_not_equal(store_take(fixture->store, events, 2, T0, effects, NULL), OUTCOME_OK);
}

static void test_a_batch_takes_effect_whole_or_not_at_all(void **state)
{
    struct fixture *fixture = *state;
    const struct store_event event = {.message_id = slice_of("m1"),
                                      .payload = slice_of("{}"),
                                      .user_key = slice_of("u"),
                                      .body = slice_of("{}")};
    fail_to_take(fixture, &event);
    assert_null(ask(fixture, ASK_USER, "u", 0, T0));
    assert_int_equal(apply(fixture, "m1", "u", "{}", 0, T0).result, STORE_APPLIED);
    fail_to_take(fixture, &event);
    assert_int_equal(apply(fixture, "m1", "u", "{}", 0, T0).result, STORE_DUPLICATE);
}

/* The events of a batch are in their order, and see each other. */
static void test_a_batch(void **state)
{
    struct fixture *fixture = *state;
    const struct store_event events[] = {
        {.message_id = slice_of("m1"), .user_key = slice_of("u"), .body = slice_of("{\"name\":1}")},
        {.message_id = slice_of("m2"),
         .user_key = slice_of("u"),
         .body = slice_of("{\"name\":\"A\"}"),
         .saved_at_ms = 2},
        {.message_id = slice_of("m1"), .user_key = slice_of("u"), .body = slice_of("{\"name\":1}")},
        {.message_id = slice_of("m2"), .payload = slice_of("other"), .user_key = slice_of("u")},
        {.change = STORE_DELETE, .message_id = slice_of("d1"), .user_key = slice_of("u")},
        {.change = STORE_DELETE, .message_id = slice_of("d2"), .user_key = slice_of("v")},
    };
    struct store_effect effects[6];
    assert_int_equal(store_take(fixture->store, events, 6, T0, effects, NULL), OUTCOME_OK);
    static const enum store_result results[] = {STORE_APPLIED,  STORE_APPLIED, STORE_DUPLICATE,
                                                STORE_CONFLICT, STORE_APPLIED, STORE_APPLIED};
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(effects[i].result, results[i]);
        assert_int_equal(effects[i].session_opened, i == 0);
        assert_int_equal(effects[i].user_changed, i == 0 || i == 1 || i == 5);
    }
    expect_user(fixture, "u", "A", 2);
    assert_int_equal(store_take(fixture->store, events, 0, T0, effects, NULL), OUTCOME_OK);
}

static void look_at_the_inbox(void *context)
{
    struct fixture *fixture = context;
    fixture->is_waiting = true;
    assert_null(ask(fixture, ASK_USER, "u", 0, T0)); /* it is not durable yet */
}

static void test_it_is_told_when_it_waits(void **state)
{
    struct fixture *fixture = *state;
    store_on_wait(fixture->store, look_at_the_inbox, fixture);
    assert_int_equal(store_open(fixture->store, NULL), OUTCOME_OK);
    (void)apply(fixture, "m1", "u", "{\"name\":\"A\"}", 5, T0);
    assert_true(fixture->is_waiting);
    expect_user(fixture, "u", "A", 5);
}

static void test_older_never_overwrites_newer(void **state)
{
    struct fixture *fixture = *state;
    assert_true(apply(fixture, "m5", "u", "{\"name\":\"new\"}", 50, T0).user_changed);
    assert_false(apply(fixture, "m9", "u", "{\"name\":\"old\"}", 49, T0).user_changed);
    expect_user(fixture, "u", "new", 50);
}

static void test_sessions_open_extend_expire_and_end(void **state)
{
    struct fixture *fixture = *state;
    assert_true(apply(fixture, "m1", "u", "{}", 1, T0).session_opened);
    assert_false(apply(fixture, "m2", "u", "{}", 2, T0 + 900).session_opened);
    json_t *page = ask(fixture, ASK_SESSIONS, "", 10, T0 + 1800);
    json_t *session = json_array_get(json_object_get(page, "data"), 0);
    assert_int_equal(json_integer_value(json_object_get(session, "opened_at_ms")), T0);
    assert_int_equal(json_integer_value(json_object_get(session, "extended_at_ms")), T0 + 900);
    assert_int_equal(json_integer_value(json_object_get(session, "expires_at_ms")), T0 + 1900);
    assert_int_equal(json_integer_value(json_object_get(session, "saves")), 2);
    const char *id = json_string_value(json_object_get(session, "id"));
    assert_null(ask(fixture, ASK_SESSION, id, 0, T0 + 1900)); /* expired to the millisecond */
    json_t *same = ask(fixture, ASK_SESSION, id, 0, T0 + 1899);
    assert_non_null(same);
    json_decref(same);

    assert_true(apply(fixture, "m3", "u", "{}", 3, T0 + 1900).session_opened);
    assert_null(ask(fixture, ASK_SESSION, id, 0, T0 + 1901)); /* another one has its place */
    json_decref(page);
    page = ask(fixture, ASK_SESSIONS, "", 10, T0 + 1901);
    id = json_string_value(json_object_get(json_array_get(json_object_get(page, "data"), 0), "id"));
    bool found = false;
    struct buffer none;
    buffer_init(&none, 10);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(store_reader_ask(fixture->reader, ASK_END_SESSION, slice_of(id), 0,
                                          T0 + 1901, &none, &found, NULL),
                         OUTCOME_OK);
        assert_int_equal(found, i == 0);
    }
    json_decref(page);
    assert_true(apply(fixture, "m4", "u", "{}", 4, T0 + 1902).session_opened);
}

static void test_pages(void **state)
{
    struct fixture *fixture = *state;
    char name[16];
    for (int i = 0; i < 7; i++) {
        snprintf(name, sizeof(name), "u%d", i);
        (void)apply(fixture, "", name, "{}", i, T0 + i);
    }
    char cursor[64] = "";
    int seen = 0;
    for (int pages = 1;; pages++) {
        json_t *page = ask(fixture, ASK_SESSIONS, cursor, 3, T0 + 10);
        json_t *data = json_object_get(page, "data");
        for (size_t i = 0; i < json_array_size(data); i++) {
            snprintf(name, sizeof(name), "u%d", 6 - seen++);
            assert_string_equal(
                json_string_value(json_object_get(json_array_get(data, i), "user_id")), name);
        }
        const char *next = json_string_value(json_object_get(page, "next"));
        snprintf(cursor, sizeof(cursor), "%s", next == NULL ? "" : next);
        json_decref(page);
        (void)apply(fixture, "", "later", "{}", 1, T0 + 10 + pages); /* shifts nothing */
        if (cursor[0] == '\0') {
            break;
        }
    }
    assert_int_equal(seen, 7);
}

static void expect_away(struct fixture *fixture, const char *user)
{
    assert_null(ask(fixture, ASK_USER, user, 0, T0));
    json_t *page = ask(fixture, ASK_SESSIONS, "", 10, T0);
    assert_int_equal(json_array_size(json_object_get(page, "data")), 0);
    json_decref(page);
}

static void test_a_deletion_and_saves_around_it(void **state)
{
    struct fixture *fixture = *state;
    (void)apply(fixture, "m1", "u", "{\"name\":\"A\"}", 10, T0);
    (void)apply(fixture, "m2", "u", "{\"name\":\"B\"}", 20, T0);
    assert_true(delete_user(fixture, "d1", "u", 30, T0).user_changed);
    expect_away(fixture, "u");
    assert_int_equal(delete_user(fixture, "d1", "u", 30, T0).result, STORE_DUPLICATE);

    struct store_effect late = apply(fixture, "m3", "u", "{\"name\":\"late\"}", 29, T0);
    assert_int_equal(late.result, STORE_APPLIED);
    assert_false(late.user_changed);
    assert_false(late.session_opened);
    assert_int_equal(apply(fixture, "m3", "u", "{\"name\":\"late\"}", 29, T0).result,
                     STORE_DUPLICATE);
    assert_false(apply(fixture, "d9", "u", "{\"name\":\"higher id\"}", 29, T0).user_changed);
    expect_away(fixture, "u");
    assert_true(apply(fixture, "", "u", "{\"name\":\"bare\"}", 28, T0).user_changed);
    expect_user(fixture, "u", "bare", 28);
    assert_true(delete_user(fixture, "d8", "u", 30, T0).user_changed); /* not below the first one */
    expect_away(fixture, "u");

    struct store_effect newer = apply(fixture, "m4", "u", "{\"name\":\"new\"}", 31, T0);
    assert_true(newer.user_changed && newer.session_opened);
    expect_user(fixture, "u", "new", 31);
    assert_false(delete_user(fixture, "d2", "u", 30, T0).user_changed); /* older than the user */
    assert_false(apply(fixture, "m5", "u", "{\"name\":\"older\"}", 5, T0).user_changed);
    expect_user(fixture, "u", "new", 31);
    assert_true(delete_user(fixture, "", "u", 32, T0).user_changed);
    expect_away(fixture, "u");
}

static void test_the_newest_deletion_counts(void **state)
{
    struct fixture *fixture = *state;
    assert_true(delete_user(fixture, "d1", "unknown", 30, T0).user_changed);
    assert_false(delete_user(fixture, "d2", "unknown", 20, T0).user_changed);
    assert_false(apply(fixture, "m1", "unknown", "{}", 25, T0).user_changed);
    assert_true(delete_user(fixture, "d3", "unknown", 40, T0).user_changed);
    assert_false(apply(fixture, "m2", "unknown", "{}", 35, T0).user_changed);
    assert_true(apply(fixture, "m3", "another", "{}", 1, T0).user_changed);
    assert_true(apply(fixture, "m4", "unknown", "{}", 40, T0).user_changed);
}

/* What a transaction knew of the tombstones may not outlive it. */
static void test_a_deletion_that_is_rolled_back(void **state)
{
    struct fixture *fixture = *state;
    const struct store_event event = {
        .change = STORE_DELETE, .message_id = slice_of("m1"), .user_key = slice_of("u")};
    (void)apply(fixture, "m0", "u", "{}", 0, T0);
    fail_to_take(fixture, &event);
    json_t *answer = ask(fixture, ASK_USER, "u", 0, T0);
    assert_non_null(answer);
    json_decref(answer);

    (void)delete_user(fixture, "d1", "u", 10, T0);
    const struct store_event newer = {.message_id = slice_of("m2"),
                                      .user_key = slice_of("u"),
                                      .body = slice_of("{}"),
                                      .saved_at_ms = 20};
    fail_to_take(fixture, &newer);
    assert_false(apply(fixture, "m3", "u", "{}", 9, T0).user_changed);
    expect_away(fixture, "u");
}

/* Opening does it; closing does not. The file is closed then. */
static void write_log_back(struct fixture *fixture)
{
    free_store(fixture);
    create_store(fixture);
    assert_int_equal(store_open(fixture->store, NULL), OUTCOME_OK);
    free_store(fixture);
    create_store(fixture);
}

static void test_a_tombstone_holds_nothing_personal_and_is_pruned(void **state)
{
    struct fixture *fixture = *state;
    static const char address[] = "email:ada@example.org";
    (void)apply(fixture, "m1", address, "{\"name\":\"Lovelace\"}", 10, T0);
    (void)delete_user(fixture, "d1", address, 20, T0);
    write_log_back(fixture);
    char bytes[128 * 1024];
    int descriptor = open(fixture->path, O_RDONLY);
    ssize_t length = read(descriptor, bytes, sizeof(bytes));
    close(descriptor);
    assert_in_range(length, 1, sizeof(bytes) - 1);
    assert_non_null(memmem(bytes, (size_t)length, "d1", 2));
    assert_null(memmem(bytes, (size_t)length, "ada@", 4));
    assert_null(memmem(bytes, (size_t)length, "Lovelace", 8));

    assert_int_equal(store_prune(fixture->store, T0 + RETENTION_MS - 1, NULL), OUTCOME_OK);
    assert_false(apply(fixture, "m2", address, "{}", 11, T0).user_changed);
    assert_int_equal(store_prune(fixture->store, T0 + RETENTION_MS, NULL), OUTCOME_OK);
    assert_true(apply(fixture, "m3", address, "{}", 12, T0).user_changed);
}

/* Also where another hour is shown: a session does not end before it began. */
static void test_a_clock_that_is_set_back_shortens_no_session(void **state)
{
    struct fixture *fixture = *state;
    assert_true(apply(fixture, "m1", "u1", "{}", 1, T0).session_opened);
    assert_false(apply(fixture, "m2", "u1", "{}", 2, T0 - 10 * TTL_MS).session_opened);
    json_t *answer = ask(fixture, ASK_SESSIONS, "", 10, T0 - 10 * TTL_MS);
    json_t *session = json_array_get(json_object_get(answer, "data"), 0);
    assert_int_equal(json_integer_value(json_object_get(session, "opened_at_ms")), T0);
    assert_int_equal(json_integer_value(json_object_get(session, "extended_at_ms")), T0);
    assert_int_equal(json_integer_value(json_object_get(session, "expires_at_ms")), T0 + TTL_MS);
    assert_int_equal(json_integer_value(json_object_get(session, "saves")), 2);
    json_decref(answer);
    assert_false(apply(fixture, "m3", "u1", "{}", 3, T0 + 10).session_opened);
    assert_true(apply(fixture, "m4", "u1", "{}", 4, T0 + 10 + TTL_MS).session_opened);
}

/* More rows than one step looks at; each is removed at its time and not before. */
static void test_pruning(void **state)
{
    struct fixture *fixture = *state;
    enum { ROWS = 1200, STEPS = 1 }; /* one step keeps up with what came in */
    char name[16];
    for (int i = 0; i < ROWS; i++) {
        snprintf(name, sizeof(name), "m%05d", i);
        (void)apply(fixture, name, name, "{}", i, i % 2 == 0 ? T0 : T0 + RETENTION_MS / 2);
    }
    for (int i = 0; i < STEPS; i++) {
        assert_int_equal(store_prune(fixture->store, T0 + RETENTION_MS, NULL), OUTCOME_OK);
    }
    int64_t now_ms = T0 + RETENTION_MS;
    assert_int_equal(apply(fixture, "m00000", "x", "{}", 0, now_ms).result, STORE_APPLIED);
    assert_int_equal(apply(fixture, "m01198", "x", "{}", 0, now_ms).result, STORE_APPLIED);
    assert_int_equal(apply(fixture, "m00001", "m00001", "{}", 0, now_ms).result, STORE_DUPLICATE);
    assert_int_equal(apply(fixture, "m01199", "m01199", "{}", 0, now_ms).result, STORE_DUPLICATE);
    json_t *page = ask(fixture, ASK_SESSIONS, "", 1000, T0); /* as if it were before their end */
    assert_int_equal(json_array_size(json_object_get(page, "data")), 1);
    json_decref(page);
}

static void write_at(const char *path, off_t offset, const char *bytes, size_t length)
{
    int descriptor = open(path, O_RDWR | O_CREAT, 0600);
    assert_true(descriptor >= 0);
    assert_int_equal(pwrite(descriptor, bytes, length, offset), length);
    close(descriptor);
}

static void expect_refused(struct fixture *fixture, const char *text)
{
    struct error error = {.text = ""};
    assert_int_equal(store_open(fixture->store, &error), OUTCOME_INVALID);
    if (strstr(error.text, text) == NULL) {
        fail_msg("%s", error.text);
    }
}

static void test_no_database(void **state)
{
    struct fixture *fixture = *state;
    static const char text[] = "this is a file of somebody else, and no database at all........"
                               "................................................................";
    write_at(fixture->path, 0, text, sizeof(text));
    expect_refused(fixture, "is damaged");
    char back[sizeof(text)];
    int descriptor = open(fixture->path, O_RDONLY);
    assert_int_equal(read(descriptor, back, sizeof(back)), sizeof(back));
    close(descriptor);
    assert_memory_equal(back, text, sizeof(text));
}

static void test_damaged_pages(void **state)
{
    struct fixture *fixture = *state;
    char name[16];
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "m%05d", i);
        (void)apply(fixture, name, name, "{\"name\":\"Ada\"}", i, T0);
    }
    write_log_back(fixture);
    char garbage[3000];
    memset(garbage, 0x5a, sizeof(garbage));
    write_at(fixture->path, 4096, garbage, sizeof(garbage));
    write_at(fixture->path, 3 * 4096, garbage, sizeof(garbage));
    expect_refused(fixture, "is damaged");
}

/* Pages that are good, with a table that nobody knows: no log is written back into such a file. */
static void test_damaged_schema(void **state)
{
    struct fixture *fixture = *state;
    enum { FIRST_PAGE = 4096 };
    static const char column[] = "payload_hash";
    (void)apply(fixture, "m1", "u", "{}", 1, T0);
    write_log_back(fixture);
    char page[FIRST_PAGE];
    int descriptor = open(fixture->path, O_RDONLY);
    assert_int_equal(read(descriptor, page, sizeof(page)), sizeof(page));
    close(descriptor);
    char *found = memmem(page, sizeof(page), column, strlen(column));
    assert_non_null(found);
    write_at(fixture->path, found - page, "x", 1);
    *found = 'x';
    expect_refused(fixture, "is damaged");
    char now[FIRST_PAGE];
    descriptor = open(fixture->path, O_RDONLY);
    assert_int_equal(read(descriptor, now, sizeof(now)), sizeof(now));
    close(descriptor);
    assert_memory_equal(now, page, sizeof(page));
}

static void test_another_program_and_a_newer_version(void **state)
{
    struct fixture *fixture = *state;
    (void)apply(fixture, "m1", "u", "{}", 1, T0);
    write_log_back(fixture);
    write_at(fixture->path, 60, "\0\0\0\x63", 4); /* user_version, section 1.3 of the format */
    expect_refused(fixture, "newer version");
    write_at(fixture->path, 68, "\0\0\0\x01", 4); /* application_id */
    expect_refused(fixture, "not a file of this program");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_id_is_one_effect, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_batch_takes_effect_whole_or_not_at_all, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_batch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_it_is_told_when_it_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_older_never_overwrites_newer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sessions_open_extend_expire_and_end, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_pages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_deletion_and_saves_around_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_newest_deletion_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_deletion_that_is_rolled_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_tombstone_holds_nothing_personal_and_is_pruned,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_clock_that_is_set_back_shortens_no_session, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_pruning, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_database, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_pages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_schema, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_program_and_a_newer_version, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
