/* Opens a SQLite file, and runs transactions and statements in it. */
#include "common/database/database_internal.h"

#include "common/base/transitions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUSY_WAIT_MS = 1000 };

static const uint8_t transitions[] = {
    [CLOSED] = STATE_BIT(IDLE) | STATE_BIT(CLOSED), /* opened, or could not be */
    [IDLE] = STATE_BIT(IN_TRANSACTION) | STATE_BIT(CLOSED) | STATE_BIT(IDLE), /* rolled back */
    [IN_TRANSACTION] = STATE_BIT(IDLE) | STATE_BIT(CLOSED),
};

enum outcome database_create(const struct database_options *options, struct database **ret_database,
                             struct error *ret_error)
{
    struct database *database =
        calloc(1, sizeof(*database) + options->statement_count * sizeof(database->statements[0]));
    if (database == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for %s", options->file_name);
    }
    database->options = *options;
    database->chosen_descriptor = -1;
    int length = snprintf(database->path, sizeof(database->path), "%s/%s", options->directory,
                          options->file_name);
    if (length < 0 || (size_t)length >= sizeof(database->path)) {
        free(database);
        return error_set(ret_error, OUTCOME_INVALID, "the path of the state directory is too long");
    }
    static const char *const ends[DATABASE_NAMES] = {
        [DATABASE_FILE] = "", [DATABASE_LOG] = "-wal", [DATABASE_INDEX] = "-shm"};
    for (size_t i = DATABASE_FILE; i < DATABASE_NAMES; i++) {
        struct named_file *name = &database->names[i];
        (void)snprintf(name->path, sizeof(name->path), "%s%s", database->path, ends[i]);
    }
    struct named_file *folder = &database->names[DATABASE_FOLDER];
    (void)snprintf(folder->path, sizeof(folder->path), "%s", options->directory);
    memcpy(database->chosen.path, database->path, strlen(database->path) + 1);
    pthread_mutex_init(&database->names_lock, NULL);
    *ret_database = database;
    return OUTCOME_OK;
}

void database_free(struct database *database)
{
    if (database == NULL) {
        return;
    }
    database_close(database);
    if (database->chosen_descriptor >= 0) {
        (void)close(database->chosen_descriptor);
    }
    pthread_mutex_destroy(&database->names_lock);
    free(database);
}

bool database_exists(const struct database *database)
{
    return access(database->path, F_OK) == 0;
}

bool database_is_open(const struct database *database)
{
    return database->handle != NULL;
}

/* A file of an older version may have been made for others to read, and SQLite gives those beside
 * it the same rights. Where it is another user's it stays as he wants it. */
static void keep_for_owner(const char *path)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    char name[DATABASE_PATH_BYTES + 8];
    struct stat status;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        (void)snprintf(name, sizeof(name), "%s%s", path, ends[i]);
        if (lstat(name, &status) == 0 && S_ISREG(status.st_mode) &&
            (status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
            (void)chmod(name, S_IRUSR | S_IWUSR);
        }
    }
}

enum outcome database_open(struct database *database, struct error *ret_error)
{
    if (database_is_open(database) && !database_follows_first(database)) {
        database_close(database);
    }
    if (database_is_open(database)) {
        return OUTCOME_OK;
    }
    /* Not beside another process, and no second log beside the one that the first connection has.
     */
    enum outcome outcome = database_in_place(database, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    /* Nobody asks how much memory SQLite has, and to count it takes a lock at each allocation. It
     * refuses this once it was used. */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                (database->options.second ? 0 : SQLITE_OPEN_CREATE);
    int code = sqlite3_open_v2(database->path, &database->handle, flags, NULL);
    if (code != SQLITE_OK) {
        outcome = database_fail(database, code, "open it", ret_error);
    } else {
        (void)sqlite3_busy_timeout(database->handle, BUSY_WAIT_MS);
        /* What was found damaged, or could not be synced, must not be written by a close. */
        (void)sqlite3_db_config(database->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        (void)sqlite3_db_config(database->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        outcome = database_set_up(database, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = database_remember_names(database, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        STATE_SET(transitions, database->state, IDLE);
    } else {
        database_close(database);
        return outcome;
    }
    keep_for_owner(database->path);
    return OUTCOME_OK;
}

void database_close(struct database *database)
{
    for (size_t i = 0; i < database->options.statement_count; i++) {
        sqlite3_finalize(database->statements[i].handle);
        database->statements[i] = (struct statement){.handle = NULL};
    }
    (void)sqlite3_close(database->handle); /* fails only with statements left */
    database->handle = NULL;
    database->is_in_doubt = false;
    database_forget_names(database);
    STATE_SET(transitions, database->state, CLOSED);
}

enum outcome database_begin(struct database *database, struct error *ret_error)
{
    enum outcome outcome = database_open(database, ret_error);
    if (outcome == OUTCOME_OK && database->is_contested) {
        return error_set(ret_error, OUTCOME_TRANSIENT,
                         "%s may be written by another process; restart the service",
                         database->path);
    }
    if (outcome == OUTCOME_OK) {
        assert(database->state == IDLE);
        outcome = database_execute(database, "BEGIN IMMEDIATE", ret_error);
    }
    if (outcome == OUTCOME_OK) {
        STATE_SET(transitions, database->state, IN_TRANSACTION);
    }
    return outcome;
}

enum outcome database_commit(struct database *database, struct error *ret_error)
{
    assert(database->state == IN_TRANSACTION);
    enum outcome outcome = database_execute(database, "COMMIT", ret_error);
    if (outcome == OUTCOME_OK) {
        STATE_SET(transitions, database->state, IDLE);
    }
    /* Without memory SQLite may fail after it has written and synced the log. With a full disk or a
     * lock it fails before that. */
    int code = sqlite3_errcode(database->handle) & 0xff;
    bool is_undone = code == SQLITE_FULL || code == SQLITE_BUSY;
    if (outcome == OUTCOME_BUSY && !is_undone) {
        outcome = OUTCOME_BROKEN;
    }
    /* Last of all: whatever stood under the names before, this is what the caller answers for. */
    return outcome == OUTCOME_OK ? database_in_place(database, ret_error) : outcome;
}

void database_rollback(struct database *database, enum outcome why)
{
    if (!database_is_open(database)) {
        return;
    }
    for (size_t i = 0; i < database->options.statement_count; i++) {
        statement_reset(&database->statements[i]);
    }
    bool in_doubt = why == OUTCOME_BROKEN || why == OUTCOME_INVALID;
    bool stays_open = !in_doubt || database_in_place(database, NULL) != OUTCOME_OK;
    if (!database_is_open(database)) {
        return; /* it has just come back to its place */
    }
    /* Some failures have ended the transaction themselves; closing ends any. */
    if (stays_open && sqlite3_get_autocommit(database->handle) == 0) {
        in_doubt = database_execute(database, "ROLLBACK", NULL) != OUTCOME_OK || in_doubt;
    }
    STATE_SET(transitions, database->state, IDLE);
    if (in_doubt && database->is_displaced) {
        database->is_in_doubt = true;
    } else if (in_doubt) {
        database_close(database);
    }
}

struct statement *database_statement(struct database *database, size_t index)
{
    return &database->statements[index];
}

static void record_bind(struct statement *statement, int code)
{
    if (code != SQLITE_OK && statement->bind_code == SQLITE_OK) {
        statement->bind_code = code;
    }
}

void statement_bind_integer(struct statement *statement, int parameter, int64_t value)
{
    record_bind(statement, sqlite3_bind_int64(statement->handle, parameter, value));
}

/* An empty slice may be NULL, which SQLite would take for the value NULL. */
void statement_bind_text(struct statement *statement, int parameter, struct slice value)
{
    record_bind(statement, sqlite3_bind_text64(statement->handle, parameter,
                                               value.data == NULL ? "" : value.data, value.length,
                                               SQLITE_STATIC, SQLITE_UTF8));
}

void statement_bind_blob(struct statement *statement, int parameter, const void *data,
                         size_t length)
{
    record_bind(statement, sqlite3_bind_blob64(statement->handle, parameter,
                                               data == NULL ? "" : data, length, SQLITE_STATIC));
}

enum outcome statement_step(struct statement *statement, bool *ret_row, struct error *ret_error)
{
    assert(statement->database->state == IN_TRANSACTION || statement->database->options.second ||
           sqlite3_stmt_readonly(statement->handle) != 0);
    int code = statement->bind_code;
    if (code == SQLITE_OK) {
        code = sqlite3_step(statement->handle);
    }
    *ret_row = code == SQLITE_ROW;
    if (code == SQLITE_ROW) {
        return OUTCOME_OK;
    }
    enum outcome outcome = code == SQLITE_DONE
                               ? OUTCOME_OK
                               : database_fail(statement->database, code, "use it", ret_error);
    statement_reset(statement);
    return outcome;
}

enum outcome statement_run(struct statement *statement, struct error *ret_error)
{
    bool row;
    enum outcome outcome = statement_step(statement, &row, ret_error);
    if (outcome == OUTCOME_OK && row) {
        statement_reset(statement);
    }
    return outcome;
}

void statement_reset(struct statement *statement)
{
    /* Repeats the code of a failed step, which was told. */
    (void)sqlite3_reset(statement->handle);
    (void)sqlite3_clear_bindings(statement->handle);
    statement->bind_code = SQLITE_OK;
}

int64_t statement_integer(struct statement *statement, int column)
{
    return sqlite3_column_int64(statement->handle, column);
}

bool statement_is_null(struct statement *statement, int column)
{
    return sqlite3_column_type(statement->handle, column) == SQLITE_NULL;
}

struct slice statement_text(struct statement *statement, int column)
{
    const void *data = sqlite3_column_blob(statement->handle, column);
    int length = sqlite3_column_bytes(statement->handle, column);
    return (struct slice){data, data == NULL ? 0 : (size_t)length};
}

int64_t database_changes(const struct database *database)
{
    return sqlite3_changes64(database->handle);
}
