/* Opens, checks and migrates a SQLite file, and turns SQLite's codes into outcomes. */
#include "common/database/database.h"

#include "common/base/transitions.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BUSY_WAIT_MS = 1000,
    /* Many batches share the write-back of a page: with SQLite's 4 MiB users in random order cost
     * half as much again. */
    JOURNAL_BYTES_KEPT = 64 * 1024 * 1024,
    PAGE_BYTES = 4096,
    CACHE_KIB = 32 * 1024,
    PATH_BYTES = 1100,
    SQL_BYTES_MAX = 128,
};

enum database_state { CLOSED, IDLE, IN_TRANSACTION };

static const uint8_t transitions[] = {
    [CLOSED] = STATE_BIT(IDLE) | STATE_BIT(CLOSED), /* opened, or could not be */
    [IDLE] = STATE_BIT(IN_TRANSACTION) | STATE_BIT(CLOSED) | STATE_BIT(IDLE), /* rolled back */
    [IN_TRANSACTION] = STATE_BIT(IDLE) | STATE_BIT(CLOSED),
};

struct statement {
    sqlite3_stmt *handle;
    struct database *database;
    int bind_code; /* the first failed bind since the reset */
};

struct database {
    struct database_options options;
    char path[PATH_BYTES];
    enum database_state state;     /* for the owner: CLOSED until the file is opened and checked */
    sqlite3 *handle;               /* NULL: not open */
    struct statement statements[]; /* in the order of the options */
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

static enum outcome fail(struct database *database, int code, const char *what,
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

/* Statements without parameters or rows. */
static enum outcome execute(struct database *database, const char *sql, struct error *ret_error)
{
    int code = sqlite3_exec(database->handle, sql, NULL, NULL, NULL);
    if (code == SQLITE_OK) {
        return OUTCOME_OK;
    }
    return fail(database, code, sql, ret_error);
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
        outcome_of(code) == OUTCOME_OK ? OUTCOME_OK : fail(database, code, sql, ret_error);
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
        return fail(database, SQLITE_CORRUPT, "check", ret_error);
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
            return fail(database, damaged ? SQLITE_CORRUPT : code, "prepare a statement",
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
    enum outcome outcome = execute(database, "BEGIN IMMEDIATE", ret_error);
    for (int64_t i = version; outcome == OUTCOME_OK && i < options->version; i++) {
        outcome = execute(database, options->migrations[i], ret_error);
    }
    char sql[SQL_BYTES_MAX];
    (void)snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %d",
                   (int)options->application_id, options->version);
    if (outcome == OUTCOME_OK) {
        outcome = execute(database, sql, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = prepare(database, ret_error);
    }
    return outcome == OUTCOME_OK ? execute(database, "COMMIT", ret_error) : outcome;
}

/* What the log holds goes into the file, synced: see the header. The answer 0 means: all of it. */
static enum outcome write_back(struct database *database, struct error *ret_error)
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
    enum outcome outcome = execute(
        database,
        "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;"
        " PRAGMA secure_delete = ON", /* what is removed is personal; Debian's default too */
        ret_error);
    return outcome == OUTCOME_OK ? execute(database, sql, ret_error) : outcome;
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
    return outcome == OUTCOME_OK ? execute(database, sql, ret_error) : outcome;
}

static enum outcome set_up(struct database *database, struct error *ret_error)
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
        outcome = write_back(database, ret_error);
    }
    return outcome == OUTCOME_OK && !is_current ? migrate(database, version, ret_error) : outcome;
}

enum outcome database_create(const struct database_options *options, struct database **ret_database,
                             struct error *ret_error)
{
    struct database *database =
        calloc(1, sizeof(*database) + options->statement_count * sizeof(database->statements[0]));
    if (database == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for %s", options->file_name);
    }
    database->options = *options;
    int length = snprintf(database->path, sizeof(database->path), "%s/%s", options->directory,
                          options->file_name);
    if (length < 0 || (size_t)length >= sizeof(database->path)) {
        free(database);
        return error_set(ret_error, OUTCOME_INVALID, "the path of the state directory is too long");
    }
    *ret_database = database;
    return OUTCOME_OK;
}

void database_free(struct database *database)
{
    if (database != NULL) {
        database_close(database);
    }
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
    char name[PATH_BYTES + 8];
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
    if (database_is_open(database)) {
        return OUTCOME_OK;
    }
    /* Nobody asks how much memory SQLite has, and to count it takes a lock at each allocation. It
     * refuses this once it was used. */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                (database->options.second ? 0 : SQLITE_OPEN_CREATE);
    int code = sqlite3_open_v2(database->path, &database->handle, flags, NULL);
    enum outcome outcome = OUTCOME_OK;
    if (code != SQLITE_OK) {
        outcome = fail(database, code, "open it", ret_error);
    } else {
        (void)sqlite3_busy_timeout(database->handle, BUSY_WAIT_MS);
        /* What was found damaged, or could not be synced, must not be written by a close. */
        (void)sqlite3_db_config(database->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        (void)sqlite3_db_config(database->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        outcome = set_up(database, ret_error);
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
    STATE_SET(transitions, database->state, CLOSED);
}

enum outcome database_begin(struct database *database, struct error *ret_error)
{
    enum outcome outcome = database_open(database, ret_error);
    if (outcome == OUTCOME_OK) {
        assert(database->state == IDLE);
        outcome = execute(database, "BEGIN IMMEDIATE", ret_error);
    }
    if (outcome == OUTCOME_OK) {
        STATE_SET(transitions, database->state, IN_TRANSACTION);
    }
    return outcome;
}

enum outcome database_commit(struct database *database, struct error *ret_error)
{
    assert(database->state == IN_TRANSACTION);
    enum outcome outcome = execute(database, "COMMIT", ret_error);
    if (outcome == OUTCOME_OK) {
        STATE_SET(transitions, database->state, IDLE);
    }
    /* Without memory SQLite may fail after it has written and synced the log. With a full disk or a
     * lock it fails before that. */
    int code = sqlite3_errcode(database->handle) & 0xff;
    bool is_undone = code == SQLITE_FULL || code == SQLITE_BUSY;
    return outcome == OUTCOME_BUSY && !is_undone ? OUTCOME_BROKEN : outcome;
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
    /* Some failures have ended the transaction themselves; closing ends any. */
    if (!in_doubt && sqlite3_get_autocommit(database->handle) == 0) {
        in_doubt = execute(database, "ROLLBACK", NULL) != OUTCOME_OK;
    }
    STATE_SET(transitions, database->state, IDLE);
    if (in_doubt) {
        database_close(database);
    }
}

struct statement *database_statement(struct database *database, size_t index)
{
    return &database->statements[index];
}

static void note_bind(struct statement *statement, int code)
{
    if (code != SQLITE_OK && statement->bind_code == SQLITE_OK) {
        statement->bind_code = code;
    }
}

void statement_bind_integer(struct statement *statement, int parameter, int64_t value)
{
    note_bind(statement, sqlite3_bind_int64(statement->handle, parameter, value));
}

/* An empty slice may be NULL, which SQLite would take for the value NULL. */
void statement_bind_text(struct statement *statement, int parameter, struct slice value)
{
    note_bind(statement, sqlite3_bind_text64(statement->handle, parameter,
                                             value.data == NULL ? "" : value.data, value.length,
                                             SQLITE_STATIC, SQLITE_UTF8));
}

void statement_bind_blob(struct statement *statement, int parameter, const void *data,
                         size_t length)
{
    note_bind(statement, sqlite3_bind_blob64(statement->handle, parameter, data == NULL ? "" : data,
                                             length, SQLITE_STATIC));
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
    enum outcome outcome =
        code == SQLITE_DONE ? OUTCOME_OK : fail(statement->database, code, "use it", ret_error);
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
