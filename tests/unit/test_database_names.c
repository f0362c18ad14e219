/* A database whose files, or whose lock, do not stand under their names any more. */
#include "common/database/database.h"

#include "tests/support/database_files.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FILE_NAME "test.db"

enum { INSERT, COUNT, STATEMENTS, NOW_MS = 1234, PATH_BYTES = 128 };

static const char *const migrations[] = {"CREATE TABLE numbers (number INTEGER NOT NULL)"};
static const char *const statements[STATEMENTS] = {
    [INSERT] = "INSERT INTO numbers (number) VALUES (?1)",
    [COUNT] = "SELECT count(*) FROM numbers",
};

struct fixture {
    char folder[64], path[PATH_BYTES], away[PATH_BYTES];
    struct named_file lock;
    struct database *database;
    struct error error;
    struct database_progress progress;
    size_t calls;
};

static struct database *create(struct fixture *fixture, struct database *first)
{
    const struct database_options options = {.directory = fixture->folder,
                                             .file_name = FILE_NAME,
                                             .application_id = 1,
                                             .migrations = migrations,
                                             .version = 1,
                                             .statements = statements,
                                             .statement_count = STATEMENTS,
                                             .second = first != NULL,
                                             .first = first,
                                             .lock = &fixture->lock};
    struct database *database = NULL;
    assert_int_equal(database_create(&options, &database, NULL), OUTCOME_OK);
    return database;
}

static void touch(const char *path)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
}

static void insert(struct database *database)
{
    struct statement *statement = database_statement(database, INSERT);
    statement_bind_integer(statement, 1, 7);
    assert_int_equal(statement_run(statement, NULL), OUTCOME_OK);
}

static enum outcome commit_one(struct fixture *fixture)
{
    if (database_begin(fixture->database, &fixture->error) != OUTCOME_OK) {
        fail_msg("%s", fixture->error.text);
    }
    insert(fixture->database);
    return database_commit(fixture->database, &fixture->error);
}

static int64_t count(struct database *database)
{
    bool row = false;
    assert_int_equal(database_open(database, NULL), OUTCOME_OK);
    struct statement *statement = database_statement(database, COUNT);
    assert_int_equal(statement_step(statement, &row, NULL), OUTCOME_OK);
    int64_t result = statement_integer(statement, 0);
    statement_reset(statement);
    return result;
}

/* As another process reads it. */
static int64_t count_in(const char *path)
{
    sqlite3 *handle = NULL;
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(handle, "SELECT count(*) FROM numbers", -1, &statement, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t result = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    assert_int_equal(sqlite3_close(handle), SQLITE_OK);
    return result;
}

static void count_call(void *context)
{
    ++*(size_t *)context;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    strcpy(fixture->folder, "/tmp/test_database_names_XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    (void)snprintf(fixture->path, sizeof(fixture->path), "%s/" FILE_NAME, fixture->folder);
    (void)snprintf(fixture->away, sizeof(fixture->away), "%s/away", fixture->folder);
    (void)snprintf(fixture->lock.path, sizeof(fixture->lock.path), "%s/lock", fixture->folder);
    touch(fixture->lock.path);
    assert_int_equal(named_file_remember(&fixture->lock, NULL), OUTCOME_OK);
    fixture->progress = (struct database_progress){count_call, &fixture->calls};
    fixture->database = create(fixture, NULL);
    assert_int_equal(commit_one(fixture), OUTCOME_OK);
    assert_int_equal(database_in_place(fixture->database, NULL), OUTCOME_OK);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    database_free(fixture->database);
    remove_database_files(fixture->folder, FILE_NAME);
    remove_database_files(fixture->folder, FILE_NAME ".saved-1234");
    (void)unlink(fixture->away);
    (void)unlink(fixture->lock.path);
    assert_int_equal(rmdir(fixture->folder), 0);
    free(fixture);
    return 0;
}

/* The path of what is beside the file. */
static const char *beside(const struct fixture *fixture, const char *end)
{
    static char path[PATH_BYTES + 16];
    (void)snprintf(path, sizeof(path), "%s%s", fixture->path, end);
    return path;
}

static void test_each_name_is_looked_at(void **state)
{
    struct fixture *fixture = *state;
    const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i <= sizeof(ends) / sizeof(ends[0]); i++) {
        bool is_lock = i == sizeof(ends) / sizeof(ends[0]);
        const char *path = is_lock ? fixture->lock.path : beside(fixture, ends[i]);
        assert_int_equal(rename(path, fixture->away), 0);
        assert_int_equal(database_in_place(fixture->database, &fixture->error), OUTCOME_TRANSIENT);
        assert_non_null(strstr(fixture->error.text, path));
        assert_non_null(strstr(fixture->error.text, " was removed "));
        assert_non_null(strstr(fixture->error.text, "restart the service"));
        touch(path);
        assert_int_equal(commit_one(fixture), OUTCOME_TRANSIENT);
        assert_non_null(strstr(fixture->error.text, " was replaced "));
        assert_int_equal(database_is_out_of_reach(fixture->database), i < 2);
        assert_int_equal(rename(fixture->away, path), 0);
        assert_int_equal(commit_one(fixture), OUTCOME_OK);
        assert_false(database_is_out_of_reach(fixture->database));
    }
    assert_int_equal(count(fixture->database), 9); /* nothing that was committed is undone */
}

static void test_what_is_displaced_stays_open_whatever_fails(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(rename(fixture->path, fixture->away), 0);
    assert_int_equal(database_begin(fixture->database, NULL), OUTCOME_OK);
    insert(fixture->database);
    database_rollback(fixture->database, OUTCOME_BROKEN);
    assert_true(database_is_open(fixture->database));
    assert_int_equal(count(fixture->database), 1);
    assert_int_equal(database_in_place(fixture->database, NULL), OUTCOME_TRANSIENT);
    /* Back in its place it is opened again, as after any such failure. */
    assert_int_equal(rename(fixture->away, fixture->path), 0);
    assert_int_equal(database_in_place(fixture->database, &fixture->error), OUTCOME_TRANSIENT);
    assert_false(database_is_open(fixture->database));
    assert_int_equal(database_in_place(fixture->database, NULL), OUTCOME_OK);
    assert_int_equal(commit_one(fixture), OUTCOME_OK);
    assert_int_equal(count(fixture->database), 2);
}

static void test_without_its_lock_nothing_is_opened(void **state)
{
    struct fixture *fixture = *state;
    database_close(fixture->database);
    assert_int_equal(rename(fixture->lock.path, fixture->away), 0);
    assert_int_equal(database_open(fixture->database, &fixture->error), OUTCOME_TRANSIENT);
    assert_non_null(strstr(fixture->error.text, fixture->lock.path));
    assert_int_equal(rename(fixture->away, fixture->lock.path), 0);
    assert_int_equal(database_open(fixture->database, NULL), OUTCOME_OK);
}

/* SQLite keeps two processes apart that have all three in common. */
static void test_without_a_lock_files_in_part_are_not_written(void **state)
{
    static const struct {
        const char *ends[3];
        bool is_contested;
    } cases[] = {
        {{NULL}, false},
        {{"-shm"}, true},
        {{"-wal"}, true},
        {{""}, true},
        {{"-shm", "-wal"}, true},
        {{"-shm", ""}, true},
        {{"-shm", "-wal", ""}, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture *fixture = *state;
        assert_int_equal(unlink(fixture->lock.path), 0);
        for (size_t j = 0; j < 3 && cases[i].ends[j] != NULL; j++) {
            assert_int_equal(unlink(beside(fixture, cases[i].ends[j])), 0);
        }
        assert_int_equal(database_in_place(fixture->database, NULL), OUTCOME_TRANSIENT);
        assert_int_equal(database_is_contested(fixture->database), cases[i].is_contested);
        enum outcome outcome = database_begin(fixture->database, &fixture->error);
        assert_int_equal(outcome, cases[i].is_contested ? OUTCOME_TRANSIENT : OUTCOME_OK);
        assert_int_equal(count(fixture->database), 1); /* it can be read all the same */
        database_rollback(fixture->database, OUTCOME_TRANSIENT);
        touch(fixture->lock.path); /* for tear_down() */
        assert_int_equal(tear_down(state) + set_up(state), 0);
    }
}

static void test_a_log_that_is_missing_is_written_back(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(unlink(beside(fixture, "-wal")), 0);
    assert_int_equal(database_in_place(fixture->database, &fixture->error), OUTCOME_TRANSIENT);
    assert_non_null(strstr(fixture->error.text, "what was stored before is in the file"));
    assert_false(database_is_out_of_reach(fixture->database));
    database_close(fixture->database);
    assert_int_equal(count_in(fixture->path), 1);
}

/* What another process may have begun is not written over. */
static void test_a_log_that_is_another_one_is_not_written_back(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(unlink(beside(fixture, "-wal")), 0);
    touch(beside(fixture, "-wal"));
    assert_int_equal(database_in_place(fixture->database, &fixture->error), OUTCOME_TRANSIENT);
    assert_null(strstr(fixture->error.text, "what was stored before"));
    assert_true(database_is_out_of_reach(fixture->database));
}

static void test_it_is_written_out_to_its_own_name(void **state)
{
    struct fixture *fixture = *state;
    remove_database_files(fixture->folder, FILE_NAME);
    assert_int_equal(database_in_place(fixture->database, NULL), OUTCOME_TRANSIENT);
    assert_int_equal(
        database_write_out(fixture->database, NOW_MS, &fixture->progress, &fixture->error),
        OUTCOME_OK);
    assert_string_equal(fixture->error.text, fixture->path);
    assert_int_equal(database_in_place(fixture->database, NULL), OUTCOME_TRANSIENT);
    database_free(fixture->database);
    fixture->database = create(fixture, NULL);
    assert_int_equal(commit_one(fixture), OUTCOME_OK); /* it is a file of this program */
    assert_int_equal(count_in(fixture->path), 2);
}

/* What writes the outbox out must not seem to hang meanwhile. */
static void test_the_more_is_written_out_the_more_often_progress_is_shown(void **state)
{
    enum { ROWS = 200 };
    struct fixture *fixture = *state;
    assert_int_equal(database_begin(fixture->database, NULL), OUTCOME_OK);
    for (int i = 0; i < ROWS; i++) {
        insert(fixture->database);
    }
    assert_int_equal(database_commit(fixture->database, NULL), OUTCOME_OK);
    remove_database_files(fixture->folder, FILE_NAME);
    assert_int_equal(database_in_place(fixture->database, NULL), OUTCOME_TRANSIENT);
    assert_int_equal(
        database_write_out(fixture->database, NOW_MS, &fixture->progress, &fixture->error),
        OUTCOME_OK);
    assert_true(fixture->calls > ROWS / 10);
}

static void test_it_is_written_out_beside_what_stands_there(void **state)
{
    static const char *const ends[] = {"", "-wal"};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        remove_database_files(fixture->folder, FILE_NAME);
        touch(beside(fixture, ends[i]));
        assert_int_equal(database_in_place(fixture->database, NULL), OUTCOME_TRANSIENT);
        assert_int_equal(
            database_write_out(fixture->database, NOW_MS, &fixture->progress, &fixture->error),
            OUTCOME_OK);
        assert_string_equal(fixture->error.text, beside(fixture, ".saved-1234"));
        assert_int_equal(count_in(fixture->error.text), 1);
        assert_int_equal(unlink(fixture->error.text), 0);
    }
}

static void test_without_a_directory_it_is_written_out_later(void **state)
{
    struct fixture *fixture = *state;
    char elsewhere[PATH_BYTES];
    (void)snprintf(elsewhere, sizeof(elsewhere), "%s.elsewhere", fixture->folder);
    assert_int_equal(rename(fixture->folder, elsewhere), 0);
    assert_int_equal(database_in_place(fixture->database, &fixture->error), OUTCOME_TRANSIENT);
    assert_non_null(strstr(fixture->error.text, fixture->folder));
    assert_null(strstr(fixture->error.text, FILE_NAME)); /* not each of the files in it */
    assert_false(database_has_directory(fixture->database));
    assert_int_not_equal(
        database_write_out(fixture->database, NOW_MS, &fixture->progress, &fixture->error),
        OUTCOME_OK);
    assert_int_equal(rename(elsewhere, fixture->folder), 0);
    assert_true(database_has_directory(fixture->database));
    assert_int_equal(commit_one(fixture), OUTCOME_OK);
}

/* It would begin a log that the first connection does not know. */
static void test_a_second_connection_looks_at_the_files_of_the_first(void **state)
{
    struct fixture *fixture = *state;
    struct database *second = create(fixture, fixture->database);
    assert_int_equal(unlink(beside(fixture, "-wal")), 0);
    assert_int_equal(database_open(second, &fixture->error), OUTCOME_TRANSIENT);
    assert_non_null(strstr(fixture->error.text, "-wal was removed"));
    assert_int_equal(access(beside(fixture, "-wal"), F_OK), -1);
    database_free(second);
}

/* An I/O error, for instance, has closed it. An inode that is free would be the next file's. */
static void test_another_file_does_not_take_the_place_of_one_that_was_closed(void **state)
{
    struct fixture *fixture = *state;
    struct database *second = create(fixture, fixture->database);
    assert_int_equal(count(second), 1);
    database_close(fixture->database);
    assert_int_equal(rename(fixture->path, fixture->away), 0);
    assert_int_equal(database_open(fixture->database, &fixture->error), OUTCOME_TRANSIENT);
    assert_non_null(strstr(fixture->error.text, "was removed under the running service"));
    assert_int_equal(access(fixture->path, F_OK), -1); /* none is made */
    touch(fixture->path);
    assert_int_equal(database_begin(fixture->database, &fixture->error), OUTCOME_TRANSIENT);
    assert_non_null(strstr(fixture->error.text, "was replaced under the running service"));
    assert_non_null(strstr(fixture->error.text, "restart the service"));
    assert_int_equal(database_in_place(second, &fixture->error), OUTCOME_TRANSIENT);
    assert_false(database_is_out_of_reach(fixture->database)); /* it is not open */
    assert_int_equal(rename(fixture->away, fixture->path), 0);
    assert_int_equal(commit_one(fixture), OUTCOME_OK);
    assert_int_equal(count(second), 2);
    database_free(second);
}

static void test_the_inode_of_one_that_was_closed_is_no_other_files(void **state)
{
    struct fixture *fixture = *state;
    database_close(fixture->database);
    for (int i = 0; i < 20; i++) {
        remove_database_files(fixture->folder, FILE_NAME);
        touch(fixture->path);
        assert_int_equal(database_open(fixture->database, &fixture->error), OUTCOME_TRANSIENT);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_name_is_looked_at),
        TEST(test_what_is_displaced_stays_open_whatever_fails),
        TEST(test_without_its_lock_nothing_is_opened),
        TEST(test_without_a_lock_files_in_part_are_not_written),
        TEST(test_a_log_that_is_missing_is_written_back),
        TEST(test_a_log_that_is_another_one_is_not_written_back),
        TEST(test_it_is_written_out_to_its_own_name),
        TEST(test_the_more_is_written_out_the_more_often_progress_is_shown),
        TEST(test_it_is_written_out_beside_what_stands_there),
        TEST(test_without_a_directory_it_is_written_out_later),
        TEST(test_a_second_connection_looks_at_the_files_of_the_first),
        TEST(test_another_file_does_not_take_the_place_of_one_that_was_closed),
        TEST(test_the_inode_of_one_that_was_closed_is_no_other_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
