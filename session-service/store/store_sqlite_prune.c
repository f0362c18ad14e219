/* Removes what is old, a few rows at a time. */
#include "session-service/store/store_sqlite_internal.h"
#include "session-service/store/store_sqlite_statements.h"

enum {
    /* Of each table in one step: twice what came in since the last, so that an entry is gone after
     * one and a half times its retention, however many come; and some where nothing comes. */
    PRUNE_ROWS_MIN = 500,
    PRUNE_ROWS_MAX = 20000,
};

enum outcome store_sqlite_ask_for_tombstones(struct store_sqlite *store, struct error *ret_error)
{
    if (store->tombstones != TOMBSTONES_UNKNOWN) {
        return OUTCOME_OK;
    }
    struct statement *ask = database_statement(store->database, HAS_TOMBSTONES);
    bool row = false;
    enum outcome outcome = statement_step(ask, &row, ret_error);
    if (outcome == OUTCOME_OK && row) {
        store->tombstones = statement_integer(ask, 0) != 0 ? TOMBSTONES_SOME : TOMBSTONES_NONE;
        statement_reset(ask);
    }
    return outcome;
}

/* Finds the end of the next few rows after the cursor, removes those of them that are old, and
 * moves the cursor; at the end of the table it begins anew. */
static enum outcome prune_rows(struct store_sqlite *store, enum statement_name next_name,
                               enum statement_name prune_name, int64_t rows, int64_t until_ms,
                               char cursor[STORE_SQLITE_CURSOR_BYTES], struct error *ret_error)
{
    struct statement *next = database_statement(store->database, next_name);
    char last[STORE_SQLITE_CURSOR_BYTES] = "";
    statement_bind_text(next, 1, slice_of(cursor));
    statement_bind_integer(next, 2, rows);
    bool row = false;
    enum outcome outcome = statement_step(next, &row, ret_error);
    if (outcome != OUTCOME_OK || !row) {
        return outcome;
    }
    struct slice end = statement_text(next, 0);
    if (end.length < sizeof(last) && end.length > 0) {
        memcpy(last, end.data, end.length);
    }
    bool is_last = statement_integer(next, 1) < rows;
    statement_reset(next);
    if (last[0] != '\0') {
        struct statement *prune = database_statement(store->database, prune_name);
        statement_bind_text(prune, 1, slice_of(cursor));
        statement_bind_text(prune, 2, slice_of(last));
        statement_bind_integer(prune, 3, until_ms);
        outcome = statement_run(prune, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        memcpy(cursor, is_last ? "" : last, is_last ? 1 : sizeof(last));
    }
    return outcome;
}

enum outcome store_sqlite_prune(struct store *base, int64_t now_ms, struct error *ret_error)
{
    struct store_sqlite *store = store_sqlite_of(base);
    int64_t old_ms = now_ms - store->store.options.inbox_retention_ms;
    int64_t rows = 2 * store->applied;
    rows = rows < PRUNE_ROWS_MIN ? PRUNE_ROWS_MIN : rows > PRUNE_ROWS_MAX ? PRUNE_ROWS_MAX : rows;
    enum outcome outcome = store_sqlite_begin(store, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = store_sqlite_ask_for_tombstones(store, ret_error);
    }
    if (outcome == OUTCOME_OK && store->tombstones == TOMBSTONES_SOME) {
        outcome = prune_rows(store, NEXT_TOMBSTONES, PRUNE_TOMBSTONES, rows, old_ms,
                             store->tombstone_cursor, ret_error);
        store->tombstones = TOMBSTONES_UNKNOWN; /* the last one may be gone */
    }
    if (outcome == OUTCOME_OK) {
        outcome = prune_rows(store, NEXT_INBOX, PRUNE_INBOX, rows, old_ms, store->inbox_cursor,
                             ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = prune_rows(store, NEXT_SESSIONS, SWEEP_SESSIONS, rows, now_ms,
                             store->session_cursor, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        struct statement *prune = database_statement(store->database, PRUNE_ATTEMPTS);
        statement_bind_integer(prune, 1, old_ms);
        outcome = statement_run(prune, ret_error);
    }
    outcome = store_sqlite_end(store, outcome, ret_error);
    store->applied = outcome == OUTCOME_OK ? 0 : store->applied;
    return outcome;
}
