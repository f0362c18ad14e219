/* Answers what is asked over HTTP of users and sessions, on a thread of its own: no HTTP thread
 * waits for the disk. It has its own connection to the store's file, and reads beside the consumer.
 *
 * Replies, on 200: {"success":true,"data":...}. A page of sessions begins with the newest and tells
 * in "next" the cursor of the page behind it, or null; sessions that open meanwhile shift nothing.
 */
#pragma once

#include "session-service/store/store.h"

#include "common/http/http_server.h"

#include <stdatomic.h>

struct sessions;

enum {
    SESSIONS_PAGE_DEFAULT = 100,
    SESSIONS_PAGE_MAX = 1000,
    SESSIONS_ID_BYTES_MAX = 1024,
};

/* Borrows the store for its path. Starts nothing. */
MUST_CHECK enum outcome sessions_create(const struct store *store, struct sessions **ret_sessions,
                                        struct error *ret_error);
MUST_CHECK enum outcome sessions_start(struct sessions *sessions, struct error *ret_error);

/* Ends the thread, after what was asked before. */
void sessions_stop(struct sessions *sessions);
/* After sessions_stop(), or before sessions_start(). NULL is fine. */
void sessions_free(struct sessions *sessions);

/* Handlers: the HTTP loop's thread. */
void sessions_list(struct http_request *request, struct sessions *sessions);
void sessions_get(struct http_request *request, struct sessions *sessions);
void sessions_end(struct http_request *request, struct sessions *sessions);
void sessions_get_user(struct http_request *request, struct sessions *sessions);

/* The descriptor that the HTTP loop watches, and what it then calls to send the replies. */
int sessions_wake_descriptor(const struct sessions *sessions);
void sessions_reply_completed(struct sessions *sessions);

/* Counts the turns of the thread's loop, at least one a second. Any thread. */
const atomic_uint_least64_t *sessions_turns(const struct sessions *sessions);
