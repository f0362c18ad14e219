/* Answers what is asked over HTTP of users and sessions, on a thread of its own: no HTTP thread
 * waits for the disk. It has its own connection to the store's file, and reads beside the consumer.
 *
 * Replies, on 200: {"success":true,"data":...}. A page of sessions begins with the newest and tells
 * in "next" the cursor of the page behind it, or null; sessions that open meanwhile shift nothing.
 */
#pragma once

#include "session-service/store/store_reader.h"

#include "common/http/http_server.h"

struct sessions;

enum {
    SESSIONS_PAGE_DEFAULT = 100,
    SESSIONS_PAGE_MAX = 1000,
    SESSIONS_ID_BYTES_MAX = 1024,
};

/* Borrows the store for its path. Starts nothing. */
MUST_CHECK enum outcome sessions_create(const struct store *store, struct sessions **ret_sessions,
                                        struct error *ret_error);
/* Borrows the worker of the HTTP server, which gets what is answered. */
MUST_CHECK enum outcome sessions_start(struct sessions *sessions, struct worker *http,
                                       struct error *ret_error);

/* When it is stopped it still answers what was asked before. */
struct worker *sessions_worker(struct sessions *sessions);

/* After the worker's end, or before sessions_start(). NULL is fine. */
void sessions_free(struct sessions *sessions);

/* Handlers: the HTTP loop's thread. The second asks about what the path's tail names. */
void sessions_list(struct http_request *request, struct sessions *sessions);
void sessions_ask(struct http_request *request, struct sessions *sessions, enum question question);

/* Sends the replies that are ready. The HTTP loop's thread, when it is woken. */
void sessions_reply(struct sessions *sessions);
