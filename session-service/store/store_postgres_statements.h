/* The SQL that runs over the connections to PostgreSQL, and a name for each statement.
 *
 * Rows come as arrays, one for each column. What writes many rows is given them in the order of
 * their keys. All texts have COLLATE "C", whose order is that of memcmp(). */
#pragma once

#define POSTGRES_SCHEMA "session_service"

/* Any numbers, the same for all that share a database. */
#define POSTGRES_PRUNING_LOCK "7310316031"
#define POSTGRES_MIGRATION_LOCK "7310316032"
/* Each connection of a session-service shares it; an import has it alone. */
#define POSTGRES_USE_LOCK "7310316033"

#define POSTGRES_NO_SESSION                                                                        \
    "session_id = NULL, opened_at_ms = NULL, extended_at_ms = NULL, expires_at_ms = NULL,"         \
    " session_saves = NULL"
#define POSTGRES_SESSION "id, user_id, opened_at_ms, extended_at_ms, expires_at_ms, saves"

/* The first 8 bytes of the SHA-256 of the user's key, as a number: what a user is locked by. */
#define POSTGRES_USER_LOCK                                                                         \
    "('x' || left(encode(sha256(convert_to(user_id, 'UTF8')), 'hex'), 16))::bit(64)::int8"

/* What is behind `cursor` in a table of which rows are removed or changed in steps. The old ones of
 * it are asked for as an array: joined with the table, they would have the whole of it read where
 * its statistics say so. */
#define POSTGRES_NEXT(table, key, at_ms)                                                           \
    "WITH next AS (SELECT " key " AS key, " at_ms " AS at_ms FROM " table " WHERE " key            \
    " > $1::text ORDER BY " key " LIMIT $2::int8), old AS "
#define POSTGRES_OLD " = ANY (ARRAY(SELECT key FROM next WHERE at_ms <= $3::int8))"
#define POSTGRES_NEXT_END " SELECT max(key), count(*) FROM next"

#define POSTGRES_PRUNE_IDS(table)                                                                  \
    POSTGRES_NEXT(table, "message_id", "handled_at_ms")                                            \
    "(DELETE FROM inbox WHERE message_id" POSTGRES_OLD ")" POSTGRES_NEXT_END
/* In place of PRUNE_INBOX where the other partitions are dropped. */
#define POSTGRES_PRUNE_REST                                                                        \
    POSTGRES_PRUNE_IDS("(SELECT message_id, handled_at_ms FROM inbox_low"                          \
                       " UNION ALL SELECT message_id, handled_at_ms FROM inbox_default"            \
                       " UNION ALL SELECT message_id, handled_at_ms FROM inbox_high) AS rest")

#define POSTGRES_STATEMENTS(STATEMENT)                                                             \
    STATEMENT(BEGIN, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")                            \
    STATEMENT(COMMIT, "COMMIT")                                                                    \
    STATEMENT(ROLLBACK, "ROLLBACK")                                                                \
    STATEMENT(INSERT_INBOX, "INSERT INTO inbox SELECT id, hash, $3::int8"                          \
                            " FROM unnest($1::text[], $2::bytea[]) AS e (id, hash)"                \
                            " ON CONFLICT DO NOTHING RETURNING message_id")                        \
    STATEMENT(SELECT_HASHES, "SELECT message_id, payload_hash FROM inbox"                          \
                             " WHERE message_id = ANY ($1::text[])")                               \
    /* And what pg_xact_status() knows the transaction by. */                                      \
    STATEMENT(LOCK_USERS, "SELECT pg_current_xact_id()::text, count(pg_advisory_xact_lock(id))"    \
                          " FROM unnest($1::int8[]) AS e (id)")                                    \
    STATEMENT(SELECT_USERS, "SELECT user_id, saved_at_ms, floor_ms, message_id, saves,"            \
                            " session_id, opened_at_ms, extended_at_ms, expires_at_ms,"            \
                            " session_saves FROM users WHERE user_id = ANY ($1::text[])")          \
    STATEMENT(SELECT_TOMBSTONES, "SELECT user_hash, deleted_at_ms, message_id, handled_at_ms"      \
                                 " FROM tombstones WHERE user_hash = ANY ($1::text[])")            \
    STATEMENT(SET_LIMITS, "SELECT set_config('statement_timeout', $1::int8::text, false),"         \
                          " set_config('lock_timeout', $2::int8::text, false)")                    \
    /* Whether a user is there is known, since his lock is held. */                                \
    STATEMENT(INSERT_USERS,                                                                        \
              "INSERT INTO users (user_id, saved_at_ms, floor_ms, message_id, saves, session_id,"  \
              " opened_at_ms, extended_at_ms, expires_at_ms, session_saves, body)"                 \
              " SELECT * FROM unnest($1::text[], $2::int8[], $3::int8[], $4::text[], $5::int8[],"  \
              " $6::text[], $7::int8[], $8::int8[], $9::int8[], $10::int8[], $11::text[])")        \
    STATEMENT(UPDATE_USERS,                                                                        \
              "UPDATE users SET saved_at_ms = e.saved_at_ms, floor_ms = e.floor_ms,"               \
              " message_id = e.message_id, saves = e.saves, session_id = e.session_id,"            \
              " opened_at_ms = e.opened_at_ms, extended_at_ms = e.extended_at_ms,"                 \
              " expires_at_ms = e.expires_at_ms, session_saves = e.session_saves, body = e.body"   \
              " FROM unnest($1::text[], $2::int8[], $3::int8[], $4::text[], $5::int8[],"           \
              " $6::text[], $7::int8[], $8::int8[], $9::int8[], $10::int8[], $11::text[])"         \
              " AS e (user_id, saved_at_ms, floor_ms, message_id, saves, session_id,"              \
              " opened_at_ms, extended_at_ms, expires_at_ms, session_saves, body)"                 \
              " WHERE users.user_id = e.user_id")                                                  \
    /* Their state stays. */                                                                       \
    STATEMENT(EXTEND_USERS,                                                                        \
              "UPDATE users SET saves = e.saves, session_id = e.session_id,"                       \
              " opened_at_ms = e.opened_at_ms, extended_at_ms = e.extended_at_ms,"                 \
              " expires_at_ms = e.expires_at_ms, session_saves = e.session_saves"                  \
              " FROM unnest($1::text[], $2::int8[], $3::text[], $4::int8[], $5::int8[],"           \
              " $6::int8[], $7::int8[]) AS e (user_id, saves, session_id, opened_at_ms,"           \
              " extended_at_ms, expires_at_ms, session_saves) WHERE users.user_id = e.user_id")    \
    STATEMENT(DELETE_USERS, "DELETE FROM users WHERE user_id = ANY ($1::text[])")                  \
    STATEMENT(UPSERT_TOMBSTONES,                                                                   \
              "INSERT INTO tombstones"                                                             \
              " SELECT * FROM unnest($1::text[], $2::int8[], $3::text[], $4::int8[])"              \
              " ON CONFLICT (user_hash) DO UPDATE SET deleted_at_ms = excluded.deleted_at_ms,"     \
              " message_id = excluded.message_id, handled_at_ms = excluded.handled_at_ms")         \
    STATEMENT(DELETE_TOMBSTONES, "DELETE FROM tombstones WHERE user_hash = ANY ($1::text[])")      \
    STATEMENT(DELETE_ATTEMPTS, "DELETE FROM attempts WHERE key = ANY ($1::text[])")                \
    STATEMENT(ACCUSE, "INSERT INTO attempts VALUES ($1::text, $2::int8, $3::int8)"                 \
                      " ON CONFLICT (key) DO UPDATE SET count = attempts.count + excluded.count,"  \
                      " at_ms = excluded.at_ms")                                                   \
    STATEMENT(FIND_ATTEMPTS, "SELECT count FROM attempts WHERE key = $1::text")                    \
    STATEMENT(TRANSACTION_STATUS, "SELECT pg_xact_status($1::text::xid8)")                         \
    STATEMENT(HAS_EVIDENCE, "SELECT EXISTS (SELECT 1 FROM inbox WHERE message_id = $1::text"       \
                            " AND handled_at_ms = $2::int8 AND xmin = $3::text::xid8::xid)")       \
    STATEMENT(TRY_PRUNING_LOCK, "SELECT pg_try_advisory_xact_lock(" POSTGRES_PRUNING_LOCK ")")     \
    STATEMENT(PRUNE_INBOX, POSTGRES_PRUNE_IDS("inbox"))                                            \
    /* Rows that a batch has locked are passed over: a wait for them could be one in a circle. */  \
    STATEMENT(PRUNE_TOMBSTONES,                                                                    \
              POSTGRES_NEXT("tombstones", "user_hash",                                             \
                            "handled_at_ms") "(DELETE FROM tombstones WHERE user_hash = ANY "      \
                                             "(ARRAY(SELECT user_hash"                             \
                                             " FROM tombstones WHERE user_hash" POSTGRES_OLD       \
                                             " AND handled_at_ms <= $3::int8"                      \
                                             " FOR UPDATE SKIP LOCKED)))" POSTGRES_NEXT_END)       \
    STATEMENT(SWEEP_SESSIONS,                                                                      \
              POSTGRES_NEXT("users", "session_id",                                                 \
                            "expires_at_ms") "(UPDATE users SET " POSTGRES_NO_SESSION              \
                                             " WHERE user_id = ANY (ARRAY(SELECT"                  \
                                             " user_id FROM users WHERE session_id" POSTGRES_OLD   \
                                             " AND expires_at_ms <= $3::int8 FOR UPDATE SKIP "     \
                                             "LOCKED)))" POSTGRES_NEXT_END)                        \
    STATEMENT(PRUNE_ATTEMPTS, "DELETE FROM attempts WHERE at_ms <= $1::int8")                      \
    STATEMENT(SELECT_SESSIONS, "SELECT " POSTGRES_SESSION " FROM sessions WHERE id < $1::text"     \
                               " AND expires_at_ms > $2::int8 ORDER BY id DESC LIMIT $3::int8")    \
    STATEMENT(SELECT_SESSION, "SELECT " POSTGRES_SESSION " FROM sessions WHERE id = $1::text"      \
                              " AND expires_at_ms > $2::int8")                                     \
    /* A batch that has read the user must be over before. */                                      \
    STATEMENT(LOCK_USER_OF_SESSION, "SELECT pg_advisory_xact_lock(" POSTGRES_USER_LOCK ")"         \
                                    " FROM users WHERE session_id = $1::text")                     \
    STATEMENT(END_SESSION, "UPDATE users SET " POSTGRES_NO_SESSION                                 \
                           " WHERE session_id = $1::text AND expires_at_ms > $2::int8")            \
    STATEMENT(SELECT_USER, "SELECT body, saved_at_ms, message_id,"                                 \
                           " CASE WHEN expires_at_ms > $2::int8 THEN session_id END"               \
                           " FROM users WHERE user_id = $1::text")                                 \
    /* A row that is there already is none of the import: how many were new is looked at. */       \
    STATEMENT(IMPORT_INBOX, "INSERT INTO inbox (message_id, payload_hash, handled_at_ms)"          \
                            " SELECT * FROM unnest($1::text[], $2::bytea[], $3::int8[])"           \
                            " ON CONFLICT DO NOTHING")                                             \
    STATEMENT(IMPORT_USERS,                                                                        \
              "INSERT INTO users (user_id, saved_at_ms, floor_ms, message_id, saves, session_id,"  \
              " opened_at_ms, extended_at_ms, expires_at_ms, session_saves, body)"                 \
              " SELECT * FROM unnest($1::text[], $2::int8[], $3::int8[], $4::text[], $5::int8[],"  \
              " $6::text[], $7::int8[], $8::int8[], $9::int8[], $10::int8[], $11::text[])"         \
              " ON CONFLICT DO NOTHING")                                                           \
    STATEMENT(IMPORT_TOMBSTONES,                                                                   \
              "INSERT INTO tombstones (user_hash, deleted_at_ms, message_id, handled_at_ms)"       \
              " SELECT * FROM unnest($1::text[], $2::int8[], $3::text[], $4::int8[])"              \
              " ON CONFLICT DO NOTHING")                                                           \
    STATEMENT(IMPORT_ATTEMPTS, "INSERT INTO attempts (key, count, at_ms)"                          \
                               " SELECT * FROM unnest($1::text[], $2::int8[], $3::int8[])"         \
                               " ON CONFLICT DO NOTHING")                                          \
    STATEMENT(ADVANCE_IMPORT,                                                                      \
              "UPDATE import SET step = $1::int8, last_key = $2::text, copied = $3::int8")

#define POSTGRES_STATEMENT_NAME(name, sql) POSTGRES_##name,
#define POSTGRES_STATEMENT_TEXT_NAME(name, sql) [POSTGRES_##name] = #name,
#define POSTGRES_STATEMENT_TEXT(name, sql) [POSTGRES_##name] = (sql),
enum postgres_statement { POSTGRES_STATEMENTS(POSTGRES_STATEMENT_NAME) POSTGRES_STATEMENT_COUNT };
