/* A small HTTP/1.1 server: one thread, one epoll loop around libmicrohttpd, a table of routes.
 * Only http_internal.h includes microhttpd.h.
 *
 * A handler runs on the loop's thread with the whole body and never blocks. It replies at once, or
 * defers: then it must reply later, on the loop's thread (from on_wake), exactly once. */
#pragma once

#include "common/base/buffer.h"
#include "common/http/auth_tokens.h"
#include "common/metrics/metrics.h"
#include "common/threads/worker.h"

#include <stdint.h>

struct http_server;
struct http_request;

struct http_route {
    const char *method; /* "GET" also serves HEAD */
    const char *path;   /* without the query, and with or without a slash at the end; one "{...}" in
                         * it stands for what is http_request_path_part(): see http_path_matches()
                         */
    void (*handle)(struct http_request *request, void *context);
    bool open; /* serves also those who show no token, whatever the options say */
};

struct http_server_options {
    /* ADDR:PORT, [ADDR6]:PORT, or the path of a local socket, and more of them behind commas; not
     * used where systemd passes sockets. */
    const char *listen;
    struct auth_tokens *tokens; /* taken on success; NULL: no request is authenticated */
    const char *open_paths;     /* of routes that serve also those who show no token: a list with
                                 * commas, borrowed; or NULL */
    const char *cors_origins;   /* whose pages may read the replies: a list with commas, or "*";
                                 * borrowed; NULL: none */
    size_t max_body_bytes;
    unsigned connections_max;
    unsigned connections_per_address_max; /* 0: no limit */
    /* For the whole head of a request since the connection or the last reply; then for its body;
     * then for the client to take the reply. However they drip. */
    uint64_t idle_timeout_ms, request_timeout_ms, reply_timeout_ms;
    size_t receiving_bytes_max;      /* of all bodies that are arriving; 0: no limit */
    const struct http_route *routes; /* borrowed */
    size_t route_count;
    void *context; /* for handlers and callbacks */
    /* Must take what was handed over to http_server_worker(). It may be called for nothing. */
    void (*on_wake)(void *context);
    void (*on_turn)(void *context); /* after every turn of the loop, before it waits; or NULL */
    uint64_t drain_delay_ms;        /* so long a drain goes on accepting: who looks at the service
                                     * learns of it first */
    uint64_t drain_timeout_ms;      /* after that a drain ends at the latest then, deferred requests
                                     * excepted: those must be replied to */
};

/* Binds and listens, or takes the sockets that systemd passes. INVALID: the address, or a passed
 * socket that is no listening stream socket; TRANSIENT: in use. */
MUST_CHECK enum outcome http_server_create(const struct http_server_options *options,
                                           struct http_server **ret_server,
                                           struct error *ret_error);

/* True where the server would listen on loopback addresses, "localhost" or local sockets of the
 * file system only. INVALID: as for http_server_create(). */
MUST_CHECK enum outcome http_listen_is_loopback(const char *listen, bool *ret_loopback,
                                                struct error *ret_error);

enum { HTTP_ADDRESS_BYTES = 128, HTTP_ADDRESSES_BYTES = 2048 };

/* Writes where the sockets listen that systemd passes. False: it passes none that can be used.
 * Before the drain. */
MUST_CHECK bool http_listen_passed(char ret_text[HTTP_ADDRESSES_BYTES]);

/* Where the server listens, which passed sockets decide and not its options. Before
 * the drain. */
void http_server_address(const struct http_server *server, char ret_text[HTTP_ADDRESSES_BYTES]);

/* Takes tokens to use instead of those before, from the next request on. Any thread. */
void http_server_set_tokens(struct http_server *server, struct auth_tokens *tokens);

MUST_CHECK enum outcome http_server_start(struct http_server *server, struct error *ret_error);

/* Its loop. What is handed over to it is for on_wake. worker_stop() begins the drain: replies carry
 * Connection: close, after drain_delay_ms the server stops accepting, and the loop ends when no
 * request is left, and none is expected: who has just connected gets a moment to send his first. */
struct worker *http_server_worker(struct http_server *server);
bool http_server_is_draining(const struct http_server *server);

/* After the worker's end, or before http_server_start(). NULL is fine. */
void http_server_free(struct http_server *server);

/* Of a request, all borrowed until the handler returns: then the client may leave. */
struct slice http_request_body(const struct http_request *request);
struct slice http_request_header(const struct http_request *request,
                                 const char *name); /* empty: none */
struct slice http_request_query(const struct http_request *request, const char *name);
struct slice http_request_path_part(const struct http_request *request); /* decoded */
size_t http_request_header_count(const struct http_request *request, const char *name);

/* True where the request shows a known token, or no request is authenticated. What this server
 * alone may know is told to nobody else. */
bool http_request_is_trusted(const struct http_request *request);

struct http_reply {
    unsigned status;
    const char *problem; /* a literal: the name in its body's type; or NULL */
    const char *reason;  /* a literal: the cause in its body, for the log; or NULL */
    const char *pointer; /* to what is wrong in the request, for the log; borrowed for the call of
                          * http_request_reply(); or NULL */
    const char *content_type; /* a literal */
    char *body;               /* taken: malloc()ed, freed by the server; may be NULL */
    size_t body_length;
    unsigned retry_after_s; /* 0: no such header */
    const char *allow;      /* a literal or NULL */
    bool challenge;         /* 401: says which authentication is wanted */
    bool close;
};

/* Takes reply->body. */
void http_request_reply(struct http_request *request, const struct http_reply *reply);

/* A body of RFC 9457: type is "/problems/<name>", title and detail are JSON-escaped here.
 * `extra_members` is JSON text that begins with a comma, or "". Returns owned, NULL: no memory. */
MUST_CHECK char *http_problem_body(unsigned status, const char *name, const char *title,
                                   const char *detail, const char *extra_members,
                                   size_t *ret_length);
void http_request_reply_problem(struct http_request *request, unsigned status, const char *name,
                                const char *title, const char *detail);

/* Promises a later http_request_reply(). */
void http_request_defer(struct http_request *request);

/* Appends its metrics for GET /metrics. Any thread. */
void http_server_append_metrics(const struct http_server *server, struct buffer *text);
