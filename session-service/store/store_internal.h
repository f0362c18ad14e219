/* What the store's source files share. Nothing outside of this room includes it. */
#pragma once

#include "session-service/store/store.h"
#include "session-service/store/store_order.h"

#include "common/database/database.h"

#define STORE_FILE_NAME "session-service.db"

enum { STORE_CURSOR_BYTES = 129 };

extern const char *const store_migrations[];
extern const int store_version;

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
