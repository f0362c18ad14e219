/* The store's file: opened by the first transaction that can, and closed after a failure that
 * leaves in doubt what is on disk. */
#include "session-service/store/store_internal.h"

#include <stdio.h>
#include <stdlib.h>

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
    store->tombstones = TOMBSTONES_UNKNOWN; /* the file that is opened next may be another one */
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
        .migrations = store_schema.migrations,
        .version = store_schema.version,
        .statements = store_schema.statements,
        .statement_count = store_schema.statement_count,
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
    for (size_t i = 0; outcome == OUTCOME_OK && i < store_schema.statement_count; i++) {
        outcome = database_prepare(store->database, store_schema.statements[i],
                                   &store->statements[i], ret_error);
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
    for (size_t i = 0; i < store_schema.statement_count; i++) {
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
