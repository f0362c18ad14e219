/* A store in one file of this host: its life, and its transactions. */
#include "session-service/store/store_sqlite_internal.h"
#include "session-service/store/store_sqlite_statements.h"

#include <stdlib.h>

#define TEXT(name, sql) [name] = (sql),
static const char *const statements[STATEMENTS] = {STATEMENT_LIST(TEXT)};

static void free_store(struct store *base)
{
    struct store_sqlite *store = store_sqlite_of(base);
    database_free(store->database);
    free(store);
}

static enum outcome create(const struct store_options *options, struct store **ret_store,
                           struct error *ret_error)
{
    const struct database_options file = {
        .directory = options->directory,
        .file_name = STORE_SQLITE_FILE_NAME,
        .application_id = STORE_SQLITE_APPLICATION_ID,
        .migrations = store_sqlite_migrations,
        .version = store_sqlite_version,
        .statements = statements,
        .statement_count = STATEMENTS,
        .lock = options->lock,
    };
    struct store_sqlite *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the store");
    }
    enum outcome outcome = database_create(&file, &store->database, ret_error);
    if (outcome != OUTCOME_OK) {
        free_store(&store->store);
        return outcome;
    }
    *ret_store = &store->store;
    return OUTCOME_OK;
}

static enum outcome open_store(struct store *base, struct error *ret_error)
{
    return database_open(store_sqlite_of(base)->database, ret_error);
}

enum outcome store_sqlite_look(struct store_sqlite *store, struct error *ret_error)
{
    enum outcome outcome = database_in_place(store->database, ret_error);
    return outcome == OUTCOME_OK ? database_open(store->database, ret_error) : outcome;
}

enum outcome store_sqlite_begin(struct store_sqlite *store, struct error *ret_error)
{
    enum outcome outcome = database_in_place(store->database, ret_error);
    return outcome == OUTCOME_OK ? database_begin(store->database, ret_error) : outcome;
}

enum outcome store_sqlite_end_look(struct store_sqlite *store, enum outcome outcome)
{
    if (outcome != OUTCOME_OK) {
        database_rollback(store->database, outcome);
        store->tombstones = TOMBSTONES_UNKNOWN; /* the file that is opened next may be another */
    }
    return outcome;
}

enum outcome store_sqlite_end(struct store_sqlite *store, enum outcome outcome,
                              struct error *ret_error)
{
    if (outcome == OUTCOME_OK) {
        outcome = database_commit(store->database, ret_error);
    }
    return store_sqlite_end_look(store, outcome);
}

static bool is_displaced(const struct store *base)
{
    return database_is_displaced(((const struct store_sqlite *)base)->database);
}

static enum outcome take(struct store *base, const struct store_event events[], size_t count,
                         int64_t now_ms, struct store_effect ret_effects[], struct error *ret_error)
{
    struct store_sqlite *store = store_sqlite_of(base);
    enum outcome outcome = store_sqlite_begin(store, ret_error);
    for (size_t i = 0; outcome == OUTCOME_OK && i < count; i++) {
        outcome = store_sqlite_apply(store, &events[i], now_ms, &ret_effects[i], ret_error);
    }
    if (outcome == OUTCOME_OK) {
        store_waits(base);
    }
    return store_sqlite_end(store, outcome, ret_error);
}

const struct store_kind store_kind_sqlite = {
    .create = create,
    .free = free_store,
    .open = open_store,
    .is_displaced = is_displaced,
    .take = take,
    .knows = store_sqlite_knows,
    .accuse = store_sqlite_accuse,
    .find_attempts = store_sqlite_find_attempts,
    .forget_attempts = store_sqlite_forget_attempts,
    .prune = store_sqlite_prune,
    .reader_create = store_sqlite_reader_create,
    .reader_free = store_sqlite_reader_free,
    .reader_ask = store_sqlite_reader_ask,
};
