/* Checks, configures and migrates a file, and turns SQLite's codes into outcomes. */
#include "common/database/database_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Many batches share the write-back of a page: with SQLite's 4 MiB users in random order cost
     * half as much again. */
    JOURNAL_BYTES_KEPT = 64 * 1024 * 1024,
    PAGE_BYTES = 4096,
    CACHE_KIB = 32 * 1024,
    SQL_BYTES_MAX = 128,
};

/* A value that a constraint refuses and SQL that is wrong are mistakes of ours: BROKEN too. */
static enum outcome outcome_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return OUTCOME_OK;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_FULL:
    case SQLITE_NOMEM:
        return OUTCOME_BUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return OUTCOME_INVALID;
    default:
        return OUTCOME_BROKEN;
    }
}

enum outcome database_fail(struct database *database, int code, const char *what,
                           struct error *ret_error)
{
    enum outcome outcome = outcome_of(code);
    if (outcome == OUTCOME_INVALID) {
        return error_set(ret_error, outcome,
                         "%s is damaged (%s); it is left as it is: restore a back-up, or move it "
                         "away to begin anew",
                         database->path, sqlite3_errstr(code));
    }
    int number = database->handle == NULL ? 0 : sqlite3_system_errno(database->handle);
    const char *text = sqlite3_errstr(code & 0xff);
    if (number != 0 && (code & 0xff) != SQLITE_FULL && (code & 0xff) != SQLITE_BUSY) {
        return error_set_errno(ret_error, outcome, number, "%s: cannot %s (%s)", database->path,
                               what, text);
    }
    return error_set(ret_error, outcome, "%s: cannot %s: %s", database->path, what, text);
}

enum outcome database_execute(struct database *database, const char *sql, struct error *ret_error)
{
    int code = sqlite3_exec(database->handle, sql, NULL, NULL, NULL);
    if (code == SQLITE_OK) {
        return OUTCOME_OK;
    }
    return database_fail(database, code, sql, ret_error);
}

/* Runs SQL whose first column of its first row is the answer. */
static enum outcome ask(struct database *database, const char *sql, char *answer, size_t size,
                        struct error *ret_error)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(database->handle, sql, -1, &statement, NULL);
    if (code == SQLITE_OK) {
        code = sqlite3_step(statement);
    }
    answer[0] = '\0';
    if (code == SQLITE_ROW) {
        const unsigned char *text = sqlite3_column_text(statement, 0);
        (void)snprintf(answer, size, "%s", text == NULL ? "" : (const char *)text);
    }
    enum outcome outcome =
        outcome_of(code) == OUTCOME_OK ? OUTCOME_OK : database_fail(database, code, sql, ret_error);
    sqlite3_finalize(statement);
    return outcome;
}

static enum outcome ask_integer(struct database *database, const char *sql, int64_t *ret_integer,
                                struct error *ret_error)
{
    char answer[32];
    enum outcome outcome = ask(database, sql, answer, sizeof(answer), ret_error);
    if (outcome == OUTCOME_OK) {
        *ret_integer = strtoll(answer, NULL, 10);
    }
    return outcome;
}

static enum outcome check_identity(struct database *database, int64_t *ret_version,
                                   struct error *ret_error)
{
    const struct database_options *options = &database->options;
    int64_t application_id = 0;
    int64_t tables = 0;
    enum outcome outcome =
        ask_integer(database, "PRAGMA application_id", &application_id, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = ask_integer(database, "PRAGMA user_version", ret_version, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = ask_integer(database, "SELECT count(*) FROM sqlite_schema", &tables, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    bool is_new = application_id == 0 && *ret_version == 0 && tables == 0;
    if (!is_new && application_id != options->application_id) {
        return error_set(ret_error, OUTCOME_INVALID,
                         "%s is not a file of this program; it is left as it is", database->path);
    }
    if (*ret_version < 0 || *ret_version > options->version) {
        return error_set(ret_error, OUTCOME_INVALID,
                         "%s was written by a newer version of this program (schema %lld; this one "
                         "knows up to %d); it is left as it is",
                         database->path, (long long)*ret_version, options->version);
    }
    return OUTCOME_OK;
}

static enum outcome check_integrity(struct database *database, struct error *ret_error)
{
    char answer[256];
    enum outcome outcome =
        ask(database, "PRAGMA quick_check(1)", answer, sizeof(answer), ret_error);
    if (outcome == OUTCOME_OK && strcmp(answer, "ok") != 0) {
        return database_fail(database, SQLITE_CORRUPT, "check", ret_error);
    }
    return outcome;
}

/* The check of a file's pages does not judge its schema's text: that shows here. */
static enum outcome prepare(struct database *database, struct error *ret_error)
{
    for (size_t i = 0; i < database->options.statement_count; i++) {
        struct statement *statement = &database->statements[i];
        statement->database = database;
        int code = sqlite3_prepare_v3(database->handle, database->options.statements[i], -1,
                                      SQLITE_PREPARE_PERSISTENT, &statement->handle, NULL);
        if (code != SQLITE_OK) {
            bool damaged = (code & 0xff) == SQLITE_ERROR && !database->options.second;
            return database_fail(database, damaged ? SQLITE_CORRUPT : code, "prepare a statement",
                                 ret_error);
        }
    }
    return OUTCOME_OK;
}

/* All steps in one transaction: a crash in between, or a statement that the new schema does not
 * know, leaves the old schema. */
static enum outcome migrate(struct database *database, int64_t version, struct error *ret_error)
{
    const struct database_options *options = &database->options;
    enum outcome outcome = database_execute(database, "BEGIN IMMEDIATE", ret_error);
    for (int64_t i = version; outcome == OUTCOME_OK && i < options->version; i++) {
        outcome = database_execute(database, options->migrations[i], ret_error);
    }
    char sql[SQL_BYTES_MAX];
    (void)snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %d",
                   (int)options->application_id, options->version);
    if (outcome == OUTCOME_OK) {
        outcome = database_execute(database, sql, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = prepare(database, ret_error);
    }
    return outcome == OUTCOME_OK ? database_execute(database, "COMMIT", ret_error) : outcome;
}

/* What the log holds goes into the file, synced: see the header. The answer 0 means: all of it. */
enum outcome database_write_back(struct database *database, struct error *ret_error)
{
    int64_t busy = 0;
    enum outcome outcome =
        ask_integer(database, "PRAGMA wal_checkpoint(TRUNCATE)", &busy, ret_error);
    if (outcome == OUTCOME_OK && busy != 0) {
        return error_set(ret_error, OUTCOME_BUSY,
                         "%s: another process reads it; its log cannot be written back",
                         database->path);
    }
    return outcome;
}

static int64_t journal_bytes(const struct database *database)
{
    int64_t bytes = database->options.journal_bytes_max;
    return bytes > 0 && bytes < JOURNAL_BYTES_KEPT ? bytes : JOURNAL_BYTES_KEPT;
}

static enum outcome configure(struct database *database, struct error *ret_error)
{
    char sql[SQL_BYTES_MAX];
    (void)snprintf(sql, sizeof(sql), "PRAGMA journal_size_limit = %lld; PRAGMA cache_size = -%d",
                   (long long)journal_bytes(database), CACHE_KIB);
    enum outcome outcome = database_execute(
        database,
        "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;"
        " PRAGMA secure_delete = ON", /* what is removed is personal; Debian's default too */
        ret_error);
    return outcome == OUTCOME_OK ? database_execute(database, sql, ret_error) : outcome;
}

static enum outcome use_log(struct database *database, struct error *ret_error)
{
    char mode[16];
    enum outcome outcome =
        ask(database, "PRAGMA journal_mode = WAL", mode, sizeof(mode), ret_error);
    if (outcome == OUTCOME_OK && strcmp(mode, "wal") != 0) {
        return error_set(ret_error, OUTCOME_INVALID,
                         "%s: this file system has no shared memory, which the write-ahead log "
                         "needs; use a local one",
                         database->path);
    }
    char sql[SQL_BYTES_MAX];
    (void)snprintf(sql, sizeof(sql), "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = %lld",
                   (long long)(journal_bytes(database) / PAGE_BYTES));
    if (outcome == OUTCOME_OK) {
        outcome = database_execute(database, sql, ret_error);
    }
    /* A log that this file did not have before is begun by the first read, and a write back that is
     * the first fails. */
    int64_t tables = 0;
    return outcome == OUTCOME_OK
               ? ask_integer(database, "SELECT count(*) FROM sqlite_schema", &tables, ret_error)
               : outcome;
}

enum outcome database_set_up(struct database *database, struct error *ret_error)
{
    int64_t version = database->options.version;
    enum outcome outcome = configure(database, ret_error);
    if (outcome == OUTCOME_OK && !database->options.second) {
        outcome = check_identity(database, &version, ret_error);
        if (outcome == OUTCOME_OK) {
            outcome = check_integrity(database, ret_error);
        }
    }
    bool is_current = version == database->options.version;
    if (outcome == OUTCOME_OK && is_current) {
        outcome = prepare(database, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = use_log(database, ret_error);
    }
    if (outcome == OUTCOME_OK && version > 0) { /* a new file has no log yet */
        outcome = database_write_back(database, ret_error);
    }
    return outcome == OUTCOME_OK && !is_current ? migrate(database, version, ret_error) : outcome;
}
