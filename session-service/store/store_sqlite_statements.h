/* The SQL that runs in the store's transactions, and a name for each statement. */
#pragma once

/* What bind_order() binds: ?2 is the rank, ?3 the message id, ?4 the latest time that is believed,
 * ?5 whether the id is ours. At one time the later arrival is the later one, unless both ids are
 * ours: these have their time and version in the same first 15 characters. */
#define IS_AFTER(time)                                                                             \
    "(?2 > " time " OR " time " > ?4 OR (?2 = " time                                               \
    " AND (NOT ?5 OR ?3 >= message_id OR substr(message_id, 1, 15) <> substr(?3, 1, 15))))"
/* ?6 is the floor, NULL where the change has its place by its time. */
#define FLOOR(time) "CASE WHEN " time " > ?4 THEN ?6 ELSE max(?6, " time ") END"
#define TOMBSTONE_TIME "coalesce(" FLOOR("deleted_at_ms") ", ?2)"
#define IS_AFTER_TOMBSTONE IS_AFTER("deleted_at_ms")

#define USER_TIME "coalesce(floor_ms, saved_at_ms)"
#define USER_FLOOR FLOOR(USER_TIME)
#define IS_NEWER IS_AFTER(USER_TIME)
#define IS_OPEN "expires_at_ms > excluded.extended_at_ms"
/* A clock that was set back does not take back what an open session has had. */
#define EXTENDED_AT "max(excluded.extended_at_ms, iif(" IS_OPEN ", extended_at_ms, 0))"

#define UPSERT                                                                                     \
    "INSERT INTO users VALUES (?1, ?7, ?3, ?8, ?9, ?10, ?10, ?11, 1, ?12, ?6)"                     \
    " ON CONFLICT DO UPDATE SET"                                                                   \
    " body = CASE WHEN " IS_NEWER " THEN excluded.body ELSE body END,"                             \
    " message_id = CASE WHEN " IS_NEWER " THEN excluded.message_id ELSE message_id END,"           \
    " saved_at_ms = CASE WHEN " IS_NEWER " THEN excluded.saved_at_ms ELSE saved_at_ms END,"        \
    " floor_ms = CASE WHEN " IS_NEWER " THEN " USER_FLOOR " ELSE floor_ms END,"                    \
    " saves = saves + excluded.saves,"                                                             \
    " session_id = CASE WHEN " IS_OPEN " THEN session_id ELSE excluded.session_id END,"            \
    " opened_at_ms = CASE WHEN " IS_OPEN " THEN opened_at_ms ELSE excluded.opened_at_ms END,"      \
    " session_saves = CASE WHEN " IS_OPEN " THEN session_saves + 1 ELSE 1 END,"                    \
    " extended_at_ms = " EXTENDED_AT ","                                                           \
    " expires_at_ms = " EXTENDED_AT " + excluded.expires_at_ms - excluded.extended_at_ms"          \
    " RETURNING session_saves = 1, (saved_at_ms, message_id) = (?7, ?3)"

#define STATEMENT_LIST(STATEMENT)                                                                  \
    STATEMENT(INSERT_INBOX, "INSERT INTO inbox VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")        \
    STATEMENT(SELECT_HASH, "SELECT payload_hash FROM inbox WHERE message_id = ?1")                 \
    STATEMENT(UPSERT_USER, UPSERT)                                                                 \
    STATEMENT(UPSERT_USER_AND_COUNT, UPSERT ", saves") /* how many saves the user has */           \
    STATEMENT(DELETE_USER,                                                                         \
              "DELETE FROM users WHERE user_id = ?1 AND " IS_NEWER " RETURNING " USER_TIME)        \
    /* DELETE_USER has run: a user who is there is newer. */                                       \
    STATEMENT(INSERT_TOMBSTONE,                                                                    \
              "INSERT INTO tombstones SELECT ?7, coalesce(?6, ?2), ?3, ?8"                         \
              " WHERE NOT EXISTS (SELECT 1 FROM users WHERE user_id = ?1)"                         \
              " ON CONFLICT DO UPDATE SET deleted_at_ms = " TOMBSTONE_TIME ", message_id = ?3,"    \
              " handled_at_ms = ?8 WHERE " IS_AFTER_TOMBSTONE)                                     \
    STATEMENT(HAS_TOMBSTONES, "SELECT EXISTS (SELECT 1 FROM tombstones)")                          \
    STATEMENT(DELETE_TOMBSTONE,                                                                    \
              "DELETE FROM tombstones WHERE user_hash = ?1 AND " IS_AFTER_TOMBSTONE                \
              " RETURNING deleted_at_ms")                                                          \
    STATEMENT(DELETE_BURIED_USER, "DELETE FROM users WHERE user_id = ?1"                           \
                                  " AND EXISTS (SELECT 1 FROM tombstones WHERE user_hash = ?2)")   \
    STATEMENT(RAISE_FLOOR, "UPDATE users SET floor_ms = ?2 WHERE user_id = ?1")                    \
    STATEMENT(ACCUSE, "INSERT INTO attempts VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET"         \
                      " count = count + excluded.count, at_ms = excluded.at_ms")                   \
    STATEMENT(FIND_ATTEMPTS, "SELECT count FROM attempts WHERE key = ?1")                          \
    STATEMENT(FORGET_ATTEMPTS, "DELETE FROM attempts WHERE key = ?1")                              \
    STATEMENT(NEXT_INBOX, "SELECT max(message_id), count(*) FROM (SELECT message_id FROM inbox"    \
                          " WHERE message_id > ?1 ORDER BY message_id LIMIT ?2)")                  \
    STATEMENT(PRUNE_INBOX, "DELETE FROM inbox WHERE message_id > ?1 AND message_id <= ?2"          \
                           " AND handled_at_ms <= ?3")                                             \
    STATEMENT(NEXT_SESSIONS, "SELECT max(session_id), count(*) FROM (SELECT session_id FROM users" \
                             " WHERE session_id > ?1 ORDER BY session_id LIMIT ?2)")               \
    STATEMENT(SWEEP_SESSIONS,                                                                      \
              "UPDATE users SET session_id = NULL, opened_at_ms = NULL,"                           \
              " extended_at_ms = NULL, expires_at_ms = NULL, session_saves = NULL"                 \
              " WHERE session_id > ?1 AND session_id <= ?2 AND expires_at_ms <= ?3")               \
    STATEMENT(PRUNE_ATTEMPTS, "DELETE FROM attempts WHERE at_ms <= ?1")                            \
    STATEMENT(NEXT_TOMBSTONES,                                                                     \
              "SELECT max(user_hash), count(*) FROM (SELECT user_hash FROM tombstones"             \
              " WHERE user_hash > ?1 ORDER BY user_hash LIMIT ?2)")                                \
    STATEMENT(PRUNE_TOMBSTONES, "DELETE FROM tombstones WHERE user_hash > ?1 AND user_hash <= ?2"  \
                                " AND handled_at_ms <= ?3")

#define NAME(name, sql) name,
enum statement_name { STATEMENT_LIST(NAME) STATEMENTS };
