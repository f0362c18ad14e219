/* Replies: problem bodies, headers, and the hand-over to the library. */
#include "common/http/http_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

enum { PROBLEM_BYTES_MAX = 64 * 1024 };

char *http_problem_body(unsigned status, const char *name, const char *title, const char *detail,
                        const char *extra_members, size_t *ret_length)
{
    char type[96];
    snprintf(type, sizeof(type), "/problems/%s", name);
    json_t *root = json_pack("{s:s, s:s, s:i, s:s}", "type", type, "title", title, "status",
                             (int)status, "detail", detail);
    char *text = root == NULL ? NULL : json_dumps(root, JSON_COMPACT);
    json_decref(root);
    if (text == NULL) {
        return NULL;
    }
    struct buffer body;
    buffer_init(&body, PROBLEM_BYTES_MAX);
    buffer_append(&body, text, strlen(text) - 1); /* its last byte is the closing brace */
    buffer_append_text(&body, extra_members);
    buffer_append_text(&body, "}\n");
    free(text);
    return buffer_take(&body, ret_length);
}

static struct http_reply problem_reply(unsigned status, const char *name, const char *title,
                                       const char *detail, const char *extra_members)
{
    struct http_reply reply = {
        .status = status, .problem = name, .content_type = "application/problem+json"};
    reply.body = http_problem_body(status, name, title, detail, extra_members, &reply.body_length);
    return reply; /* without memory for the body, the status still says it */
}

void http_set_problem_with(struct http_request *request, unsigned status, const char *name,
                           const char *title, const char *detail, const char *extra_members)
{
    free(request->reply.body);
    request->reply = problem_reply(status, name, title, detail, extra_members);
}

void http_set_problem(struct http_request *request, unsigned status, const char *name,
                      const char *title, const char *detail)
{
    http_set_problem_with(request, status, name, title, detail, "");
}

void http_request_reply_problem(struct http_request *request, unsigned status, const char *name,
                                const char *title, const char *detail)
{
    struct http_reply reply = problem_reply(status, name, title, detail, "");
    http_request_reply(request, &reply);
}

static bool add(struct MHD_Response *response, const char *name, const char *value)
{
    return MHD_add_response_header(response, name, value) == MHD_YES;
}

static bool add_retry_after(struct MHD_Response *response, unsigned seconds)
{
    char value[16];
    snprintf(value, sizeof(value), "%u", seconds);
    return add(response, MHD_HTTP_HEADER_RETRY_AFTER, value);
}

/* A copy: 0.9 leaves the blanks at the end of a value behind it. */
static bool add_echo(struct MHD_Response *response, const char *name, struct slice value)
{
    char text[HTTP_REQUEST_ID_BYTES_MAX + 1];
    if (value.length == 0) {
        return true;
    }
    snprintf(text, sizeof(text), "%.*s", (int)value.length, value.data);
    return add(response, name, text);
}

/* Who knows how long a connection stays open does not send the next request while it closes. */
static bool add_connection(struct MHD_Response *response, const struct http_request *request)
{
    if (request->reply.close || request->must_close || http_server_is_draining(request->server)) {
        return add(response, MHD_HTTP_HEADER_CONNECTION, "close");
    }
    return !request->wants_keep_alive || add(response, "Keep-Alive", request->server->keep_alive);
}

static bool add_headers(struct MHD_Response *response, const struct http_request *request)
{
    const struct http_reply *reply = &request->reply;
    bool has_body = reply->content_type != NULL && reply->body_length > 0;
    return (!has_body || add(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->content_type)) &&
           (reply->retry_after_s == 0 || add_retry_after(response, reply->retry_after_s)) &&
           (reply->allow == NULL || add(response, MHD_HTTP_HEADER_ALLOW, reply->allow)) &&
           (!reply->challenge || add(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer")) &&
           add_echo(response, "X-Request-Id", request->id) &&
           add_echo(response, "traceparent", request->traceparent) &&
           http_cors_add_headers(response, request) && add_connection(response, request);
}

void http_send_reply_early(struct http_request *request)
{
    const struct http_reply *reply = &request->reply;
    struct buffer text;
    http_log_refused(request, reply);
    buffer_init(&text, PROBLEM_BYTES_MAX);
    buffer_append_format(&text,
                         "HTTP/1.1 %u %s\r\nConnection: close\r\nContent-Type: %s\r\n"
                         "Content-Length: %zu\r\n\r\n",
                         reply->status, MHD_get_reason_phrase_for(reply->status),
                         reply->content_type, reply->body_length);
    if (reply->body_length > 0) {
        buffer_append(&text, reply->body, reply->body_length);
    }
    if (!text.failed) {
        http_connection_send_last(request->own, buffer_slice(&text));
    }
    buffer_done(&text);
}

enum MHD_Result http_queue_reply(struct http_request *request)
{
    struct http_reply *reply = &request->reply;
    static char nothing[1];
    http_log_refused(request, reply);
    struct MHD_Response *response =
        reply->body == NULL ? MHD_create_response_from_buffer(0, nothing, MHD_RESPMEM_PERSISTENT)
                            : MHD_create_response_from_buffer(reply->body_length, reply->body,
                                                              MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        return MHD_NO; /* no memory: the library closes the connection, the client sees no success
                        */
    }
    reply->body = NULL;
    enum MHD_Result queued = MHD_NO;
    if (add_headers(response, request)) {
        queued = MHD_queue_response(request->connection, reply->status, response);
    }
    MHD_destroy_response(response);
    if (queued == MHD_YES) {
        request->phase = HTTP_PHASE_QUEUED;
        http_connection_wait_for(request->own, HTTP_WAIT_REPLY);
        metric_add(&request->server->replies[reply->status / 100 - 1], 1);
    }
    return queued;
}
