/* What the HTTP server's source files share; with them the only code that sees libmicrohttpd. */
#pragma once

#include "common/http_server.h"

#include <microhttpd.h>
#include <pthread.h>

enum { HTTP_DISCARD_FACTOR = 4, HTTP_ALLOW_BYTES = 64 };

enum http_phase {
    HTTP_PHASE_BODY,     /* headers judged, body arriving */
    HTTP_PHASE_DEFERRED, /* suspended: the handler's owner will reply */
    HTTP_PHASE_REPLY,    /* `reply` is to be queued in the next call of the library */
    HTTP_PHASE_QUEUED,   /* handed to the library */
};

/* Begins with the headers of a request and ends in the library's completion callback, which frees
 * it. A deferred request outlives its client: it ends after its reply. */
struct http_request {
    struct http_server *server;
    struct MHD_Connection *connection;
    const char *path_tail;          /* of the library's, which keeps it as long as the request */
    const struct http_route *route; /* NULL: `reply` holds the refusal already */
    enum http_phase phase;
    bool in_library; /* the library is calling us with this request: no resume is needed */
    bool body_too_large;
    size_t body_seen_bytes;
    struct buffer body;
    struct http_reply reply;
    char allow[HTTP_ALLOW_BYTES];
};

struct http_server {
    struct http_server_options options;
    struct MHD_Daemon *daemon;
    int listen_descriptor; /* until the library owns it */
    int epoll_descriptor;
    int control_descriptor; /* eventfd: drain */
    pthread_t thread;
    bool thread_started;
    pthread_mutex_t lock; /* guards ended */
    pthread_cond_t ended_changed;
    bool ended;
    atomic_bool draining;
    struct auth_tokens *tokens;                 /* the loop's; NULL: all requests are allowed */
    _Atomic(struct auth_tokens *) fresh_tokens; /* for the loop to take; or NULL */
    bool resumed;                               /* the library has replies to take up */
    atomic_uint_least64_t turns;
    bool is_socket_passed; /* the service manager has the listening socket too */
    size_t active_requests, deferred_requests;
    size_t new_connections;    /* those that have not sent a request yet */
    metric_counter replies[5]; /* by class, 1xx first */
    metric_gauge connections;
};

/* Judges the headers before anything is read of the body. NULL: fine. Else why the framing cannot
 * be trusted; reply 400 and close. */
const char *http_framing_problem(struct MHD_Connection *connection, const char *version);

/* The declared length of the body, or 0 where there is none (chunked). */
uint64_t http_declared_length(struct MHD_Connection *connection);

/* Opens the listening socket, or takes the one that the service manager passes. */
enum outcome http_listen(const char *listen, int *ret_descriptor, bool *ret_is_passed,
                         struct error *ret_error);

/* The address that a listening socket has, as --listen would say it. */
void http_listen_address(int descriptor, char *ret_text, size_t size);

/* Counts a connection as no longer new. */
void http_connection_is_used(struct http_server *server, struct MHD_Connection *connection);

/* The library's callbacks. */
enum MHD_Result http_handle_request(void *closure, struct MHD_Connection *connection,
                                    const char *path, const char *method, const char *version,
                                    const char *upload_data, size_t *upload_bytes,
                                    void **request_slot);
void http_end_request(void *closure, struct MHD_Connection *connection, void **request_slot,
                      enum MHD_RequestTerminationCode why);

/* Queues request->reply with the library. */
enum MHD_Result http_queue_reply(struct http_request *request);

/* Stores a problem as request->reply. */
void http_set_problem(struct http_request *request, unsigned status, const char *name,
                      const char *title, const char *detail);
