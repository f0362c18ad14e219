/* Bounds, names, and statements of PL/pgSQL, which look again when they have the lock. */
#include "session-service/store/store_postgres_partitions.h"

#include "session-service/store/store_postgres_statements.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { DAY_MS = 24 * 3600 * 1000, DROPS_AT_ONCE = 10 };

#define INBOX POSTGRES_SCHEMA ".inbox"
#define LOW_ID "01"  /* the first 8 of 48 bits of a time: from 2004 */
#define HIGH_ID "02" /* until 2039 */

/* Who reads the inbox for long, such as pg_dump, holds this up, and this holds up the batches
 * behind it. The lock of pruning keeps other session-services from the same. All rows go through
 * the inbox, so that who has it alone has its partitions too. */
#define LOCK_INBOX                                                                                 \
    "    PERFORM set_config('lock_timeout', '200ms', true);\n"                                     \
    "    IF NOT pg_try_advisory_xact_lock(" POSTGRES_PRUNING_LOCK ") THEN\n"                       \
    "        RAISE lock_not_available;\n"                                                          \
    "    END IF;\n"                                                                                \
    "    LOCK TABLE ONLY " INBOX " IN ACCESS EXCLUSIVE MODE;\n"

#define MOVED_ROWS_MAX "10000"
#define SETTLED_MS (3600 * 1000)
#define DEFAULT_BYTES_MAX "67108864" /* is read, with all held up, when a partition is made */

int64_t partition_day(int64_t now_ms)
{
    return now_ms / DAY_MS;
}

static void write_bound(int64_t day, char ret_bound[PARTITION_BOUND_BYTES])
{
    uint64_t ms = (uint64_t)day * DAY_MS;
    (void)snprintf(ret_bound, PARTITION_BOUND_BYTES, "%08" PRIx32 "-%04" PRIx16,
                   (uint32_t)(ms >> 16), (uint16_t)ms);
}

bool partition_of_day(int64_t day, struct partition *ret_partition)
{
    const time_t seconds = (time_t)day * (DAY_MS / 1000);
    struct tm date;
    write_bound(day, ret_partition->from);
    write_bound(day + 1, ret_partition->to);
    return gmtime_r(&seconds, &date) != NULL &&
           strftime(ret_partition->name, PARTITION_NAME_BYTES, "inbox_%Y%m%d", &date) > 0 &&
           strncmp(ret_partition->from, LOW_ID, 2) == 0 &&
           strncmp(ret_partition->to, LOW_ID, 2) == 0;
}

void partitions_append_tables(struct buffer *sql, const char *columns, int64_t now_ms)
{
    int64_t today = partition_day(now_ms);
    struct partition one;
    bool is_one = partition_of_day(today, &one);
    buffer_append_format(sql, "CREATE TABLE inbox (\n%s) PARTITION BY RANGE (message_id);\n",
                         columns);
    buffer_append_format(
        sql,
        /* Whether a row is newer than a time is found without a look at all rows. */
        "CREATE INDEX inbox_by_time ON inbox USING brin (handled_at_ms)\n"
        "    WITH (autosummarize = on);\n"
        "CREATE TABLE inbox_low PARTITION OF inbox FOR VALUES FROM (MINVALUE) TO ('%s');\n"
        "CREATE TABLE inbox_high PARTITION OF inbox FOR VALUES FROM ('" HIGH_ID
        "') TO (MAXVALUE);\n"
        "CREATE TABLE inbox_default PARTITION OF inbox DEFAULT;\n",
        is_one ? one.from : LOW_ID);
    for (int64_t day = today; day <= today + PARTITION_DAYS_AHEAD; day++) {
        if (partition_of_day(day, &one)) {
            buffer_append_format(
                sql, "CREATE TABLE %s PARTITION OF inbox FOR VALUES FROM ('%s') TO ('%s');\n",
                one.name, one.from, one.to);
        }
    }
}

/* A table of that name that is there is no other one: what makes one attaches it. */
void partitions_append_making(struct buffer *sql, const struct partition *partition, int64_t now_ms)
{
    const char *name = partition->name;
    const char *from = partition->from;
    const char *to = partition->to;
    buffer_append_format(
        sql,
        "DO $$ BEGIN\n"
        "IF to_regclass('" POSTGRES_SCHEMA ".%s') IS NULL THEN\n"
        "    IF pg_relation_size('" INBOX "_default') > " DEFAULT_BYTES_MAX " THEN\n"
        "        RAISE program_limit_exceeded USING MESSAGE =\n"
        "            'inbox_default is too large for a partition to be made beside it';\n"
        "    END IF;\n" LOCK_INBOX,
        name);
    buffer_append_format(
        sql,
        "    IF (SELECT count(*) <= " MOVED_ROWS_MAX " AND coalesce(max(handled_at_ms) <= %" PRId64
        ", true) FROM\n"
        "        (SELECT handled_at_ms FROM " INBOX "_default\n"
        "         WHERE message_id >= '%s' AND message_id < '%s' LIMIT " MOVED_ROWS_MAX
        " + 1) AS rows) THEN\n",
        now_ms - SETTLED_MS, from, to);
    buffer_append_format(sql,
                         "        CREATE TABLE " POSTGRES_SCHEMA ".%s (LIKE " INBOX ");\n"
                         "        EXECUTE format('ALTER TABLE " POSTGRES_SCHEMA
                         ".%s OWNER TO %%s',\n"
                         "            (SELECT relowner::regrole FROM pg_class\n"
                         "             WHERE oid = '" INBOX "'::regclass));\n"
                         "        WITH moved AS (DELETE FROM " INBOX "_default\n"
                         "            WHERE message_id >= '%s' AND message_id < '%s' RETURNING *)\n"
                         "        INSERT INTO " POSTGRES_SCHEMA ".%s SELECT * FROM moved;\n"
                         "        ALTER TABLE " INBOX " ATTACH PARTITION " POSTGRES_SCHEMA ".%s\n"
                         "            FOR VALUES FROM ('%s') TO ('%s');\n"
                         "    END IF;\n"
                         "END IF;\n"
                         "EXCEPTION WHEN duplicate_table OR invalid_object_definition THEN\n"
                         "    NULL;\n" /* another one has made it, or has a part of its range */
                         "END $$",
                         name, name, from, to, name, name, from, to);
}

/* The first look is without a lock that others feel. A clock that is ahead, of this host or of the
 * server, makes nothing old. */
void partitions_append_dropping(struct buffer *sql, int64_t now_ms, int64_t retention_ms)
{
    struct partition today = {.name = ""};
    (void)!partition_of_day(partition_day(now_ms), &today);
    buffer_append_format(
        sql,
        "DO $$ DECLARE\n"
        "    old_ms bigint := least(%" PRId64
        ", floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)\n"
        "        - %" PRId64 ";\n"
        "    one text;\n"
        "    look text;\n"
        "    is_new boolean;\n"
        "BEGIN\n"
        "PERFORM set_config('enable_seqscan', 'off', true);\n"
        "FOR one IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid\n"
        "    WHERE i.inhparent = '" INBOX "'::regclass AND c.relname ~ '^inbox_[0-9]{8}$'\n"
        "    AND c.relname < least('%s', to_char(clock_timestamp() AT TIME ZONE 'UTC',\n"
        "                                        '\"inbox_\"YYYYMMDD')) ORDER BY c.relname\n"
        "LOOP\n"
        "    look := format('SELECT EXISTS (SELECT FROM " POSTGRES_SCHEMA ".%%I"
        " WHERE handled_at_ms > %%s)', one, old_ms);\n"
        "    EXECUTE look INTO is_new;\n"
        "    CONTINUE WHEN is_new;\n" LOCK_INBOX "    EXECUTE look INTO is_new;\n"
        "    IF NOT is_new THEN\n"
        "        EXECUTE format('DROP TABLE " POSTGRES_SCHEMA ".%%I', one);\n"
        "    END IF;\n"
        "    RETURN;\n"
        "END LOOP;\n"
        "EXCEPTION WHEN undefined_table THEN\n"
        "    NULL;\n" /* another one has dropped it in between */
        "END $$",
        now_ms, retention_ms, today.name);
}

void partitions_append_upkeep(struct buffer *sql, int64_t now_ms, int64_t retention_ms)
{
    int64_t today = partition_day(now_ms);
    struct partition one;
    buffer_append_text(
        sql, "-- What keeps the partitions of the inbox: for their owner, run each hour or day.\n");
    for (int64_t day = today; day <= today + PARTITION_DAYS_AHEAD; day++) {
        if (partition_of_day(day, &one)) {
            partitions_append_making(sql, &one, now_ms);
            buffer_append_text(sql, ";\n");
        }
    }
    for (int i = 0; i < DROPS_AT_ONCE; i++) {
        partitions_append_dropping(sql, now_ms, retention_ms);
        buffer_append_text(sql, ";\n");
    }
}
