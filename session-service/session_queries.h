/* The queries behind the routes: from a question to a body of JSON. One thread at a time. */
#pragma once

#include "session-service/store/store.h"

#include "common/base/buffer.h"

struct session_queries;

enum question { ASK_SESSIONS, ASK_SESSION, ASK_END_SESSION, ASK_USER, QUESTIONS };

/* Opens nothing; borrows the store for its path. */
MUST_CHECK enum outcome session_queries_create(const struct store *store,
                                               struct session_queries **ret_queries,
                                               struct error *ret_error);
void session_queries_free(struct session_queries *queries);

/* Appends the reply's body. `key` is the session's or the user's id, or the cursor (empty: the
 * newest). *ret_found is false where there is no such session or user. A failure is the store's:
 * try again later. */
MUST_CHECK enum outcome session_queries_ask(struct session_queries *queries, enum question question,
                                            struct slice key, int64_t limit, int64_t now_ms,
                                            struct buffer *json, bool *ret_found,
                                            struct error *ret_error);
