/* Answers requests about users and sessions on a thread of its own, so that no HTTP thread waits
 * for the disk. It has its own connection to the store's file, and reads beside the consumer.
 *
 * A reply with status 200 is {"success":true,"data":...}. A page of sessions begins with the
 * newest. Its "next" is the cursor of the following page, or null. Sessions that open meanwhile do
 * not shift the pages. */
#pragma once

#include "session-service/store/store_reader.h"

#include "common/http/http_server.h"

struct sessions;

enum {
    SESSIONS_PAGE_DEFAULT = 100,
    SESSIONS_PAGE_MAX = 1000,
    SESSIONS_ID_BYTES_MAX = 1024,
};

/* Borrows the store, only to learn its path. Starts nothing. */
MUST_CHECK enum outcome sessions_create(const struct store *store, struct sessions **ret_sessions,
                                        struct error *ret_error);
/* Starts the thread. Borrows the worker of the HTTP server, to which replies are handed over. */
MUST_CHECK enum outcome sessions_start(struct sessions *sessions, struct worker *http,
                                       struct error *ret_error);

/* Returns the worker. When it is stopped, it answers the questions that are already queued, and
 * then the thread ends. */
struct worker *sessions_worker(struct sessions *sessions);

/* Is called after the worker has ended, or before sessions_start(). NULL is fine. */
void sessions_free(struct sessions *sessions);

/* Handlers of the routes. The second asks the question about what the tail of the path names. HTTP
 * loop's thread. */
void sessions_list(struct http_request *request, struct sessions *sessions);
void sessions_ask(struct http_request *request, struct sessions *sessions, enum question question);

/* Sends the replies that are ready. To be called on the HTTP loop's thread when it is woken. */
void sessions_reply(struct sessions *sessions);
