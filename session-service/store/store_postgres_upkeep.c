/* One statement for each partition that is made or dropped. */
#include "session-service/store/store_postgres_upkeep.h"

#include "session-service/store/store_postgres_connection.h"
#include "session-service/store/store_postgres_connector.h"
#include "session-service/store/store_postgres_partitions.h"

#include "common/base/clock.h"

#include <string.h>

enum {
    UPKEEP_EVERY_MS = 10000,
    /* What has taken too long holds batches up each time. */
    UPKEEP_AFTER_FAILURE_MS = 600000,
    STATEMENT_BYTES_MAX = 16 * 1024,
};

#define LOCK_NOT_AVAILABLE "55P03"

static enum outcome run(struct store_postgres *store, struct buffer *sql, struct error *ret_error)
{
    buffer_append_byte(sql, '\0');
    enum outcome outcome = sql->failed
                               ? error_set(ret_error, OUTCOME_BUSY, "no memory for the partitions")
                               : postgres_run_text(store->postgres, sql->data, ret_error);
    buffer_clear(sql);
    return outcome;
}

/* Once a day: what could not be made for another reason than a lock is left to the default one. */
static enum outcome make_due(struct store_postgres *store, struct buffer *sql, int64_t now_ms,
                             struct error *ret_error)
{
    int64_t today = partition_day(now_ms);
    enum outcome outcome = OUTCOME_OK;
    if (store->partitions_made_on == today) {
        return OUTCOME_OK;
    }
    for (int64_t day = today; outcome == OUTCOME_OK && day <= today + PARTITION_DAYS_AHEAD; day++) {
        struct partition partition;
        if (partition_of_day(day, &partition)) {
            partitions_append_making(sql, &partition, now_ms);
            outcome = run(store, sql, ret_error);
        }
    }
    if (outcome == OUTCOME_OK) {
        store->partitions_made_on = today;
    }
    return outcome;
}

static bool is_busy(const struct store_postgres *store)
{
    return strcmp(store->postgres->code, LOCK_NOT_AVAILABLE) == 0;
}

void store_postgres_see_to_partitions(struct store_postgres *store, int64_t now_ms)
{
    uint64_t monotonic_ms = clock_monotonic_ms();
    struct error error = {.text = ""};
    struct buffer sql;
    if (store->postgres->inbox != POSTGRES_INBOX_OURS || monotonic_ms < store->upkeep_at_ms) {
        return;
    }
    store->upkeep_at_ms = monotonic_ms + UPKEEP_EVERY_MS;
    buffer_init(&sql, STATEMENT_BYTES_MAX);
    postgres_begin(store->postgres, POSTGRES_CALL_MS);
    enum outcome outcome = make_due(store, &sql, now_ms, &error);
    bool has_failed = outcome != OUTCOME_OK && !is_busy(store);
    if (outcome == OUTCOME_OK || has_failed) { /* what cannot be made keeps nothing old */
        struct error other;
        partitions_append_dropping(&sql, now_ms, store->store.options.inbox_retention_ms);
        outcome = run(store, &sql, has_failed ? &other : &error);
        has_failed = has_failed || (outcome != OUTCOME_OK && !is_busy(store));
    }
    buffer_done(&sql);
    if (has_failed) {
        const struct error why = error;
        error_set(&error, OUTCOME_OK,
                  "the partitions of the inbox cannot be seen to (docs/postgresql.md): %.300s",
                  why.text);
        store->upkeep_at_ms = monotonic_ms + UPKEEP_AFTER_FAILURE_MS;
    } else {
        error.text[0] = '\0';
    }
    postgres_connector_warn(store->connector, &error);
    (void)!store_postgres_end(store, outcome);
}
