/* What runs in a transaction. */
#include "session-service/store/store_internal.h"
#include "session-service/store/store_statements.h"

#include "common/base/digest.h"

#include <stdlib.h>

enum {
    APPLICATION_ID = 0x53535631, /* "SSV1" */
    /* Of each table in one step: twice what came in since the last, so that an entry is gone after
     * one and a half times its retention, however many come; and some where nothing comes. */
    PRUNE_ROWS_MIN = 500,
    PRUNE_ROWS_MAX = 20000,
};

#define TEXT(name, sql) [name] = (sql),
static const char *const statements[STATEMENTS] = {STATEMENT_LIST(TEXT)};

enum outcome store_create(const struct store_options *options, struct store **ret_store,
                          struct error *ret_error)
{
    const struct database_options file = {
        .directory = options->directory,
        .file_name = STORE_FILE_NAME,
        .application_id = APPLICATION_ID,
        .migrations = store_migrations,
        .version = store_version,
        .statements = statements,
        .statement_count = STATEMENTS,
        .lock = options->lock,
    };
    struct store *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the store");
    }
    store->options = *options;
    enum outcome outcome = database_create(&file, &store->database, ret_error);
    if (outcome != OUTCOME_OK) {
        store_free(store);
        return outcome;
    }
    *ret_store = store;
    return OUTCOME_OK;
}

void store_free(struct store *store)
{
    if (store != NULL) {
        database_free(store->database);
    }
    free(store);
}

const char *store_directory(const struct store *store)
{
    return store->options.directory;
}

enum outcome store_open(struct store *store, struct error *ret_error)
{
    return database_open(store->database, ret_error);
}

enum outcome store_begin(struct store *store, struct error *ret_error)
{
    enum outcome outcome = database_in_place(store->database, ret_error);
    return outcome == OUTCOME_OK ? database_begin(store->database, ret_error) : outcome;
}

enum outcome store_end(struct store *store, enum outcome outcome, struct error *ret_error)
{
    if (outcome == OUTCOME_OK) {
        outcome = database_commit(store->database, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        database_rollback(store->database, outcome);
        store->tombstones = TOMBSTONES_UNKNOWN; /* the file that is opened next may be another */
    }
    return outcome;
}

static enum outcome compare_with_inbox(struct store *store, const struct store_event *event,
                                       const unsigned char hash[DIGEST_BYTES],
                                       enum store_result *ret_result, struct error *ret_error)
{
    struct statement *select = database_statement(store->database, SELECT_HASH);
    statement_bind_text(select, 1, event->message_id);
    bool found = false;
    enum outcome outcome = statement_step(select, &found, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    struct slice known = found ? statement_text(select, 0) : (struct slice){0};
    bool same = slice_equal(known, (struct slice){(const char *)hash, DIGEST_BYTES});
    statement_reset(select);
    *ret_result = same ? STORE_DUPLICATE : STORE_CONFLICT;
    return OUTCOME_OK;
}

/* Begins an event: *ret_effect says whether it is to take effect, *ret_order where its place is. */
static enum outcome enter_inbox(struct store *store, const struct store_event *event,
                                int64_t now_ms, struct store_order *ret_order,
                                struct store_effect *ret_effect, struct error *ret_error)
{
    *ret_order = store_order_of(event->message_id, event->saved_at_ms, now_ms,
                                store->options.clock_tolerance_ms);
    *ret_effect = (struct store_effect){.result = STORE_APPLIED, .ahead_ms = ret_order->ahead_ms};
    store->applied++;
    if (event->message_id.length == 0) {
        return OUTCOME_OK;
    }
    unsigned char hash[DIGEST_BYTES];
    enum outcome outcome = digest_of(event->payload, hash, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    struct statement *insert = database_statement(store->database, INSERT_INBOX);
    statement_bind_text(insert, 1, event->message_id);
    statement_bind_blob(insert, 2, hash, sizeof(hash));
    statement_bind_integer(insert, 3, now_ms);
    outcome = statement_run(insert, ret_error);
    if (outcome == OUTCOME_OK && database_changes(store->database) == 0) {
        return compare_with_inbox(store, event, hash, &ret_effect->result, ret_error);
    }
    return outcome;
}

/* Makes sure that store->tombstones is known. While there are any it stays so until pruning: that
 * the last one is gone is asked for once then, and not after each removal. */
static enum outcome ask_for_tombstones(struct store *store, struct error *ret_error)
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

static enum outcome hash_user(const struct store_event *event, char ret_hash[DIGEST_TEXT_BYTES],
                              struct error *ret_error)
{
    unsigned char digest[DIGEST_BYTES];
    enum outcome outcome = digest_of(event->user_key, digest, ret_error);
    if (outcome == OUTCOME_OK) {
        digest_text(digest, ret_hash);
    }
    return outcome;
}

/* Binds where the place of a change is, as IS_AFTER reads it. */
static void bind_order(struct statement *statement, struct slice key,
                       const struct store_event *event, const struct store_order *order)
{
    statement_bind_text(statement, 1, key);
    statement_bind_integer(statement, 2, order->rank_ms);
    statement_bind_text(statement, 3, event->message_id);
    statement_bind_integer(statement, 4, order->latest_ms);
    statement_bind_integer(statement, 5, order->id_is_ours);
}

static void bind_floor(struct statement *statement, const struct store_order *order)
{
    if (order->by_arrival) {
        statement_bind_integer(statement, 6, order->floor_ms);
    }
}

/* Runs a statement that removes what the event is later than, and returns its time. */
static enum outcome replace(struct store *store, enum statement_name name, struct slice key,
                            const struct store_event *event, struct store_order *order,
                            struct error *ret_error)
{
    struct statement *statement = database_statement(store->database, name);
    bind_order(statement, key, event, order);
    bool row = false;
    enum outcome outcome = statement_step(statement, &row, ret_error);
    if (outcome == OUTCOME_OK && row) {
        store_order_replaces(order, statement_integer(statement, 0));
        statement_reset(statement);
    }
    return outcome;
}

/* The user's state is below no tombstone that it has replaced. */
static enum outcome raise_floor(struct store *store, const struct store_event *event,
                                const struct store_order *order, struct error *ret_error)
{
    struct statement *raise = database_statement(store->database, RAISE_FLOOR);
    statement_bind_text(raise, 1, event->user_key);
    statement_bind_integer(raise, 2, order->floor_ms);
    return statement_run(raise, ret_error);
}

/* A user who was not there has been saved: that ends an older deletion, and has no effect where the
 * deletion is newer. */
static enum outcome compare_with_tombstone(struct store *store, const struct store_event *event,
                                           struct store_order *order, struct store_effect *effect,
                                           struct error *ret_error)
{
    char hash[DIGEST_TEXT_BYTES];
    int64_t floor_ms = order->floor_ms;
    enum outcome outcome = hash_user(event, hash, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = replace(store, DELETE_TOMBSTONE, slice_of(hash), event, order, ret_error);
    }
    if (outcome == OUTCOME_OK && order->by_arrival && order->floor_ms > floor_ms) {
        return raise_floor(store, event, order, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        struct statement *remove = database_statement(store->database, DELETE_BURIED_USER);
        statement_bind_text(remove, 1, event->user_key);
        statement_bind_text(remove, 2, slice_of(hash));
        outcome = statement_run(remove, ret_error);
    }
    if (outcome == OUTCOME_OK && database_changes(store->database) > 0) {
        effect->session_opened = effect->user_changed = false;
    }
    return outcome;
}

static void bind_state(struct statement *upsert, const struct store *store,
                       const struct store_event *event, const struct store_order *order,
                       struct slice session_id, int64_t now_ms)
{
    bind_order(upsert, event->user_key, event, order);
    bind_floor(upsert, order);
    statement_bind_integer(upsert, 7, order->saved_at_ms);
    statement_bind_integer(upsert, 8, event->message_id.length > 0);
    statement_bind_text(upsert, 9, session_id);
    statement_bind_integer(upsert, 10, now_ms);
    statement_bind_integer(upsert, 11, now_ms + store->options.session_ttl_ms);
    statement_bind_text(upsert, 12, event->body);
}

static enum outcome upsert_user(struct store *store, const struct store_event *event,
                                int64_t now_ms, struct store_order *order,
                                struct store_effect *effect, struct error *ret_error)
{
    char session_id[MESSAGE_ID_TEXT_BYTES];
    enum outcome outcome =
        message_id_generate(&store->ids, (uint64_t)now_ms, session_id, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = ask_for_tombstones(store, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    bool counts = store->tombstones != TOMBSTONES_NONE;
    struct statement *upsert =
        database_statement(store->database, counts ? UPSERT_USER_AND_COUNT : UPSERT_USER);
    bind_state(upsert, store, event, order, slice_of(session_id), now_ms);
    bool row = false;
    bool may_be_new = false; /* one who is there has more saves, or had none with an id */
    outcome = statement_step(upsert, &row, ret_error);
    if (outcome == OUTCOME_OK && row) {
        effect->session_opened = statement_integer(upsert, 0) != 0;
        effect->user_changed = statement_integer(upsert, 1) != 0;
        may_be_new = counts && effect->session_opened && statement_integer(upsert, 2) <= 1;
        statement_reset(upsert);
    }
    return may_be_new ? compare_with_tombstone(store, event, order, effect, ret_error) : outcome;
}

enum outcome store_save_user(struct store *store, const struct store_event *event, int64_t now_ms,
                             struct store_effect *ret_effect, struct error *ret_error)
{
    struct store_order order;
    enum outcome outcome = enter_inbox(store, event, now_ms, &order, ret_effect, ret_error);
    if (outcome == OUTCOME_OK && ret_effect->result == STORE_APPLIED) {
        outcome = upsert_user(store, event, now_ms, &order, ret_effect, ret_error);
    }
    return outcome;
}

static enum outcome bury_user(struct store *store, const struct store_event *event, int64_t now_ms,
                              struct store_order *order, struct store_effect *effect,
                              struct error *ret_error)
{
    char hash[DIGEST_TEXT_BYTES];
    enum outcome outcome = hash_user(event, hash, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = replace(store, DELETE_USER, event->user_key, event, order, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        struct statement *insert = database_statement(store->database, INSERT_TOMBSTONE);
        bind_order(insert, event->user_key, event, order);
        bind_floor(insert, order);
        statement_bind_text(insert, 7, slice_of(hash));
        statement_bind_integer(insert, 8, now_ms);
        store->tombstones = TOMBSTONES_SOME;
        outcome = statement_run(insert, ret_error);
        effect->user_changed = outcome == OUTCOME_OK && database_changes(store->database) > 0;
    }
    return outcome;
}

enum outcome store_delete_user(struct store *store, const struct store_event *event, int64_t now_ms,
                               struct store_effect *ret_effect, struct error *ret_error)
{
    struct store_order order;
    enum outcome outcome = enter_inbox(store, event, now_ms, &order, ret_effect, ret_error);
    if (outcome == OUTCOME_OK && ret_effect->result == STORE_APPLIED) {
        outcome = bury_user(store, event, now_ms, &order, ret_effect, ret_error);
    }
    return outcome;
}

/* Finds the end of the next few rows after the cursor, removes those of them that are old, and
 * moves the cursor; at the end of the table it begins anew. */
static enum outcome prune_rows(struct store *store, enum statement_name next_name,
                               enum statement_name prune_name, int64_t rows, int64_t until_ms,
                               char cursor[STORE_CURSOR_BYTES], struct error *ret_error)
{
    struct statement *next = database_statement(store->database, next_name);
    char last[STORE_CURSOR_BYTES] = "";
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

enum outcome store_prune(struct store *store, int64_t now_ms, struct error *ret_error)
{
    int64_t old_ms = now_ms - store->options.inbox_retention_ms;
    int64_t rows = 2 * store->applied;
    rows = rows < PRUNE_ROWS_MIN ? PRUNE_ROWS_MIN : rows > PRUNE_ROWS_MAX ? PRUNE_ROWS_MAX : rows;
    enum outcome outcome = store_begin(store, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = ask_for_tombstones(store, ret_error);
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
    outcome = store_end(store, outcome, ret_error);
    store->applied = outcome == OUTCOME_OK ? 0 : store->applied;
    return outcome;
}
