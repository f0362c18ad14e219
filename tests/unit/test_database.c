/* One file and its transactions: what a rollback closes, a migration that fails, a second
 * connection. */
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

enum { INSERT, COUNT, STATEMENTS };

#define FILE_NAME "test.db"

#define CREATE_TABLE "CREATE TABLE numbers (number INTEGER NOT NULL)"
#define RENAME_COLUMN "ALTER TABLE numbers RENAME COLUMN number TO value"

static const char *const first[] = {CREATE_TABLE};
static const char *const both[] = {CREATE_TABLE, RENAME_COLUMN};

static const char *const old_statements[STATEMENTS] = {
    [INSERT] = "INSERT INTO numbers (number) VALUES (?1)",
    [COUNT] = "SELECT count(*) FROM numbers",
};
static const char *const new_statements[STATEMENTS] = {
    [INSERT] = "INSERT INTO numbers (value) VALUES (?1)",
    [COUNT] = "SELECT count(*) FROM numbers",
};

static char folder[] = "/tmp/test_database_XXXXXX";

static struct database *create(const char *const *migrations, int version,
                               const char *const *statements, bool second)
{
    const struct database_options options = {.directory = folder,
                                             .file_name = FILE_NAME,
                                             .application_id = 1,
                                             .migrations = migrations,
                                             .version = version,
                                             .statements = statements,
                                             .statement_count = STATEMENTS,
                                             .second = second};
    struct database *database = NULL;
    assert_int_equal(database_create(&options, &database, NULL), OUTCOME_OK);
    return database;
}

static void insert(struct database *database)
{
    struct statement *statement = database_statement(database, INSERT);
    statement_bind_integer(statement, 1, 7);
    assert_int_equal(statement_run(statement, NULL), OUTCOME_OK);
    assert_int_equal(database_changes(database), 1);
}

static void expect_count(struct database *database, int64_t count)
{
    bool row = false;
    assert_int_equal(database_open(database, NULL), OUTCOME_OK);
    struct statement *statement = database_statement(database, COUNT);
    assert_int_equal(statement_step(statement, &row, NULL), OUTCOME_OK);
    assert_true(row);
    assert_int_equal(statement_integer(statement, 0), count);
    statement_reset(statement);
}

static void fill(void)
{
    struct database *database = create(first, 1, old_statements, false);
    assert_int_equal(database_begin(database, NULL), OUTCOME_OK);
    insert(database);
    assert_int_equal(database_commit(database, NULL), OUTCOME_OK);
    database_free(database);
}

static void test_a_failure_that_leaves_the_file_in_doubt_closes_it(void **state)
{
    static const enum outcome outcomes[] = {OUTCOME_BUSY, OUTCOME_TRANSIENT, OUTCOME_INVALID,
                                            OUTCOME_BROKEN};
    (void)state;
    fill();
    struct database *database = create(first, 1, old_statements, false);
    assert_true(database_exists(database));
    database_rollback(database, OUTCOME_BROKEN); /* is not open: no harm */
    for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
        assert_int_equal(database_begin(database, NULL), OUTCOME_OK);
        insert(database);
        database_rollback(database, outcomes[i]);
        assert_int_equal(database_is_open(database), i < 2);
        expect_count(database, 1);
        database_rollback(database, outcomes[i]); /* no transaction: no harm */
    }
    database_free(database);
}

static void test_a_migration_keeps_what_is_in_the_file(void **state)
{
    (void)state;
    fill();
    struct database *database = create(both, 2, new_statements, false);
    expect_count(database, 1);
    database_free(database);
    struct error error;
    database = create(first, 1, old_statements, false);
    assert_int_equal(database_open(database, &error), OUTCOME_INVALID);
    assert_non_null(strstr(error.text, "newer version"));
    database_free(database);
}

/* A step that cannot run, and a statement that the migrated schema does not know. */
static void test_a_migration_that_fails_leaves_the_old_file(void **state)
{
    static const char *const broken[] = {CREATE_TABLE, RENAME_COLUMN,
                                         "ALTER TABLE missing RENAME TO other"};
    struct error error;
    (void)state;
    fill();
    struct database *database = create(broken, 3, new_statements, false);
    assert_int_equal(database_open(database, &error), OUTCOME_BROKEN);
    database_free(database);
    database = create(both, 2, old_statements, false);
    assert_int_equal(database_open(database, &error), OUTCOME_INVALID);
    assert_non_null(strstr(error.text, "left as it is"));
    assert_false(database_is_open(database));
    database_free(database);
    database = create(first, 1, old_statements, false);
    expect_count(database, 1);
    database_free(database);
}

static void test_a_second_connection_creates_and_judges_nothing(void **state)
{
    struct error error;
    (void)state;
    struct database *second = create(NULL, 0, new_statements, true);
    assert_int_not_equal(database_open(second, &error), OUTCOME_OK);
    assert_false(database_exists(second));
    fill();
    assert_int_not_equal(database_open(second, &error), OUTCOME_OK); /* not migrated yet */
    assert_null(strstr(error.text, "damaged"));
    struct database *database = create(both, 2, new_statements, false);
    assert_int_equal(database_begin(database, NULL), OUTCOME_OK);
    insert(database);
    expect_count(second, 1); /* beside a transaction */
    assert_int_equal(database_commit(database, NULL), OUTCOME_OK);
    expect_count(second, 2);
    database_free(database);
    database_free(second);
}

/* SQLite's allocations until one fails; 0: none does. */
static sqlite3_mem_methods allocator;
static int allocations_left;

static void *allocate_or_fail(int bytes)
{
    return allocations_left > 0 && --allocations_left == 0 ? NULL : allocator.xMalloc(bytes);
}

static void use_own_allocator(void)
{
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &allocator), SQLITE_OK);
    sqlite3_mem_methods failing = allocator;
    failing.xMalloc = allocate_or_fail;
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &failing), SQLITE_OK);
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0), SQLITE_OK);
}

/* The log may have the transaction already: a later start would bring it back. */
static void test_a_commit_without_memory_is_in_doubt(void **state)
{
    enum outcome outcome = OUTCOME_BROKEN;
    int failed = 0;
    (void)state;
    fill();
    struct database *database = create(first, 1, old_statements, false);
    while (outcome != OUTCOME_OK) {
        assert_int_equal(database_begin(database, NULL), OUTCOME_OK);
        insert(database);
        allocations_left = failed + 1;
        outcome = database_commit(database, NULL);
        bool has_failed = allocations_left == 0;
        allocations_left = 0;
        if (has_failed && outcome != OUTCOME_OK) {
            failed++;
            assert_int_equal(outcome, OUTCOME_BROKEN);
            database_rollback(database, outcome);
            assert_false(database_is_open(database));
        }
    }
    assert_true(failed > 0);
    expect_count(database, 2);
    database_free(database);
}

static void test_a_path_that_is_too_long(void **state)
{
    static char directory[2000];
    (void)state;
    memset(directory, 'd', sizeof(directory) - 1);
    const struct database_options options = {.directory = directory, .file_name = FILE_NAME};
    struct database *database = NULL;
    struct error error;
    assert_int_equal(database_create(&options, &database, &error), OUTCOME_INVALID);
    assert_non_null(strstr(error.text, "too long"));
    assert_null(database);
}

static int remove_file(void **state)
{
    (void)state;
    remove_database_files(folder, FILE_NAME);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_failure_that_leaves_the_file_in_doubt_closes_it,
                                  remove_file),
        cmocka_unit_test_teardown(test_a_migration_keeps_what_is_in_the_file, remove_file),
        cmocka_unit_test_teardown(test_a_migration_that_fails_leaves_the_old_file, remove_file),
        cmocka_unit_test_teardown(test_a_second_connection_creates_and_judges_nothing, remove_file),
        cmocka_unit_test_teardown(test_a_commit_without_memory_is_in_doubt, remove_file),
        cmocka_unit_test_teardown(test_a_path_that_is_too_long, remove_file),
    };
    use_own_allocator();
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return rmdir(folder) == 0 ? failed : 1;
}
