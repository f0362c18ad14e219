/* What the store's source files share: its state, and its schema (store.c), which store_file.c
 * opens the file with. */
#pragma once

#include "session-service/store/store.h"

#include "common/database/database.h"

enum { STORE_CURSOR_BYTES = 129 };

/* Their SQL is in store.c. */
enum statement_name {
    INSERT_INBOX,
    SELECT_HASH,
    UPSERT_USER,
    UPSERT_USER_AND_COUNT, /* how many saves the user has */
    DELETE_USER,
    INSERT_TOMBSTONE,
    HAS_TOMBSTONES,
    DELETE_TOMBSTONE,
    DELETE_BURIED_USER,
    COUNT_ATTEMPT,
    FORGET_ATTEMPTS,
    NEXT_INBOX,
    PRUNE_INBOX,
    NEXT_SESSIONS,
    SWEEP_SESSIONS,
    PRUNE_ATTEMPTS,
    NEXT_TOMBSTONES,
    PRUNE_TOMBSTONES,
    STATEMENTS
};

struct store {
    struct store_options options;
    char path[STORE_PATH_BYTES];
    struct database *database; /* NULL: not open */
    struct statement *statements[STATEMENTS];
    bool in_transaction;
    struct message_id_generator ids;
    int64_t applied; /* since the last pruning */
    /* What is known of the table of tombstones: while it is empty a save costs nothing for it. */
    enum { TOMBSTONES_UNKNOWN, TOMBSTONES_NONE, TOMBSTONES_SOME } tombstones;
    /* Where pruning goes on. */
    char inbox_cursor[STORE_CURSOR_BYTES], session_cursor[STORE_CURSOR_BYTES],
        tombstone_cursor[STORE_CURSOR_BYTES];
};

struct store_schema {
    const char *const *migrations;
    int version; /* how many there are */
    const char *const *statements;
    size_t statement_count;
};

extern const struct store_schema store_schema;

/* Opens another connection to the file, for another thread that reads, and ends sessions. The file
 * must have been opened before. */
MUST_CHECK enum outcome store_open_second(const struct store *store, struct database **ret_database,
                                          struct error *ret_error);
