/* What is in the store's file, and how it came to be. */
#include "session-service/store/store_sqlite_internal.h"

/* Few trees, because they are what a message costs: a user has one row, with the open session in
 * it, and the inbox is one tree. `sessions` is how the session's part is read. The steps of a
 * change are said in common/database/database.h. */
const char *const store_sqlite_migrations[] = {
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
    "CREATE TABLE tombstones ("
    " user_hash TEXT NOT NULL PRIMARY KEY," /* SHA-256 of the user_id, which may be an address */
    " deleted_at_ms INTEGER NOT NULL,"
    " message_id TEXT NOT NULL,"
    " handled_at_ms INTEGER NOT NULL) WITHOUT ROWID;",
    /* The floor of store_order.h where the state has its place by its arrival, and else NULL, which
     * costs nothing behind the body. A tombstone has it in deleted_at_ms. */
    "ALTER TABLE users ADD COLUMN floor_ms INTEGER;",
};
const int store_sqlite_version =
    (int)(sizeof(store_sqlite_migrations) / sizeof(store_sqlite_migrations[0]));
