/* What the source files of the store in PostgreSQL share. Nothing outside of this room includes it.
 */
#pragma once

#include "session-service/store/store_kind_internal.h"

struct postgres;
struct postgres_connector;
struct postgres_take;

enum {
    /* One call ends after so long, whatever the server does: a batch that is larger than a MiB
     * gets so much more for each. */
    POSTGRES_CALL_MS = 3000,
    /* One that was slower has twice the time when it is tried again, up to this; that is no longer
     * than it has gone on by then. */
    POSTGRES_CALL_MS_MAX = 32 * POSTGRES_CALL_MS,
    /* The server's limits: a lock may take so many thirds of the time, a statement so much more. */
    POSTGRES_LOCK_THIRDS = 2,
    POSTGRES_STATEMENT_MORE_MS = 2000,
    POSTGRES_MS_PER_MIB = 1000,
    POSTGRES_CURSOR_BYTES = 129,
};

struct store_postgres {
    struct store store;
    struct postgres_connector *connector; /* owned */
    struct postgres *postgres;            /* owned; NULL: none */
    struct postgres_take *take;           /* owned */
    uint64_t call_ms;                     /* how long the next call may take */
    int64_t partitions_made_on;           /* day; 0: not since the start */
    uint64_t upkeep_at_ms;                /* of the partitions, by the monotonic clock */
    int64_t applied;                      /* events since the last pruning */
    /* The keys behind which pruning goes on; "" begins anew. */
    char inbox_cursor[POSTGRES_CURSOR_BYTES], session_cursor[POSTGRES_CURSOR_BYTES],
        tombstone_cursor[POSTGRES_CURSOR_BYTES];
};

static inline struct store_postgres *store_postgres_of(struct store *store)
{
    return (struct store_postgres *)store;
}

/* Begins a call: makes sure that there is a connection, and sets when the call ends. */
MUST_CHECK enum outcome store_postgres_begin(struct store_postgres *store, size_t bytes,
                                             struct error *ret_error);
/* Ends it, and returns `outcome`: after a failure the connection is made usable, or closed. */
MUST_CHECK enum outcome store_postgres_end(struct store_postgres *store, enum outcome outcome);

/* The calls of store.h and store_reader.h. */
MUST_CHECK enum outcome store_postgres_take(struct store *base, const struct store_event events[],
                                            size_t count, int64_t now_ms,
                                            struct store_effect ret_effects[],
                                            struct error *ret_error);
MUST_CHECK enum outcome store_postgres_knows(struct store *base, struct slice message_id,
                                             struct slice payload, bool *ret_known,
                                             struct error *ret_error);
MUST_CHECK enum outcome store_postgres_accuse(struct store *base, struct slice key, bool is_counted,
                                              int64_t now_ms, struct error *ret_error);
MUST_CHECK enum outcome store_postgres_find_attempts(struct store *base, struct slice key,
                                                     bool *ret_accused, int64_t *ret_count,
                                                     struct error *ret_error);
MUST_CHECK enum outcome store_postgres_forget_attempts(struct store *base, struct slice key,
                                                       struct error *ret_error);
MUST_CHECK enum outcome store_postgres_prune(struct store *base, int64_t now_ms,
                                             struct error *ret_error);
MUST_CHECK enum outcome store_postgres_reader_create(const struct store *base,
                                                     struct store_reader **ret_reader,
                                                     struct error *ret_error);
void store_postgres_reader_free(struct store_reader *base);
MUST_CHECK enum outcome store_postgres_reader_ask(struct store_reader *base, enum question question,
                                                  struct slice key, int64_t limit, int64_t now_ms,
                                                  struct buffer *json, bool *ret_found,
                                                  struct error *ret_error);
