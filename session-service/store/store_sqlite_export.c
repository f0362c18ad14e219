/* The file is the store's own, with other statements. */
#include "session-service/store/store_sqlite_export.h"

#include "session-service/store/store_sqlite_internal.h"

const struct export_kind export_kinds[STORE_IMPORT_TABLES] = {
    [STORE_IMPORT_INBOX] = {"inbox", "tbi"},
    [STORE_IMPORT_USERS] = {"users", "tiititiiiit"},
    [STORE_IMPORT_TOMBSTONES] = {"tombstones", "titi"},
    [STORE_IMPORT_ATTEMPTS] = {"attempts", "tii"},
};

enum { FIRST_OF = 0, NEXT_OF = STORE_IMPORT_TABLES, SUMS_OF = 2 * STORE_IMPORT_TABLES };

#define SELECT(table, key, others, comparison)                                                     \
    "SELECT " key ", " others " FROM " table " WHERE " key " " comparison " ?1 ORDER BY " key      \
    " LIMIT ?2"
#define PAGES(of, table, key, others)                                                              \
    [FIRST_OF + (of)] = SELECT(table, key, others, ">="),                                          \
                [NEXT_OF + (of)] = SELECT(table, key, others, ">"),
#define LENGTH(column) EXPORT_PLUS("coalesce(sum(length(CAST(" column " AS BLOB))), 0)")

static const char *const statements[] = {
    PAGES(STORE_IMPORT_INBOX, "inbox", "message_id", "payload_hash, handled_at_ms")
        PAGES(STORE_IMPORT_USERS, "users", "user_id",
              "saved_at_ms, floor_ms, message_id, saves, session_id,"
              " opened_at_ms, extended_at_ms, expires_at_ms, session_saves, body")
            PAGES(STORE_IMPORT_TOMBSTONES, "tombstones", "user_hash",
                  "deleted_at_ms, message_id, handled_at_ms")
                PAGES(STORE_IMPORT_ATTEMPTS, "attempts", "key", "count, at_ms")
                    EXPORT_SUMS(SUMS_OF, LENGTH),
};

enum outcome export_create(const char *directory, const struct named_file *lock,
                           struct database **ret_database, struct error *ret_error)
{
    const struct database_options file = {
        .directory = directory,
        .file_name = STORE_SQLITE_FILE_NAME,
        .application_id = STORE_SQLITE_APPLICATION_ID,
        .migrations = store_sqlite_migrations,
        .version = store_sqlite_version,
        .statements = statements,
        .statement_count = sizeof(statements) / sizeof(statements[0]),
        .lock = lock,
    };
    struct database *database = NULL;
    enum outcome outcome = database_create(&file, &database, ret_error);
    if (outcome == OUTCOME_OK && !database_exists(database)) {
        database_free(database);
        return error_set(ret_error, OUTCOME_INVALID, "there is no store in %s: it has no %s",
                         directory, STORE_SQLITE_FILE_NAME);
    }
    if (outcome == OUTCOME_OK) {
        *ret_database = database;
    }
    return outcome;
}

enum outcome export_sum(struct database *database, enum store_import_table table,
                        struct buffer *sums, int64_t *ret_rows, struct error *ret_error)
{
    struct statement *statement = database_statement(database, SUMS_OF + (size_t)table);
    bool is_row = false;
    enum outcome outcome = statement_step(statement, &is_row, ret_error);
    if (outcome == OUTCOME_OK && is_row) {
        *ret_rows = statement_integer(statement, 0);
        buffer_append_slice(sums, statement_text(statement, 1));
        statement_reset(statement);
    }
    return outcome;
}

struct statement *export_next(struct database *database, enum store_import_table table,
                              struct slice last_key, int64_t rows)
{
    size_t first = last_key.length == 0 ? FIRST_OF : NEXT_OF;
    struct statement *statement = database_statement(database, first + (size_t)table);
    statement_bind_text(statement, 1, last_key);
    statement_bind_integer(statement, 2, rows);
    return statement;
}
