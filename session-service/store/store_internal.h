/* What the store's source files share. Nothing outside of this room includes it. */
#pragma once

#include "session-service/store/store.h"
#include "session-service/store/store_order.h"

#include "common/database/database.h"

#define STORE_FILE_NAME "session-service.db"

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
    RAISE_FLOOR,
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
    struct database *database;       /* owned */
    struct message_id_generator ids; /* of sessions */
    int64_t applied;                 /* events since the last pruning */
    /* What is known of the table of tombstones: while it is empty a save costs nothing for it. */
    enum { TOMBSTONES_UNKNOWN, TOMBSTONES_NONE, TOMBSTONES_SOME } tombstones;
    /* The keys behind which pruning goes on; "" begins anew. */
    char inbox_cursor[STORE_CURSOR_BYTES], session_cursor[STORE_CURSOR_BYTES],
        tombstone_cursor[STORE_CURSOR_BYTES];
};
