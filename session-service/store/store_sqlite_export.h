/* Reads the rows of an embedded store that no service has open, for their way to another one. One
 * thread. */
#pragma once

#include "session-service/store/store_import.h"

#include "common/base/buffer.h"
#include "common/database/database.h"

/* Initializers of statements for both databases, each at its table's index behind `offset`. They
 * return how many rows there are, and what stands for the content: the name, that number, and sums
 * over the columns. EXPORT_LENGTH(column) is the length of a value in bytes, which each database
 * has another function for. The remainder keeps a sum of many times far from the largest number. */
#define EXPORT_PLUS(expression) " || ' ' || " expression
#define EXPORT_NUMBER(column) EXPORT_PLUS("coalesce(sum(" column " % 1000000007), 0)")
#define EXPORT_COUNT(column) EXPORT_PLUS("count(" column ")")
#define EXPORT_SUM(table, columns)                                                                 \
    "SELECT count(*), '" table " ' || count(*)" columns " FROM " table
#define EXPORT_SUMS(offset, EXPORT_LENGTH)                                                         \
    [(offset) +                                                                                    \
        STORE_IMPORT_INBOX] =                                                                      \
        EXPORT_SUM("inbox", EXPORT_NUMBER("handled_at_ms") EXPORT_LENGTH("message_id")             \
                                EXPORT_LENGTH("payload_hash")),                                    \
        [(offset) + STORE_IMPORT_USERS] = EXPORT_SUM(                                              \
            "users",                                                                               \
            EXPORT_NUMBER("saved_at_ms") EXPORT_NUMBER("floor_ms") EXPORT_COUNT("floor_ms")        \
                EXPORT_NUMBER("saves") EXPORT_COUNT("session_id") EXPORT_NUMBER("opened_at_ms")    \
                    EXPORT_NUMBER("extended_at_ms") EXPORT_NUMBER("expires_at_ms")                 \
                        EXPORT_NUMBER("session_saves") EXPORT_LENGTH("user_id")                    \
                            EXPORT_LENGTH("message_id") EXPORT_LENGTH("session_id")                \
                                EXPORT_LENGTH("body")),                                            \
        [(offset) + STORE_IMPORT_TOMBSTONES] =                                                     \
            EXPORT_SUM("tombstones", EXPORT_NUMBER("deleted_at_ms") EXPORT_NUMBER("handled_at_ms") \
                                         EXPORT_LENGTH("user_hash") EXPORT_LENGTH("message_id")),  \
        [(offset) + STORE_IMPORT_ATTEMPTS] = EXPORT_SUM(                                           \
            "attempts", EXPORT_NUMBER("count") EXPORT_NUMBER("at_ms") EXPORT_LENGTH("key"))

struct export_kind {
    const char *name;
    const char *types; /* of its columns, as in store_postgres_columns.h; the key is the first */
};
extern const struct export_kind export_kinds[STORE_IMPORT_TABLES];

/* Returns an owned database that is not open; database_open() brings it up to date. INVALID: there
 * is no file. */
MUST_CHECK enum outcome export_create(const char *directory, const struct named_file *lock,
                                      struct database **ret_database, struct error *ret_error);

/* Appends what stands for the content of the table, and returns how many rows it has. */
MUST_CHECK enum outcome export_sum(struct database *database, enum store_import_table table,
                                   struct buffer *sums, int64_t *ret_rows, struct error *ret_error);

/* Returns a statement (borrowed; to be reset) whose rows are the next ones of the table, `rows` at
 * most, in the order of the keys behind `last_key`; empty: from the first one. */
struct statement *export_next(struct database *database, enum store_import_table table,
                              struct slice last_key, int64_t rows);
