/* Has each call done by the kind of the store. */
#include "session-service/store/store.h"

#include "session-service/store/store_kind_internal.h"

#include <string.h>

static const struct store_kind *kind_of(const char *url)
{
    return store_is_shared(url) ? &store_kind_postgres : &store_kind_sqlite;
}

bool store_is_shared(const char *url)
{
    return url != NULL && strcmp(url, STORE_EMBEDDED) != 0;
}

enum outcome store_check(const struct store_options *options, struct error *ret_error)
{
    const struct store_kind *kind = kind_of(options->url);
    return kind->check == NULL ? OUTCOME_OK : kind->check(options, ret_error);
}

enum outcome store_create(const struct store_options *options, struct store **ret_store,
                          struct error *ret_error)
{
    const struct store_kind *kind = kind_of(options->url);
    struct store *store = NULL;
    enum outcome outcome = kind->create(options, &store, ret_error);
    if (outcome == OUTCOME_OK) {
        store->kind = kind;
        store->options = *options;
        *ret_store = store;
    }
    return outcome;
}

void store_free(struct store *store)
{
    if (store != NULL) {
        store->kind->free(store);
    }
}

const char *store_directory(const struct store *store)
{
    return store->options.directory;
}

void store_on_wait(struct store *store, store_wait_begins *begins, void *context)
{
    store->wait_begins = begins;
    store->wait_context = context;
}

void store_on_delay(struct store *store, store_show_life *show_life, void *context)
{
    store->show_life = show_life;
    store->life_context = context;
}

void store_warning(const struct store *store, struct error *ret_warning)
{
    *ret_warning = (struct error){.text = ""};
    if (store->kind->warning != NULL) {
        store->kind->warning(store, ret_warning);
    }
}

enum outcome store_open(struct store *store, struct error *ret_error)
{
    return store->kind->open(store, ret_error);
}

enum outcome store_take(struct store *store, const struct store_event events[], size_t count,
                        int64_t now_ms, struct store_effect ret_effects[], struct error *ret_error)
{
    return store->kind->take(store, events, count, now_ms, ret_effects, ret_error);
}

enum outcome store_knows(struct store *store, struct slice message_id, struct slice payload,
                         bool *ret_known, struct error *ret_error)
{
    return store->kind->knows(store, message_id, payload, ret_known, ret_error);
}

bool store_is_displaced(const struct store *store)
{
    return store->kind->is_displaced != NULL && store->kind->is_displaced(store);
}

enum outcome store_accuse(struct store *store, struct slice key, bool is_counted, int64_t now_ms,
                          struct error *ret_error)
{
    return store->kind->accuse(store, key, is_counted, now_ms, ret_error);
}

enum outcome store_find_attempts(struct store *store, struct slice key, bool *ret_accused,
                                 int64_t *ret_count, struct error *ret_error)
{
    return store->kind->find_attempts(store, key, ret_accused, ret_count, ret_error);
}

enum outcome store_forget_attempts(struct store *store, struct slice key, struct error *ret_error)
{
    return store->kind->forget_attempts(store, key, ret_error);
}

enum outcome store_prune(struct store *store, int64_t now_ms, struct error *ret_error)
{
    return store->kind->prune(store, now_ms, ret_error);
}
