/* What the source files of the store in SQLite share. Nothing outside of this room includes it. */
#pragma once

#include "session-service/store/store_kind_internal.h"
#include "session-service/store/store_order.h"

#include "common/base/digest.h"
#include "common/database/database.h"

#define STORE_SQLITE_FILE_NAME "session-service.db"

enum { STORE_SQLITE_APPLICATION_ID = 0x53535631 /* "SSV1" */, STORE_SQLITE_CURSOR_BYTES = 129 };

extern const char *const store_sqlite_migrations[];
extern const int store_sqlite_version;

struct store_sqlite {
    struct store store;
    struct database *database;       /* owned */
    struct message_id_generator ids; /* of sessions */
    int64_t applied;                 /* events since the last pruning */
    /* What is known of the table of tombstones: while it is empty a save costs nothing for it. */
    enum { TOMBSTONES_UNKNOWN, TOMBSTONES_NONE, TOMBSTONES_SOME } tombstones;
    /* The keys behind which pruning goes on; "" begins anew. */
    char inbox_cursor[STORE_SQLITE_CURSOR_BYTES], session_cursor[STORE_SQLITE_CURSOR_BYTES],
        tombstone_cursor[STORE_SQLITE_CURSOR_BYTES];
};

static inline struct store_sqlite *store_sqlite_of(struct store *store)
{
    return (struct store_sqlite *)store;
}

/* Begins a transaction, and opens the file if it is not open. The outcomes are those of
 * store_open(). */
MUST_CHECK enum outcome store_sqlite_begin(struct store_sqlite *store, struct error *ret_error);
/* Ends a transaction. `outcome` says whether everything in it has succeeded. If it is OK, commits.
 * If it is not, or if the commit fails, rolls back. Returns the failure; BROKEN and INVALID also
 * close the file. TRANSIENT: it is committed to files that the next process would not find. With a
 * failure it does no harm outside of a transaction. */
MUST_CHECK enum outcome store_sqlite_end(struct store_sqlite *store, enum outcome outcome,
                                         struct error *ret_error);
/* The same for reading alone, which needs no transaction: fails where that would. */
MUST_CHECK enum outcome store_sqlite_look(struct store_sqlite *store, struct error *ret_error);
MUST_CHECK enum outcome store_sqlite_end_look(struct store_sqlite *store, enum outcome outcome);

/* In a transaction. */
MUST_CHECK enum outcome store_sqlite_apply(struct store_sqlite *store,
                                           const struct store_event *event, int64_t now_ms,
                                           struct store_effect *ret_effect,
                                           struct error *ret_error);
/* Makes sure that store->tombstones is known. While there are any it stays so until pruning: that
 * the last one is gone is asked for once then, and not after each removal. */
MUST_CHECK enum outcome store_sqlite_ask_for_tombstones(struct store_sqlite *store,
                                                        struct error *ret_error);
/* Whether the inbox has this id with this payload. */
MUST_CHECK enum outcome store_sqlite_inbox_has(struct store_sqlite *store, struct slice message_id,
                                               const unsigned char hash[DIGEST_BYTES],
                                               bool *ret_has, struct error *ret_error);
/* In a transaction. */
MUST_CHECK enum outcome store_sqlite_delete_attempts(struct store_sqlite *store, struct slice key,
                                                     struct error *ret_error);

/* The calls of store.h and store_reader.h. */
MUST_CHECK enum outcome store_sqlite_knows(struct store *base, struct slice message_id,
                                           struct slice payload, bool *ret_known,
                                           struct error *ret_error);
MUST_CHECK enum outcome store_sqlite_accuse(struct store *base, struct slice key, bool is_counted,
                                            int64_t now_ms, struct error *ret_error);
MUST_CHECK enum outcome store_sqlite_find_attempts(struct store *base, struct slice key,
                                                   bool *ret_accused, int64_t *ret_count,
                                                   struct error *ret_error);
MUST_CHECK enum outcome store_sqlite_forget_attempts(struct store *base, struct slice key,
                                                     struct error *ret_error);
MUST_CHECK enum outcome store_sqlite_prune(struct store *base, int64_t now_ms,
                                           struct error *ret_error);
MUST_CHECK enum outcome store_sqlite_reader_create(const struct store *base,
                                                   struct store_reader **ret_reader,
                                                   struct error *ret_error);
void store_sqlite_reader_free(struct store_reader *base);
MUST_CHECK enum outcome store_sqlite_reader_ask(struct store_reader *base, enum question question,
                                                struct slice key, int64_t limit, int64_t now_ms,
                                                struct buffer *json, bool *ret_found,
                                                struct error *ret_error);
