/* The phases of a request: headers, body, handler, deferred, reply. */
#include "common/http/http_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static struct slice header_of(struct http_request *request, enum MHD_ValueKind kind,
                              const char *name)
{
    const char *value = NULL;
    size_t length = 0;
    if (MHD_lookup_connection_value_n(request->connection, kind, name, strlen(name), &value,
                                      &length) != MHD_YES ||
        value == NULL) {
        return (struct slice){0};
    }
    return (struct slice){value, length};
}

struct slice http_request_header(const struct http_request *request, const char *name)
{
    /* 0.9 leaves the blanks at the end of a value. */
    return http_trim_end(
        header_of((struct http_request *)(uintptr_t)request, MHD_HEADER_KIND, name));
}

struct slice http_request_query(const struct http_request *request, const char *name)
{
    return header_of((struct http_request *)(uintptr_t)request, MHD_GET_ARGUMENT_KIND, name);
}

struct slice http_request_body(const struct http_request *request)
{
    return buffer_slice(&request->body);
}

struct slice http_request_path_part(const struct http_request *request)
{
    return request->path_part;
}

struct header_count {
    const char *name;
    size_t count;
};

static enum MHD_Result count_header(void *closure, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    struct header_count *counted = closure;
    (void)kind;
    (void)value;
    counted->count += strcasecmp(name, counted->name) == 0;
    return MHD_YES;
}

size_t http_request_header_count(const struct http_request *request, const char *name)
{
    struct header_count counted = {.name = name};
    (void)MHD_get_connection_values(request->connection, MHD_HEADER_KIND, count_header, &counted);
    return counted.count;
}

static bool method_matches(const char *route_method, const char *method)
{
    return strcmp(route_method, method) == 0 || (strcmp(method, MHD_HTTP_METHOD_HEAD) == 0 &&
                                                 strcmp(route_method, MHD_HTTP_METHOD_GET) == 0);
}

static bool lacks_part(const struct http_server_options *options, const char *path)
{
    bool is_lacking = false;
    bool is_slash_last = path[0] != '\0' && path[strlen(path) - 1] == '/';
    for (size_t i = 0; is_slash_last && !is_lacking && i < options->route_count; i++) {
        is_lacking = http_path_lacks_part(options->routes[i].path, path);
    }
    return is_lacking;
}

/* Finds the route, or leaves the refusal in request->reply. */
static void choose_route(struct http_request *request, const struct http_head *head)
{
    const struct http_target *target = &request->own->target;
    const char *method = head->method;
    const char *path = head->path + target->path_offset;
    if (target->path_offset > 0 && path[0] == '\0') {
        path = "/";
    }
    const struct http_server_options *options = &request->server->options;
    bool known = false;
    int allow_length = 0;
    size_t route_count = lacks_part(options, path) ? 0 : options->route_count;
    for (size_t i = 0; i < route_count; i++) {
        const struct http_route *route = &options->routes[i];
        struct slice part;
        if (!http_path_matches(route->path, path, target, &part)) {
            continue;
        }
        if (method_matches(route->method, method)) {
            request->path_part = part;
            request->route = route;
            return;
        }
        known = true;
        bool get = strcmp(route->method, MHD_HTTP_METHOD_GET) == 0;
        int room = HTTP_ALLOW_BYTES - allow_length;
        allow_length += snprintf(request->allow + allow_length, (size_t)room, "%s%s, ",
                                 route->method, get ? ", HEAD" : "");
        if (allow_length >= HTTP_ALLOW_BYTES) {
            allow_length = HTTP_ALLOW_BYTES - 1;
        }
    }
    if (strcmp(path, "*") == 0 && strcmp(method, MHD_HTTP_METHOD_OPTIONS) == 0) {
        request->reply = (struct http_reply){.status = 204};
        return;
    }
    if (!known) {
        http_set_problem(request, 404, "not-found", "Not Found", "there is nothing at this path");
        return;
    }
    snprintf(request->allow + allow_length, (size_t)(HTTP_ALLOW_BYTES - allow_length), "OPTIONS");
    if (strcmp(method, MHD_HTTP_METHOD_OPTIONS) == 0) {
        request->reply = (struct http_reply){.status = 204};
    } else {
        http_set_problem(request, 405, "method-not-allowed", "Method Not Allowed",
                         "this path serves other methods: see Allow");
    }
    request->reply.allow = request->allow;
}

static bool shows_token(struct http_request *request)
{
    struct http_server *server = request->server;
    if (atomic_load_explicit(&server->fresh_tokens, memory_order_relaxed) != NULL) {
        auth_tokens_free(server->tokens);
        server->tokens = atomic_exchange(&server->fresh_tokens, NULL);
    }
    return server->tokens == NULL ||
           (http_request_header_count(request, MHD_HTTP_HEADER_AUTHORIZATION) == 1 &&
            auth_tokens_allow(server->tokens,
                              http_request_header(request, MHD_HTTP_HEADER_AUTHORIZATION)));
}

bool http_request_is_trusted(const struct http_request *request)
{
    return request->is_trusted;
}

static bool is_open(const struct http_request *request)
{
    const struct http_server *server = request->server;
    size_t number = request->route == NULL ? 0 : (size_t)(request->route - server->options.routes);
    return request->route != NULL &&
           (request->route->open || (server->open_routes >> number & 1) != 0);
}

/* A browser asks without the token what it may send with it. */
static bool is_preflight(const struct http_request *request, const char *method)
{
    return request->origin.length > 0 && strcmp(method, MHD_HTTP_METHOD_OPTIONS) == 0 &&
           http_request_header(request, "Access-Control-Request-Method").length > 0;
}

/* A browser sends some requests that change something for a page of any origin, and asks nobody. To
 * a service without tokens it would give the page whatever may be done from this machine. A request
 * without an origin is not of a page. */
static bool is_of_foreign_page(const struct http_request *request, const char *method)
{
    return request->other_origin.data != NULL && request->server->tokens == NULL &&
           !method_matches(MHD_HTTP_METHOD_GET, method) &&
           strcmp(method, MHD_HTTP_METHOD_OPTIONS) != 0 &&
           !http_is_origin_of(request->other_origin,
                              http_request_header(request, MHD_HTTP_HEADER_HOST));
}

/* Leaves the refusal in request->reply where the request shows no token that is known and needs
 * one. Also of what is not there an unknown client learns nothing. */
static void check_access(struct http_request *request, const char *method)
{
    request->is_trusted = shows_token(request);
    request->is_preflight = is_preflight(request, method);
    if (is_of_foreign_page(request, method)) {
        request->route = NULL;
        http_set_problem(request, 403, "foreign-origin", "Forbidden",
                         "a page of another origin may not use this service: an operator can name "
                         "its origin with --cors-origin, or require tokens");
        return;
    }
    if (request->is_trusted || request->is_preflight || is_open(request)) {
        return;
    }
    request->route = NULL;
    http_set_problem(request, 401, "unauthorized", "Unauthorized",
                     "this needs a known token: Authorization: Bearer TOKEN");
    request->reply.challenge = true;
}

static void refuse_large_body(struct http_request *request)
{
    char detail[96];
    snprintf(detail, sizeof(detail), "the body may have at most %zu bytes",
             request->server->options.max_body_bytes);
    request->route = NULL;
    http_set_problem(request, 413, "body-too-large", "Content Too Large", detail);
    request->reply.close = true;
}

static void refuse_unwelcome_body(struct http_request *request)
{
    request->route = NULL;
    http_set_problem_with(request, 503, "unavailable", "Service Unavailable",
                          "too many request bodies are arriving",
                          ",\"reason\":\"too-many-bodies\"");
    request->reply.reason = "too-many-bodies";
    request->reply.retry_after_s = 1;
}

static bool has_room(const struct http_server *server, size_t bytes)
{
    size_t limit = server->options.receiving_bytes_max;
    return limit == 0 || (bytes <= limit && server->receiving_bytes <= limit - bytes);
}

static void count_body(struct http_request *request)
{
    struct http_server *server = request->server;
    server->receiving_bytes += request->body.capacity - request->body_counted_bytes;
    request->body_counted_bytes = request->body.capacity;
    metric_set(&server->shown_receiving_bytes, (int64_t)server->receiving_bytes);
}

static void release_body(struct http_request *request)
{
    buffer_done(&request->body);
    count_body(request);
}

/* Refusals that must not wait for the body. The library closes a connection whose reply is queued
 * before its body was read: so only what has to close replies here. */
static bool is_refused_at_once(struct http_request *request, const struct http_head *head)
{
    struct http_server *server = request->server;
    struct http_framing framing = http_check_framing(request, head);
    if (framing.problem != NULL) {
        metric_add(&server->malformed_requests, 1);
        http_set_problem(request, 400, "malformed-request", "Bad Request", framing.problem);
        request->reply.close = true;
        return true;
    }
    /* Some versions of the library take a bare LF for the end of a chunk's line. What they take for
     * the next request may be data to whoever is in front: there is no next request. */
    request->must_close = framing.is_chunked;
    choose_route(request, head);
    check_access(request, head->method);
    if (framing.length > server->options.max_body_bytes) {
        refuse_large_body(request);
        return true;
    }
    if (request->route != NULL && framing.length > 0 && !has_room(server, framing.length)) {
        refuse_unwelcome_body(request);
        request->reply.close = true;
        return true;
    }
    return false;
}

static enum MHD_Result begin_request(struct http_server *server, struct MHD_Connection *connection,
                                     const struct http_head *head, void **request_slot)
{
    struct http_connection *own = http_connection_begin_request(connection);
    struct http_request *request = own == NULL ? NULL : calloc(1, sizeof(*request));
    if (request == NULL) {
        return MHD_NO;
    }
    request->server = server;
    request->connection = connection;
    request->own = own;
    own->request = request;
    buffer_init(&request->body, server->options.max_body_bytes);
    *request_slot = request;
    server->active_requests++;
    http_connection_wait_for(own, HTTP_WAIT_BODY);
    return is_refused_at_once(request, head) ? http_queue_reply(request) : MHD_YES;
}

/* In mid-body the library takes no reply: what is too much is read and forgotten up to a limit, and
 * a client that goes on beyond it gets the reply without the library's help. Memory is taken only
 * for what has come. */
static enum MHD_Result take_body(struct http_request *request, const char *data, size_t length)
{
    struct http_server *server = request->server;
    size_t limit = server->options.max_body_bytes;
    request->body_seen_bytes += length;
    if (request->body_seen_bytes > limit) {
        request->body_too_large = true;
        release_body(request);
        if (request->body_seen_bytes <= HTTP_DISCARD_FACTOR * limit) {
            return MHD_YES;
        }
        refuse_large_body(request);
        http_send_reply_early(request);
        return MHD_NO;
    }
    if (request->route == NULL || request->body_unwelcome) {
        return MHD_YES;
    }
    bool fits = length <= request->body.capacity - request->body.length;
    if (!fits && !has_room(server, length)) {
        request->body_unwelcome = true;
        release_body(request);
        return MHD_YES;
    }
    buffer_append(&request->body, data, length);
    count_body(request);
    return request->body.failed ? MHD_NO : MHD_YES;
}

static enum MHD_Result run_handler(struct http_request *request)
{
    if (request->body_too_large) {
        refuse_large_body(request);
    } else if (request->body_unwelcome) {
        refuse_unwelcome_body(request);
    }
    if (request->route != NULL) {
        request->in_library = true;
        request->route->handle(request, request->server->options.context);
        request->in_library = false;
        if (request->phase == HTTP_PHASE_DEFERRED) {
            release_body(request); /* whoever deferred has taken what he needs */
            http_deferred_begin(request);
            return MHD_YES;
        }
    }
    return http_queue_reply(request);
}

enum MHD_Result http_handle_request(void *closure, struct MHD_Connection *connection,
                                    const char *path, const char *method, const char *version,
                                    const char *upload_data, size_t *upload_bytes,
                                    void **request_slot)
{
    struct http_server *server = closure;
    if (*request_slot == NULL) {
        server->has_work = true; /* the body is to come */
        const struct http_head head = {.path = path, .method = method, .version = version};
        return begin_request(server, connection, &head, request_slot);
    }
    struct http_request *request = *request_slot;
    if (request->own->is_late) {
        return MHD_NO;
    }
    if (request->phase == HTTP_PHASE_DEFERRED) {
        http_deferred_ask(request);
        return MHD_YES;
    }
    server->has_work = true;
    switch (request->phase) {
    case HTTP_PHASE_BODY:
        if (*upload_bytes > 0) {
            enum MHD_Result taken = take_body(request, upload_data, *upload_bytes);
            *upload_bytes = 0;
            return taken;
        }
        return run_handler(request);
    case HTTP_PHASE_REPLY:
        return http_queue_reply(request);
    case HTTP_PHASE_DEFERRED:
    case HTTP_PHASE_QUEUED:
        break;
    }
    return MHD_NO; /* the library does not call in these phases */
}

void http_end_request(void *closure, struct MHD_Connection *connection, void **request_slot,
                      enum MHD_RequestTerminationCode why)
{
    struct http_server *server = closure;
    struct http_request *request = *request_slot;
    (void)connection;
    (void)why;
    if (request == NULL) {
        return;
    }
    *request_slot = NULL;
    release_body(request);
    request->own->request = NULL;
    http_connection_wait_for(request->own, HTTP_WAIT_HEAD);
    if (request->phase == HTTP_PHASE_DEFERRED) {
        http_deferred_lose_client(request);
        return;
    }
    server->active_requests--;
    free(request->reply.body);
    free(request);
}
