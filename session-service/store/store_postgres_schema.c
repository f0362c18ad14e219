/* The same tables as in store_sqlite_schema.c, in a schema of their own. */
#include "session-service/store/store_postgres_schema.h"

#include "session-service/store/store_postgres_partitions.h"
#include "session-service/store/store_postgres_statements.h"

#define TEXT_COLUMN " text COLLATE \"C\""

#define INBOX_COLUMNS                                                                              \
    "    message_id" TEXT_COLUMN " PRIMARY KEY,\n"                                                 \
    "    payload_hash bytea NOT NULL,\n" /* SHA-256 of the body */                                 \
    "    handled_at_ms bigint NOT NULL\n"

/* The first step makes the inbox too, as it is asked for.
 * A save changes its user's row in place, without touching an index, where the page has room. */
static const char *const migrations[] = {
    "CREATE TABLE users (\n"
    "    user_id" TEXT_COLUMN " PRIMARY KEY,\n" /* the id; 'email:...' or 'sha256:...' without */
    "    saved_at_ms bigint NOT NULL,\n"
    "    floor_ms bigint,\n" /* store_order.h; NULL: the state has its place by its time */
    "    message_id" TEXT_COLUMN " NOT NULL,\n" /* '' where the message had none */
    "    saves bigint NOT NULL,\n"              /* messages with an id that took effect */
    "    session_id" TEXT_COLUMN ",\n"
    "    opened_at_ms bigint,\n"
    "    extended_at_ms bigint,\n"
    "    expires_at_ms bigint,\n"
    "    session_saves bigint,\n"
    "    body" TEXT_COLUMN " NOT NULL\n"
    ") WITH (fillfactor = 80);\n"
    "CREATE UNIQUE INDEX users_by_session ON users (session_id) WHERE session_id IS NOT NULL;\n"
    "CREATE VIEW sessions AS\n"
    "    SELECT session_id AS id, user_id, opened_at_ms, extended_at_ms, expires_at_ms,\n"
    "           session_saves AS saves\n"
    "    FROM users WHERE session_id IS NOT NULL;\n"
    "CREATE TABLE tombstones (\n"
    "    user_hash" TEXT_COLUMN " PRIMARY KEY,\n" /* SHA-256 of the user_id */
    "    deleted_at_ms bigint NOT NULL,\n"
    "    message_id" TEXT_COLUMN " NOT NULL,\n"
    "    handled_at_ms bigint NOT NULL\n"
    ");\n"
    "CREATE TABLE attempts (\n"
    "    key" TEXT_COLUMN " PRIMARY KEY,\n"
    "    count bigint NOT NULL,\n"
    "    at_ms bigint NOT NULL\n"
    ");\n",
    /* Where session-service migrate-store is: one row, from its begin on. */
    "CREATE TABLE import (\n"
    "    is_only boolean PRIMARY KEY CHECK (is_only),\n"
    "    source" TEXT_COLUMN " NOT NULL,\n"   /* counts and sums of the store that is copied */
    "    step bigint NOT NULL,\n"             /* which table is copied */
    "    last_key" TEXT_COLUMN " NOT NULL,\n" /* of that table; '': none yet */
    "    copied bigint NOT NULL,\n"           /* rows, of all tables */
    "    is_finished boolean NOT NULL\n"
    ");\n",
};
const int store_postgres_version = (int)(sizeof(migrations) / sizeof(migrations[0]));

static void append_inbox(struct buffer *sql, enum store_partitions partitions, int64_t now_ms)
{
    switch (partitions) {
    case STORE_PARTITIONS_OFF:
        buffer_append_text(sql, "CREATE TABLE inbox (\n" INBOX_COLUMNS ");\n");
        break;
    case STORE_PARTITIONS_DAY:
        partitions_append_tables(sql, INBOX_COLUMNS, now_ms);
        break;
    }
}

void store_postgres_schema_append(struct buffer *sql, int version, enum store_partitions partitions,
                                  int64_t now_ms)
{
    if (version == 0) {
        buffer_append_text(sql, "CREATE SCHEMA IF NOT EXISTS " POSTGRES_SCHEMA ";\n");
    }
    buffer_append_text(sql, "SET LOCAL search_path = " POSTGRES_SCHEMA ";\n");
    if (version == 0) {
        buffer_append_text(sql, "CREATE TABLE version (version integer NOT NULL);\n"
                                "INSERT INTO version VALUES (0);\n");
        append_inbox(sql, partitions, now_ms);
    }
    for (int i = version; i < store_postgres_version; i++) {
        buffer_append_text(sql, migrations[i]);
    }
    buffer_append_format(sql, "UPDATE version SET version = %d;\n", store_postgres_version);
}

void store_postgres_schema_append_script(struct buffer *sql, enum store_partitions partitions,
                                         int64_t now_ms)
{
    buffer_append_text(sql, "-- The tables of the session-service. Run it once, in a database of\n"
                            "-- its own with the encoding UTF8: psql -v ON_ERROR_STOP=1 -f FILE\n"
                            "BEGIN;\n");
    store_postgres_schema_append(sql, 0, partitions, now_ms);
    buffer_append_text(
        sql,
        "COMMIT;\n"
        "-- What the role of the session-service needs of it, where it is not the owner:\n"
        "-- GRANT USAGE ON SCHEMA " POSTGRES_SCHEMA " TO role;\n"
        "-- GRANT SELECT ON ALL TABLES IN SCHEMA " POSTGRES_SCHEMA " TO role;\n"
        "-- GRANT INSERT, UPDATE, DELETE ON " POSTGRES_SCHEMA ".inbox, " POSTGRES_SCHEMA
        ".users,\n--     " POSTGRES_SCHEMA ".tombstones, " POSTGRES_SCHEMA ".attempts TO role;\n"
        "-- And for session-service migrate-store:\n"
        "-- GRANT INSERT, UPDATE ON " POSTGRES_SCHEMA ".import TO role;\n");
}
