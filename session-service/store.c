/* The schema, and the statements of a transaction. */
#include "session-service/store.h"

#include "common/database.h"
#include "common/digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Of each table in one step: twice what came in since the last, so that an entry is gone after
     * one and a half times its retention, however many come; and some where nothing comes. */
    TEND_ROWS_MIN = 500,
    TEND_ROWS_MAX = 20000,
    CURSOR_BYTES = 129,
};

/* Few trees, because they are what a message costs: a user has one row, with the open session in
 * it, and the inbox is one tree. `sessions` is how the session's part is read. */
static const char *const migrations[] = {
    "CREATE TABLE inbox ("
    " message_id TEXT NOT NULL PRIMARY KEY,"
    " payload_hash BLOB NOT NULL," /* SHA-256 of the body */
    " handled_at_ms INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE users ("
    " user_id TEXT NOT NULL PRIMARY KEY," /* the id; 'email:...' or 'sha256:...' without one */
    " body TEXT NOT NULL,"
    " saved_at_ms INTEGER NOT NULL,"
    " message_id TEXT NOT NULL," /* '' where the message had none */
    " saves INTEGER NOT NULL,"   /* messages with an id that took effect */
    " session_id TEXT,"
    " opened_at_ms INTEGER,"
    " extended_at_ms INTEGER,"
    " expires_at_ms INTEGER,"
    " session_saves INTEGER) WITHOUT ROWID;"
    "CREATE UNIQUE INDEX users_by_session ON users (session_id) WHERE session_id IS NOT NULL;"
    "CREATE VIEW sessions AS SELECT session_id AS id, user_id, opened_at_ms, extended_at_ms,"
    " expires_at_ms, session_saves AS saves FROM users WHERE session_id IS NOT NULL;"
    "CREATE TABLE attempts ("
    " key TEXT NOT NULL PRIMARY KEY,"
    " count INTEGER NOT NULL,"
    " at_ms INTEGER NOT NULL) WITHOUT ROWID;",
    /* The body last: what stands behind a large one is only found by reading all of it. */
    "CREATE TABLE users_2 ("
    " user_id TEXT NOT NULL PRIMARY KEY,"
    " saved_at_ms INTEGER NOT NULL,"
    " message_id TEXT NOT NULL,"
    " saves INTEGER NOT NULL,"
    " session_id TEXT,"
    " opened_at_ms INTEGER,"
    " extended_at_ms INTEGER,"
    " expires_at_ms INTEGER,"
    " session_saves INTEGER,"
    " body TEXT NOT NULL) WITHOUT ROWID;"
    "INSERT INTO users_2 SELECT user_id, saved_at_ms, message_id, saves, session_id, opened_at_ms,"
    " extended_at_ms, expires_at_ms, session_saves, body FROM users;"
    "DROP VIEW sessions;"
    "DROP TABLE users;"
    "ALTER TABLE users_2 RENAME TO users;"
    "CREATE UNIQUE INDEX users_by_session ON users (session_id) WHERE session_id IS NOT NULL;"
    "CREATE VIEW sessions AS SELECT session_id AS id, user_id, opened_at_ms, extended_at_ms,"
    " expires_at_ms, session_saves AS saves FROM users WHERE session_id IS NOT NULL;",
};

enum statement_name {
    INSERT_INBOX,
    SELECT_HASH,
    UPSERT_USER,
    COUNT_ATTEMPT,
    FORGET_ATTEMPTS,
    NEXT_INBOX,
    PRUNE_INBOX,
    NEXT_SESSIONS,
    SWEEP_SESSIONS,
    PRUNE_ATTEMPTS,
    STATEMENTS
};

#define IS_NEWER "(excluded.saved_at_ms, excluded.message_id) >= (saved_at_ms, message_id)"
#define IS_OPEN "expires_at_ms > excluded.extended_at_ms"

static const char *const statements[STATEMENTS] = {
    [INSERT_INBOX] = "INSERT INTO inbox VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    [SELECT_HASH] = "SELECT payload_hash FROM inbox WHERE message_id = ?1",
    [UPSERT_USER] =
        "INSERT INTO users VALUES (?1, ?3, ?4, ?5, ?6, ?7, ?7, ?8, 1, ?2)"
        " ON CONFLICT DO UPDATE SET"
        " body = CASE WHEN " IS_NEWER " THEN excluded.body ELSE body END,"
        " message_id = CASE WHEN " IS_NEWER " THEN excluded.message_id ELSE message_id END,"
        " saved_at_ms = max(saved_at_ms, excluded.saved_at_ms),"
        " saves = saves + excluded.saves,"
        " session_id = CASE WHEN " IS_OPEN " THEN session_id ELSE excluded.session_id END,"
        " opened_at_ms = CASE WHEN " IS_OPEN " THEN opened_at_ms ELSE excluded.opened_at_ms END,"
        " session_saves = CASE WHEN " IS_OPEN " THEN session_saves + 1 ELSE 1 END,"
        " extended_at_ms = excluded.extended_at_ms,"
        " expires_at_ms = excluded.expires_at_ms"
        " RETURNING session_saves = 1, (saved_at_ms, message_id) = (?3, ?4)",
    [COUNT_ATTEMPT] = "INSERT INTO attempts VALUES (?1, 1, ?2)"
                      " ON CONFLICT DO UPDATE SET count = count + 1, at_ms = excluded.at_ms"
                      " RETURNING count",
    [FORGET_ATTEMPTS] = "DELETE FROM attempts WHERE key = ?1",
    [NEXT_INBOX] = "SELECT max(message_id), count(*) FROM (SELECT message_id FROM inbox"
                   " WHERE message_id > ?1 ORDER BY message_id LIMIT ?2)",
    [PRUNE_INBOX] = "DELETE FROM inbox WHERE message_id > ?1 AND message_id <= ?2"
                    " AND handled_at_ms <= ?3",
    [NEXT_SESSIONS] = "SELECT max(session_id), count(*) FROM (SELECT session_id FROM users"
                      " WHERE session_id > ?1 ORDER BY session_id LIMIT ?2)",
    [SWEEP_SESSIONS] = "UPDATE users SET session_id = NULL, opened_at_ms = NULL,"
                       " extended_at_ms = NULL, expires_at_ms = NULL, session_saves = NULL"
                       " WHERE session_id > ?1 AND session_id <= ?2 AND expires_at_ms <= ?3",
    [PRUNE_ATTEMPTS] = "DELETE FROM attempts WHERE at_ms <= ?1",
};

struct store {
    struct store_options options;
    char path[STORE_PATH_BYTES];
    struct database *database; /* NULL: not open */
    struct statement *statements[STATEMENTS];
    bool in_transaction;
    struct message_id_generator ids;
    int64_t applied;                                               /* since the last tending */
    char inbox_cursor[CURSOR_BYTES], session_cursor[CURSOR_BYTES]; /* where tending goes on */
};

enum outcome store_create(const struct store_options *options, struct store **ret_store,
                          struct error *ret_error)
{
    struct store *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the store");
    }
    store->options = *options;
    int length =
        snprintf(store->path, sizeof(store->path), "%s/session-service.db", options->directory);
    if (length < 0 || (size_t)length >= sizeof(store->path)) {
        free(store);
        return error_set(ret_error, OUTCOME_INVALID, "the path of the state directory is too long");
    }
    *ret_store = store;
    return OUTCOME_OK;
}

static void close_file(struct store *store)
{
    database_close(store->database);
    store->database = NULL;
    store->in_transaction = false;
}

void store_free(struct store *store)
{
    if (store != NULL) {
        close_file(store);
    }
    free(store);
}

static struct database_options file_options(const struct store *store, bool second)
{
    return (struct database_options){
        .path = store->path,
        .application_id = STORE_APPLICATION_ID,
        .migrations = migrations,
        .version = sizeof(migrations) / sizeof(migrations[0]),
        .statements = statements,
        .statement_count = STATEMENTS,
        .second = second,
    };
}

enum outcome store_open(struct store *store, struct error *ret_error)
{
    if (store->database != NULL) {
        return OUTCOME_OK;
    }
    const struct database_options options = file_options(store, false);
    enum outcome outcome = database_open(&options, &store->database, ret_error);
    for (size_t i = 0; outcome == OUTCOME_OK && i < STATEMENTS; i++) {
        outcome =
            database_prepare(store->database, statements[i], &store->statements[i], ret_error);
    }
    if (outcome != OUTCOME_OK) {
        close_file(store);
    }
    return outcome;
}

enum outcome store_open_second(const struct store *store, struct database **ret_database,
                               struct error *ret_error)
{
    const struct database_options options = file_options(store, true);
    return database_open(&options, ret_database, ret_error);
}

enum outcome store_begin(struct store *store, struct error *ret_error)
{
    enum outcome outcome = store_open(store, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    outcome = database_execute(store->database, "BEGIN IMMEDIATE", ret_error);
    store->in_transaction = outcome == OUTCOME_OK;
    return outcome;
}

enum outcome store_commit(struct store *store, struct error *ret_error)
{
    enum outcome outcome = database_execute(store->database, "COMMIT", ret_error);
    if (outcome == OUTCOME_OK) {
        store->in_transaction = false;
    }
    return outcome;
}

void store_rollback(struct store *store, enum outcome why)
{
    if (store->database == NULL) {
        return;
    }
    for (size_t i = 0; i < STATEMENTS; i++) {
        statement_reset(store->statements[i]);
    }
    bool in_doubt = why == OUTCOME_BROKEN || why == OUTCOME_INVALID;
    /* Some failures have ended the transaction themselves; closing ends any. */
    if (!in_doubt && store->in_transaction && !database_is_idle(store->database)) {
        in_doubt = database_execute(store->database, "ROLLBACK", NULL) != OUTCOME_OK;
    }
    store->in_transaction = false;
    if (in_doubt) {
        close_file(store);
    }
}

static enum outcome compare_with_inbox(struct store *store, const struct store_event *event,
                                       const unsigned char hash[DIGEST_BYTES],
                                       enum store_result *ret_result, struct error *ret_error)
{
    struct statement *select = store->statements[SELECT_HASH];
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

static enum outcome enter_inbox(struct store *store, const struct store_event *event,
                                int64_t now_ms, enum store_result *ret_result,
                                struct error *ret_error)
{
    unsigned char hash[DIGEST_BYTES];
    enum outcome outcome = digest_of(event->body, hash, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    struct statement *insert = store->statements[INSERT_INBOX];
    statement_bind_text(insert, 1, event->message_id);
    statement_bind_blob(insert, 2, hash, sizeof(hash));
    statement_bind_integer(insert, 3, now_ms);
    outcome = statement_run(insert, ret_error);
    if (outcome == OUTCOME_OK && database_changes(store->database) == 0) {
        return compare_with_inbox(store, event, hash, ret_result, ret_error);
    }
    *ret_result = STORE_APPLIED;
    return outcome;
}

static enum outcome save_user(struct store *store, const struct store_event *event, int64_t now_ms,
                              struct store_effect *effect, struct error *ret_error)
{
    char session_id[MESSAGE_ID_TEXT_BYTES];
    enum outcome outcome =
        message_id_generate(&store->ids, (uint64_t)now_ms, session_id, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    struct statement *upsert = store->statements[UPSERT_USER];
    statement_bind_text(upsert, 1, event->user_key);
    statement_bind_text(upsert, 2, event->body);
    statement_bind_integer(upsert, 3, event->saved_at_ms);
    statement_bind_text(upsert, 4, event->message_id);
    statement_bind_integer(upsert, 5, event->message_id.length > 0);
    statement_bind_text(upsert, 6, slice_of(session_id));
    statement_bind_integer(upsert, 7, now_ms);
    statement_bind_integer(upsert, 8, now_ms + store->options.session_ttl_ms);
    bool row = false;
    outcome = statement_step(upsert, &row, ret_error);
    if (outcome == OUTCOME_OK && row) {
        effect->session_opened = statement_integer(upsert, 0) != 0;
        effect->user_changed = statement_integer(upsert, 1) != 0;
        statement_reset(upsert);
    }
    return outcome;
}

enum outcome store_apply(struct store *store, const struct store_event *event, int64_t now_ms,
                         struct store_effect *ret_effect, struct error *ret_error)
{
    *ret_effect = (struct store_effect){.result = STORE_APPLIED};
    store->applied++;
    if (event->message_id.length > 0) {
        enum outcome outcome = enter_inbox(store, event, now_ms, &ret_effect->result, ret_error);
        if (outcome != OUTCOME_OK || ret_effect->result != STORE_APPLIED) {
            return outcome;
        }
    }
    return save_user(store, event, now_ms, ret_effect, ret_error);
}

enum outcome store_count_attempt(struct store *store, struct slice key, int64_t now_ms,
                                 int64_t *ret_count, struct error *ret_error)
{
    enum outcome outcome = store_begin(store, ret_error);
    if (outcome == OUTCOME_OK) {
        struct statement *count = store->statements[COUNT_ATTEMPT];
        statement_bind_text(count, 1, key);
        statement_bind_integer(count, 2, now_ms);
        bool row = false;
        outcome = statement_step(count, &row, ret_error);
        if (outcome == OUTCOME_OK && row) {
            *ret_count = statement_integer(count, 0);
            statement_reset(count);
        }
    }
    if (outcome == OUTCOME_OK) {
        outcome = store_commit(store, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        store_rollback(store, outcome);
    }
    return outcome;
}

enum outcome store_forget_attempts(struct store *store, struct slice key, struct error *ret_error)
{
    struct statement *forget = store->statements[FORGET_ATTEMPTS];
    statement_bind_text(forget, 1, key);
    return statement_run(forget, ret_error);
}

/* Finds the end of the next few rows after the cursor, has them judged, and moves the cursor; at
 * the end it begins anew. */
static enum outcome tend_rows(struct store *store, enum statement_name next_name,
                              enum statement_name judge_name, int64_t rows, int64_t until_ms,
                              char cursor[CURSOR_BYTES], struct error *ret_error)
{
    struct statement *next = store->statements[next_name];
    char last[CURSOR_BYTES] = "";
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
        struct statement *judge = store->statements[judge_name];
        statement_bind_text(judge, 1, slice_of(cursor));
        statement_bind_text(judge, 2, slice_of(last));
        statement_bind_integer(judge, 3, until_ms);
        outcome = statement_run(judge, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        memcpy(cursor, is_last ? "" : last, is_last ? 1 : sizeof(last));
    }
    return outcome;
}

enum outcome store_tend(struct store *store, int64_t now_ms, struct error *ret_error)
{
    int64_t old_ms = now_ms - store->options.inbox_retention_ms;
    int64_t rows = 2 * store->applied;
    rows = rows < TEND_ROWS_MIN ? TEND_ROWS_MIN : rows > TEND_ROWS_MAX ? TEND_ROWS_MAX : rows;
    enum outcome outcome = store_begin(store, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome =
            tend_rows(store, NEXT_INBOX, PRUNE_INBOX, rows, old_ms, store->inbox_cursor, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = tend_rows(store, NEXT_SESSIONS, SWEEP_SESSIONS, rows, now_ms,
                            store->session_cursor, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        struct statement *prune = store->statements[PRUNE_ATTEMPTS];
        statement_bind_integer(prune, 1, old_ms);
        outcome = statement_run(prune, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = store_commit(store, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        store->applied = 0;
    }
    if (outcome != OUTCOME_OK) {
        store_rollback(store, outcome);
    }
    return outcome;
}
