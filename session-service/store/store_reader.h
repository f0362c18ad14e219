/* The store reader answers questions about the store that come over HTTP: it makes the JSON body of
 * a reply. It has a connection of its own, and reads beside the transactions of store.h. One thread
 * at a time. */
#pragma once

#include "session-service/store/store.h"

#include "common/base/buffer.h"

struct store_reader;

/* In these questions sessions are open sessions. */
enum question {
    ASK_SESSIONS,    /* a page, the newest first */
    ASK_SESSION,     /* by its id */
    ASK_END_SESSION, /* by its id; the user stays */
    ASK_USER,        /* by what the store knows him by */
    QUESTIONS
};

/* Opens nothing; borrows the store's directory. */
MUST_CHECK enum outcome store_reader_create(const struct store *store,
                                            struct store_reader **ret_reader,
                                            struct error *ret_error);
/* NULL is fine. */
void store_reader_free(struct store_reader *reader);

/* Writes the body of the reply into an empty buffer; ASK_END_SESSION has no body. `key` is the id
 * of the session or the user, or the cursor (empty: the newest). `limit` is how many sessions a
 * page may have. *ret_found is false if there is no such session or user. The store must have been
 * opened before. A failure is the store's, or BUSY: no memory. Try again later. */
MUST_CHECK enum outcome store_reader_ask(struct store_reader *reader, enum question question,
                                         struct slice key, int64_t limit, int64_t now_ms,
                                         struct buffer *json, bool *ret_found,
                                         struct error *ret_error);
