/* A store that several session-services share, in PostgreSQL: its life. */
#include "session-service/store/store_postgres_connector.h"
#include "session-service/store/store_postgres_internal.h"
#include "session-service/store/store_postgres_take.h"

#include "session-service/store/store_postgres_url.h"

#include "common/base/clock.h"

#include <stdlib.h>

static void free_store(struct store *base)
{
    struct store_postgres *store = store_postgres_of(base);
    postgres_free(store->postgres);
    postgres_connector_free(store->connector);
    postgres_take_free(store->take);
    free(store);
}

static enum outcome create(const struct store_options *options, struct store **ret_store,
                           struct error *ret_error)
{
    const struct postgres_connector_options connection = {
        .url = options->url,
        .password_file = options->password_file,
        .use = POSTGRES_USE_WRITES,
        .partitions = options->partitions,
        .thread_name = "store-connect",
    };
    struct store_postgres *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the store");
    }
    store->call_ms = POSTGRES_CALL_MS;
    enum outcome outcome = postgres_take_create(&store->take, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = postgres_connector_create(&connection, &store->connector, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        free_store(&store->store);
        return outcome;
    }
    *ret_store = &store->store;
    return OUTCOME_OK;
}

static enum outcome set_limits(struct store_postgres *store, struct error *ret_error)
{
    uint64_t limits_ms = store->call_ms > POSTGRES_CALL_MS ? store->call_ms : 0;
    if (store->postgres->limits_ms == limits_ms) {
        return OUTCOME_OK;
    }
    struct postgres_values values = {.count = 0};
    postgres_add_integer(&values, (int64_t)store->call_ms + POSTGRES_STATEMENT_MORE_MS);
    postgres_add_integer(&values, (int64_t)store->call_ms * POSTGRES_LOCK_THIRDS / 3);
    enum outcome outcome =
        postgres_run(store->postgres, POSTGRES_SET_LIMITS, &values, NULL, ret_error);
    if (outcome != OUTCOME_OK) {
        return store_postgres_end(store, outcome);
    }
    store->postgres->limits_ms = limits_ms;
    return OUTCOME_OK;
}

enum outcome store_postgres_begin(struct store_postgres *store, size_t bytes,
                                  struct error *ret_error)
{
    const struct store *base = &store->store;
    uint64_t wait_ms = store->call_ms + bytes / (1024 * 1024) * POSTGRES_MS_PER_MIB;
    uint64_t deadline_ms = clock_monotonic_ms() + wait_ms;
    store->postgres = postgres_keep_or_free(store->postgres);
    if (store->postgres == NULL) {
        enum outcome outcome =
            postgres_connector_take(store->connector, deadline_ms, base->show_life,
                                    base->life_context, &store->postgres, ret_error);
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
    }
    uint64_t now_ms = clock_monotonic_ms();
    store->postgres->show_life = base->show_life;
    store->postgres->context = base->life_context;
    postgres_begin(store->postgres, now_ms < deadline_ms ? deadline_ms - now_ms : 0);
    return set_limits(store, ret_error);
}

enum outcome store_postgres_end(struct store_postgres *store, enum outcome outcome)
{
    if (outcome != OUTCOME_OK && store->postgres != NULL && !postgres_abandon(store->postgres)) {
        postgres_free(store->postgres);
        store->postgres = NULL;
    }
    return outcome;
}

static enum outcome open_store(struct store *base, struct error *ret_error)
{
    return store_postgres_begin(store_postgres_of(base), 0, ret_error);
}

static void warning(const struct store *base, struct error *ret_warning)
{
    const struct store_postgres *store = (const struct store_postgres *)base;
    postgres_connector_warning(store->connector, ret_warning);
}

static enum outcome check(const struct store_options *options, struct error *ret_error)
{
    struct postgres_url url;
    enum outcome outcome = postgres_url_read(options->url, NULL, &url, ret_error);
    if (outcome == OUTCOME_OK) {
        postgres_url_done(&url);
    }
    return outcome;
}

const struct store_kind store_kind_postgres = {
    .check = check,
    .create = create,
    .free = free_store,
    .open = open_store,
    .take = store_postgres_take,
    .knows = store_postgres_knows,
    .accuse = store_postgres_accuse,
    .find_attempts = store_postgres_find_attempts,
    .forget_attempts = store_postgres_forget_attempts,
    .prune = store_postgres_prune,
    .warning = warning,
    .reader_create = store_postgres_reader_create,
    .reader_free = store_postgres_reader_free,
    .reader_ask = store_postgres_reader_ask,
};
