/* Removes what is old in bounded steps, in one of the session-services at a time. */
#include "session-service/store/store_postgres_connection.h"
#include "session-service/store/store_postgres_internal.h"
#include "session-service/store/store_postgres_upkeep.h"

#include <string.h>

enum {
    PRUNE_ROWS_MIN = 500,
    PRUNE_ROWS_MAX = 20000,
    /* So much longer rows are left to the owner of the partitions, who may drop them whole. */
    OF_OTHERS_MS = 2 * 24 * 3600 * 1000,
};

static enum outcome send_step(struct store_postgres *store, enum postgres_statement name,
                              const char *cursor, int64_t rows, int64_t until_ms,
                              struct error *ret_error)
{
    struct postgres_values values = {.count = 0};
    postgres_add_text(&values, slice_of(cursor));
    postgres_add_integer(&values, rows);
    postgres_add_integer(&values, until_ms);
    return postgres_send(store->postgres, name, &values, ret_error);
}

/* At the end of the table it begins anew. */
static enum outcome take_step(struct store_postgres *store, int64_t rows,
                              char ret_cursor[POSTGRES_CURSOR_BYTES], struct error *ret_error)
{
    PGresult *result = NULL;
    enum outcome outcome = postgres_next(store->postgres, &result, ret_error);
    if (outcome == OUTCOME_OK) {
        struct slice last = postgres_field(result, 0, 0);
        bool goes_on =
            postgres_field_integer(result, 0, 1) >= rows && last.length < POSTGRES_CURSOR_BYTES;
        memset(ret_cursor, '\0', POSTGRES_CURSOR_BYTES);
        if (goes_on && last.length > 0) {
            memcpy(ret_cursor, last.data, last.length);
        }
    }
    PQclear(result);
    return outcome;
}

static enum outcome send_steps(struct store_postgres *store, int64_t rows, int64_t now_ms,
                               struct error *ret_error)
{
    int64_t old_ms = now_ms - store->store.options.inbox_retention_ms;
    int64_t grace_ms = store->postgres->inbox == POSTGRES_INBOX_OF_OTHERS ? OF_OTHERS_MS : 0;
    struct postgres_values values = {.count = 0};
    postgres_add_integer(&values, old_ms);
    enum outcome outcome = send_step(store, POSTGRES_PRUNE_TOMBSTONES, store->tombstone_cursor,
                                     rows, old_ms, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = send_step(store, POSTGRES_PRUNE_INBOX, store->inbox_cursor, rows,
                            old_ms - grace_ms, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = send_step(store, POSTGRES_SWEEP_SESSIONS, store->session_cursor, rows, now_ms,
                            ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = postgres_send(store->postgres, POSTGRES_PRUNE_ATTEMPTS, &values, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = postgres_send(store->postgres, POSTGRES_COMMIT, NULL, ret_error);
    }
    return outcome == OUTCOME_OK ? postgres_sync(store->postgres, ret_error) : outcome;
}

static enum outcome take_steps(struct store_postgres *store, int64_t rows, struct error *ret_error)
{
    enum outcome outcome = take_step(store, rows, store->tombstone_cursor, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = take_step(store, rows, store->inbox_cursor, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = take_step(store, rows, store->session_cursor, ret_error);
    }
    for (int i = 0; outcome == OUTCOME_OK && i < 2; i++) { /* the attempts, and the commit */
        outcome = postgres_next(store->postgres, NULL, ret_error);
    }
    return outcome == OUTCOME_OK ? postgres_end(store->postgres, ret_error) : outcome;
}

/* *ret_has: no other session-service prunes. */
static enum outcome begin_pruning(struct store_postgres *store, bool *ret_has,
                                  struct error *ret_error)
{
    struct postgres *postgres = store->postgres;
    PGresult *result = NULL;
    enum outcome outcome = postgres_send(postgres, POSTGRES_BEGIN, NULL, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = postgres_send(postgres, POSTGRES_TRY_PRUNING_LOCK, NULL, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = postgres_sync(postgres, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = postgres_next(postgres, NULL, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = postgres_next(postgres, &result, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        struct slice has = postgres_field(result, 0, 0);
        *ret_has = has.length == 1 && has.data[0] != '\0';
        outcome = postgres_end(postgres, ret_error);
    }
    PQclear(result);
    return outcome;
}

enum outcome store_postgres_prune(struct store *base, int64_t now_ms, struct error *ret_error)
{
    struct store_postgres *store = store_postgres_of(base);
    int64_t rows = 2 * store->applied;
    rows = rows < PRUNE_ROWS_MIN ? PRUNE_ROWS_MIN : rows > PRUNE_ROWS_MAX ? PRUNE_ROWS_MAX : rows;
    enum outcome outcome = store_postgres_begin(store, 0, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    bool has_lock = false;
    outcome = begin_pruning(store, &has_lock, ret_error);
    if (outcome == OUTCOME_OK && !has_lock) {
        return store_postgres_end(
            store, postgres_run(store->postgres, POSTGRES_ROLLBACK, NULL, NULL, ret_error));
    }
    if (outcome == OUTCOME_OK) {
        outcome = send_steps(store, rows, now_ms, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = take_steps(store, rows, ret_error);
    }
    store->applied = outcome == OUTCOME_OK ? 0 : store->applied;
    if (outcome == OUTCOME_OK) {
        store_postgres_see_to_partitions(store, now_ms);
        return OUTCOME_OK;
    }
    return store_postgres_end(store, outcome);
}
