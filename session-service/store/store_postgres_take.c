/* The two pipelines of a batch, and when it is tried again at once. */
#include "session-service/store/store_postgres_take.h"

#include "session-service/store/store_postgres_doubt.h"
#include "session-service/store/store_postgres_internal.h"
#include "session-service/store/store_postgres_read.h"
#include "session-service/store/store_postgres_write.h"

#include "common/base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { ATTEMPTS_MAX = 4 /* of one call, where PostgreSQL has ended the transaction for others */ };

struct postgres_take {
    struct postgres_batch batch;
    struct postgres_columns columns;
    struct postgres_read read;
    struct postgres_doubt doubt;
};

enum outcome postgres_take_create(struct postgres_take **ret_take, struct error *ret_error)
{
    struct postgres_take *take = calloc(1, sizeof(*take));
    if (take == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the batches");
    }
    postgres_columns_init(&take->columns);
    *ret_take = take;
    return OUTCOME_OK;
}

void postgres_take_free(struct postgres_take *take)
{
    if (take == NULL) {
        return;
    }
    postgres_doubt_clear(&take->doubt);
    postgres_columns_done(&take->columns);
    batch_done(&take->batch);
    free(take);
}

/* The row that shows, later, that the transaction has committed. A batch in which no id is new has
 * none by itself, and writes one where bare messages take effect. */
static enum outcome send_evidence(struct postgres_take *take, struct postgres *postgres,
                                  const struct store_effect effects[], int64_t now_ms,
                                  struct error *ret_error)
{
    struct postgres_batch *batch = &take->batch;
    struct postgres_columns *columns = &take->columns;
    struct slice number = postgres_field(take->read.transaction, 0, 0);
    char made[DOUBT_ID_BYTES];
    char id[MESSAGE_ID_TEXT_BYTES];
    bool is_bare = false;
    for (size_t i = 0; i < batch->count; i++) {
        const struct batch_item *item = &batch->items[i];
        if (item->is_new) {
            postgres_doubt_prepare(&take->doubt, number, item->event->message_id, now_ms);
            return OUTCOME_OK;
        }
        is_bare = is_bare || effects[i].result == STORE_APPLIED;
    }
    if (!is_bare) {
        postgres_doubt_prepare(&take->doubt, number, (struct slice){0}, now_ms);
        return OUTCOME_OK;
    }
    enum outcome outcome = message_id_generate(&batch->generator, (uint64_t)now_ms, id, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    (void)snprintf(made, sizeof(made), "batch without ids %s", id);
    postgres_doubt_prepare(&take->doubt, number, slice_of(made), now_ms);
    postgres_columns_begin(columns, "tb");
    postgres_array_add(&columns->arrays[0], slice_of(made));
    postgres_array_add(&columns->arrays[1], slice_of(""));
    return postgres_columns_send(columns, postgres, POSTGRES_INSERT_INBOX, &now_ms, ret_error);
}

static enum outcome read_commit(struct postgres_take *take, struct postgres *postgres,
                                struct error *ret_error)
{
    PGresult *committed = NULL;
    enum outcome outcome = OUTCOME_OK;
    for (int i = 0; outcome == OUTCOME_OK && i < take->columns.sent; i++) {
        outcome = postgres_next(postgres, NULL, ret_error); /* what was written */
    }
    if (outcome == OUTCOME_OK) {
        outcome = postgres_next(postgres, &committed, ret_error);
    }
    if (outcome == OUTCOME_OK && strcmp(PQcmdStatus(committed), "COMMIT") != 0) {
        outcome = error_set(ret_error, OUTCOME_TRANSIENT, "PostgreSQL has rolled a batch back");
    }
    PQclear(committed);
    return outcome == OUTCOME_OK ? postgres_end(postgres, ret_error) : outcome;
}

static enum outcome write_and_commit(struct postgres_take *take, struct postgres *postgres,
                                     int64_t now_ms, const struct store_effect effects[],
                                     struct error *ret_error)
{
    take->columns.sent = 0;
    enum outcome outcome =
        postgres_write(&take->columns, postgres, &take->batch, effects, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = send_evidence(take, postgres, effects, now_ms, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    /* statement_timeout has no say in it: a server that waits for its standby goes on waiting. */
    outcome = postgres_send(postgres, POSTGRES_COMMIT, NULL, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = postgres_sync(postgres, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = read_commit(take, postgres, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        postgres_doubt_set(&take->doubt, &take->batch, effects);
    }
    return outcome;
}

static enum outcome run_batch(struct store_postgres *store, const struct fold_rules *rules,
                              struct store_effect ret_effects[], struct error *ret_error)
{
    struct postgres_take *take = store->take;
    enum outcome outcome = postgres_read(&take->read, &take->columns, store->postgres, &take->batch,
                                         rules->now_ms, ret_error);
    if (outcome == OUTCOME_OK) {
        batch_fold(&take->batch, rules, ret_effects);
        outcome = write_and_commit(take, store->postgres, rules->now_ms, ret_effects, ret_error);
    }
    postgres_read_done(&take->read);
    return outcome;
}

/* It was ended in favour of another one. */
static bool is_victim(const struct postgres *postgres)
{
    return strcmp(postgres->code, "40001") == 0 || strcmp(postgres->code, "40P01") == 0;
}

/* By this program's limit, or by one of the server's. */
static bool took_too_long(const struct postgres *postgres)
{
    return clock_monotonic_ms() >= postgres->deadline_ms || strcmp(postgres->code, "57014") == 0 ||
           strcmp(postgres->code, "55P03") == 0;
}

/* One that was too slow has more time when it is tried again. */
static enum outcome end_take(struct store_postgres *store, enum outcome outcome)
{
    if (outcome == OUTCOME_OK) {
        store->call_ms = store->call_ms > POSTGRES_CALL_MS ? store->call_ms / 2 : POSTGRES_CALL_MS;
    } else if (took_too_long(store->postgres) && store->call_ms < POSTGRES_CALL_MS_MAX) {
        store->call_ms *= 2;
    }
    return store_postgres_end(store, outcome);
}

static enum outcome run_attempts(struct store_postgres *store, const struct store_event events[],
                                 size_t count, const struct fold_rules *rules,
                                 struct store_effect ret_effects[], struct error *ret_error)
{
    enum outcome outcome = OUTCOME_OK;
    bool again = true;
    for (int i = 0; again && i < ATTEMPTS_MAX; i++) {
        if (i > 0) { /* what was read the last time is no longer so */
            outcome = batch_begin(&store->take->batch, events, count, rules->now_ms, ret_error);
            store->postgres->code[0] = '\0';
        }
        if (outcome == OUTCOME_OK) {
            outcome = run_batch(store, rules, ret_effects, ret_error);
        }
        outcome = end_take(store, outcome);
        again = outcome != OUTCOME_OK && store->postgres != NULL && is_victim(store->postgres);
    }
    return outcome;
}

enum outcome store_postgres_take(struct store *base, const struct store_event events[],
                                 size_t count, int64_t now_ms, struct store_effect ret_effects[],
                                 struct error *ret_error)
{
    struct store_postgres *store = store_postgres_of(base);
    struct postgres_take *take = store->take;
    const struct fold_rules rules = {now_ms, base->options.session_ttl_ms,
                                     base->options.clock_tolerance_ms};
    bool is_committed = false;
    enum outcome outcome = batch_begin(&take->batch, events, count, now_ms, ret_error);
    if (outcome == OUTCOME_OK) {
        store_waits(base);
        outcome = store_postgres_begin(store, take->batch.bytes, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    outcome = postgres_doubt_resolve(&take->doubt, store->postgres, &take->batch, ret_effects,
                                     &is_committed, ret_error);
    if (outcome != OUTCOME_OK || is_committed) {
        outcome = end_take(store, outcome);
    } else {
        outcome = run_attempts(store, events, count, &rules, ret_effects, ret_error);
    }
    store->applied += outcome == OUTCOME_OK ? (int64_t)count : 0;
    return outcome;
}
