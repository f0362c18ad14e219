/* Requests that wait for the service. They stay with the library, which asks about them in each
 * turn: to suspend and resume a connection takes three more system calls. Where many wait, or one
 * waits for long, asking costs more. */
#include "common/http/http_internal.h"

#include <stdlib.h>

enum {
    POLLED_MAX = 2000,
    POLLED_MS = 1000, /* then it is suspended */
    /* A long head, or a request behind one that waits, is read on without an event. */
    POLLED_TURN_MS = 10,
};

void http_request_defer(struct http_request *request)
{
    request->phase = HTTP_PHASE_DEFERRED;
}

static void suspend(struct http_request *request)
{
    request->is_suspended = true;
    MHD_suspend_connection(request->connection);
}

void http_deferred_begin(struct http_request *request)
{
    struct http_server *server = request->server;
    server->deferred_requests++;
    http_connection_wait_for(request->own, HTTP_WAIT_SERVICE);
    if (server->polled_requests < POLLED_MAX) {
        server->polled_requests++;
    } else {
        suspend(request);
    }
}

void http_deferred_ask(struct http_request *request)
{
    struct http_server *server = request->server;
    if (server->now_ms - request->own->since_ms >= POLLED_MS) {
        server->polled_requests--;
        suspend(request);
    }
}

void http_deferred_lose_client(struct http_request *request)
{
    request->server->polled_requests--; /* of a suspended one nobody leaves */
    request->server->orphaned_requests++;
    request->connection = NULL;
    request->own = NULL;
    request->path_part = request->id = request->traceparent = (struct slice){0};
    request->origin = request->other_origin = (struct slice){0};
}

static void end_orphan(struct http_request *request, const struct http_reply *reply)
{
    struct http_server *server = request->server;
    server->deferred_requests--;
    server->orphaned_requests--;
    server->active_requests--;
    free(reply->body);
    free(request);
}

void http_request_reply(struct http_request *request, const struct http_reply *reply)
{
    struct http_server *server = request->server;
    if (request->connection == NULL) {
        end_orphan(request, reply);
        return;
    }
    http_log_refused(request, reply);
    request->reply = *reply;
    request->reply.pointer = NULL;
    request->phase = HTTP_PHASE_REPLY;
    if (request->in_library) {
        return;
    }
    server->deferred_requests--;
    server->has_replies = true;
    if (request->is_suspended) {
        MHD_resume_connection(request->connection);
    } else {
        server->polled_requests--;
    }
}

int http_deferred_wait_ms(const struct http_server *server)
{
    bool has_work = server->has_work && server->active_requests > server->deferred_requests;
    return server->polled_requests == 0 || has_work ? 0 : POLLED_TURN_MS;
}
