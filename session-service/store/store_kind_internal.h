/* What a kind of store is behind store.h and store_reader.h. Nothing outside of this room includes
 * it.
 *
 * To add a kind: write its functions, name them in a `const struct store_kind`, and choose it in
 * kind_of() of store.c. */
#pragma once

#include "session-service/store/store.h"
#include "session-service/store/store_reader.h"

/* Each function is the call of the same name there. A pointer to a store or a reader is one to what
 * `create` or `reader_create` of the same kind has returned. */
struct store_kind {
    enum outcome (*check)(const struct store_options *options,
                          struct error *ret_error); /* NULL: there is nothing to check */
    /* What is in `struct store` and `struct store_reader` is set by the caller. */
    enum outcome (*create)(const struct store_options *options, struct store **ret_store,
                           struct error *ret_error);
    void (*free)(struct store *store); /* never NULL */
    enum outcome (*open)(struct store *store, struct error *ret_error);
    bool (*is_displaced)(const struct store *store); /* NULL: it is never so */
    /* Calls store_waits(). */
    enum outcome (*take)(struct store *store, const struct store_event events[], size_t count,
                         int64_t now_ms, struct store_effect ret_effects[],
                         struct error *ret_error);
    enum outcome (*knows)(struct store *store, struct slice message_id, struct slice payload,
                          bool *ret_known, struct error *ret_error);
    enum outcome (*accuse)(struct store *store, struct slice key, bool is_counted, int64_t now_ms,
                           struct error *ret_error);
    enum outcome (*find_attempts)(struct store *store, struct slice key, bool *ret_accused,
                                  int64_t *ret_count, struct error *ret_error);
    enum outcome (*forget_attempts)(struct store *store, struct slice key, struct error *ret_error);
    enum outcome (*prune)(struct store *store, int64_t now_ms, struct error *ret_error);
    void (*warning)(const struct store *store, struct error *ret_warning); /* NULL: never any */

    enum outcome (*reader_create)(const struct store *store, struct store_reader **ret_reader,
                                  struct error *ret_error);
    void (*reader_free)(struct store_reader *reader); /* never NULL */
    enum outcome (*reader_ask)(struct store_reader *reader, enum question question,
                               struct slice key, int64_t limit, int64_t now_ms, struct buffer *json,
                               bool *ret_found, struct error *ret_error);
};

/* The first member of each kind's own struct. */
struct store {
    const struct store_kind *kind;
    struct store_options options;
    store_wait_begins *wait_begins; /* NULL: nobody asks */
    void *wait_context;
    store_show_life *show_life; /* NULL: nobody asks */
    void *life_context;
};

/* The first member of each kind's own struct. */
struct store_reader {
    const struct store_kind *kind;
};

extern const struct store_kind store_kind_sqlite;
/* Of a build without libpq its check says so. */
extern const struct store_kind store_kind_postgres;

/* Is called in `take` as store_on_wait() says. */
static inline void store_waits(const struct store *store)
{
    if (store->wait_begins != NULL) {
        store->wait_begins(store->wait_context);
    }
}
