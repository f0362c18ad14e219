/* What the HTTP server's source files share; with them the only code that sees libmicrohttpd. */
#pragma once

#include "common/base/named_file.h"
#include "common/http/http_linger.h"
#include "common/http/http_server.h"
#include "common/http/http_syntax.h"

#include <microhttpd.h>

#include <sys/socket.h>

enum { HTTP_DISCARD_FACTOR = 4, HTTP_ALLOW_BYTES = 64, HTTP_POINTER_BYTES = 80 };

enum http_phase {
    HTTP_PHASE_BODY,     /* headers checked, body arriving */
    HTTP_PHASE_DEFERRED, /* the handler's owner will reply */
    HTTP_PHASE_REPLY,    /* `reply` is to be queued in the next call of the library */
    HTTP_PHASE_QUEUED,   /* handed to the library */
};

/* What a connection waits for; each but the last two has its timeouts counted. */
enum http_wait {
    HTTP_WAIT_HEAD,    /* for the whole head of the next request */
    HTTP_WAIT_BODY,    /* for the rest of the request */
    HTTP_WAIT_REPLY,   /* for the client to take the reply */
    HTTP_WAIT_END,     /* for the client to take his 408: he has it, and may still be sending */
    HTTP_WAIT_SERVICE, /* for us: has no deadline here */
};
enum { HTTP_WAITS = HTTP_WAIT_SERVICE + 1 };

/* Of each connection; lives from its acceptance to its close. */
struct http_connection {
    struct http_server *server;
    struct MHD_Connection *connection;
    TAILQ_ENTRY(http_connection) by_age; /* in the list of what it waits for */
    enum http_wait wait;
    uint64_t since_ms;
    bool has_sent_request;
    bool is_late;                 /* has its 408 */
    bool is_cut_off;              /* in no list: the library will close it */
    struct http_target target;    /* of the request whose head is arriving */
    struct http_request *request; /* from its head to its end; else NULL */
};

/* All have the same time to wait, so that the order of arrival is the order of deadlines. */
struct http_wait_list {
    TAILQ_HEAD(http_connections, http_connection) connections;
    uint64_t timeout_ms;
};

/* Begins with the headers of a request and ends in the library's completion callback, which frees
 * it. A deferred request outlives its client: it ends with its reply. */
struct http_request {
    struct http_server *server;
    struct MHD_Connection *connection; /* NULL: an orphan, whose client has left */
    struct http_connection *own;       /* the same */
    struct slice path_part;            /* of the library's, which keeps it as long as the request */
    const struct http_route *route;    /* NULL: `reply` holds the refusal already */
    enum http_phase phase;
    bool in_library;   /* the library is calling us with this request */
    bool is_suspended; /* deferred, and the library does not ask about it */
    bool must_close;
    bool wants_keep_alive; /* the client named it: only such clients read its timeout */
    bool is_preflight;     /* a browser asks what a page of an allowed origin may do */
    bool is_trusted;
    bool is_logged;
    struct slice id;           /* X-Request-Id, the library's; empty: none that is valid */
    struct slice traceparent;  /* the same */
    struct slice origin;       /* the same; only of an allowed one */
    struct slice other_origin; /* the same; one that is not allowed */
    bool body_too_large;
    bool body_unwelcome; /* no room for it */
    size_t body_seen_bytes;
    size_t body_counted_bytes; /* in the server's receiving_bytes */
    struct buffer body;
    struct http_reply reply;
    char allow[HTTP_ALLOW_BYTES];
};

/* How to add a metric is said in common/metrics/metrics.h. */
#define HTTP_METRICS(METRIC)                                                                       \
    METRIC(replies, COUNTERS("class", "1xx", "2xx", "3xx", "4xx", "5xx"), "http_replies_total",    \
           "HTTP replies by status class.")                                                        \
    METRIC(connections, GAUGE, "http_connections", "Open HTTP connections.")                       \
    METRIC(refused_connections, COUNTER, "http_refused_connections_total",                         \
           "Connections closed at once: their address had too many.")                              \
    METRIC(failed_connections, COUNTER, "http_failed_connections_total",                           \
           "Connections closed at once: there was no memory or no room in the library for them.")  \
    METRIC(timeouts,                                                                               \
           COUNTERS("wait", [HTTP_WAIT_HEAD] = "head", [HTTP_WAIT_BODY] = "body",                  \
                    [HTTP_WAIT_REPLY] = "reply"),                                                  \
           "http_timeouts_total", "Connections cut off at a deadline, by what they kept waiting.") \
    METRIC(shown_receiving_bytes, GAUGE, "http_receiving_bytes",                                   \
           "Memory of the request bodies that are arriving.")                                      \
    METRIC(connection_limit, GAUGE, "http_connection_limit",                                       \
           "Connections that may be open at once.")                                                \
    METRIC(malformed_requests, COUNTER, "http_malformed_requests_total",                           \
           "Requests refused because two parsers could read them in two ways.")

/* A request that was answered with an error, as the log tells of it. */
struct http_refusal {
    unsigned status;
    const char *problem, *reason; /* literals, or NULL */
    bool has_pointer;
    char pointer[HTTP_POINTER_BYTES];
    struct sockaddr_storage client;         /* AF_UNSPEC: has no address */
    char id[HTTP_REQUEST_ID_BYTES_MAX + 1]; /* X-Request-Id, or the traceparent; "" for none */
};

/* The beginning of a flood is logged one by one, and of the rest the last one, with the number of
 * the others. */
struct http_refusals {
    uint64_t since_ms; /* when the period began */
    unsigned logged;   /* in it, one by one */
    unsigned kept;     /* in it, beyond those: `last` is the last of them */
    struct http_refusal last;
};

enum { HTTP_LISTENERS_MAX = 16, HTTP_ACCEPT_PAUSE_MS = 100 /* where descriptors run out */ };

struct http_listeners {
    int descriptors[HTTP_LISTENERS_MAX];
    struct named_file places[HTTP_LISTENERS_MAX]; /* of those in the file system */
    size_t count;
    bool are_passed; /* the service manager has them too */
};

struct http_server {
    struct http_server_options options;
    struct MHD_Daemon *daemon;
    struct http_listeners listeners;
    bool is_accepting;        /* the loop watches the listeners */
    unsigned accept_failures; /* in a row */
    int epoll_descriptor;
    struct worker worker;
    char keep_alive[32];  /* what the header of that name says */
    uint64_t open_routes; /* one bit for each, in their order */
    struct http_refusals refusals;
    struct auth_tokens *tokens;                 /* the loop's; NULL: all requests are allowed */
    _Atomic(struct auth_tokens *) fresh_tokens; /* for the loop to take; or NULL */
    bool has_replies;                           /* that the library is to take up */
    bool has_work;                              /* of this turn the library has some left */
    bool is_library_lenient;                    /* its parser takes what must be refused */
    uint64_t accept_retry_ms;                   /* 0: nothing is wrong */
    uint64_t now_ms;                            /* of this turn */
    struct http_wait_list waits[HTTP_WAITS];
    size_t active_requests, deferred_requests;
    size_t polled_requests; /* deferred, and not suspended: the library asks about them each turn */
    size_t orphaned_requests; /* deferred, and nobody waits for the reply */
    size_t receiving_bytes;   /* memory of the bodies that are arriving */
    size_t new_connections;   /* those that have not sent a request yet */
    size_t places;            /* descriptors for connections and for those that linger */
    struct http_linger linger;
    HTTP_METRICS(METRIC_MEMBER)
};

struct http_head {
    const char *path, *method, *version; /* the library's */
};

struct http_framing {
    const char
        *problem;    /* NULL: fine; else why it is not certain where the request ends: 400, close */
    uint64_t length; /* declared, or 0 */
    bool is_chunked;
};

/* Judges a request's head before anything is read of the body, and notes in the request the headers
 * that every reply depends on. */
struct http_framing http_check_framing(struct http_request *request, const struct http_head *head);

/* Opens the listening sockets, or takes those that the service manager passes. */
MUST_CHECK enum outcome http_listen(const char *listen, struct http_listeners *ret_listeners,
                                    struct error *ret_error);

/* Closes them, and removes those of the file system that are not passed, unless another process has
 * replaced them. */
void http_listeners_close(struct http_listeners *listeners);

/* The addresses that listening sockets have, as --listen would say them. */
void http_listen_address(const struct http_listeners *listeners, char *ret_text, size_t size);

/* Watches a descriptor for what can be read. */
MUST_CHECK enum outcome http_watch(struct http_server *server, int descriptor,
                                   struct error *ret_error);

/* Takes in those who wait at a listening socket that can be read. */
void http_accept(struct http_server *server, int descriptor);

/* Decides before each wait whether new connections are welcome. */
void http_accept_where_there_is_room(struct http_server *server);

/* Who has connected as far as he knows is taken in before the door closes, where no other process
 * does it. */
void http_accept_the_last(struct http_server *server);

/* The next request of this connection has its head. NULL: there was no memory for the connection.
 */
struct http_connection *http_connection_begin_request(struct MHD_Connection *connection);

/* From now on it waits for this. */
void http_connection_wait_for(struct http_connection *own, enum http_wait wait);

/* Sends what is no reply of the library's, because that takes none now; nothing else is being sent
 * to this client. The connection must be closed then. */
void http_connection_send_last(struct http_connection *own, struct slice reply);

/* Cuts off, some at a time, those that have waited too long. */
void http_connections_sweep(struct http_server *server);

/* Closes the connection that lingers or has been idle for longest; false: none is. */
MUST_CHECK bool http_connections_give_up_one(struct http_server *server);

/* The library's callbacks. */
enum MHD_Result http_handle_request(void *closure, struct MHD_Connection *connection,
                                    const char *path, const char *method, const char *version,
                                    const char *upload_data, size_t *upload_bytes,
                                    void **request_slot);
void http_end_request(void *closure, struct MHD_Connection *connection, void **request_slot,
                      enum MHD_RequestTerminationCode why);

void http_connection_changed(void *closure, struct MHD_Connection *connection,
                             void **connection_slot, enum MHD_ConnectionNotificationCode what);
void *http_record_target(void *closure, const char *target, struct MHD_Connection *connection);

/* Whether a page of that origin may read the replies. `origins` as in the options. */
bool http_cors_allows(const char *origins, struct slice origin);

/* Adds what a browser is to know of the reply. False: no memory. */
MUST_CHECK bool http_cors_add_headers(struct MHD_Response *response,
                                      const struct http_request *request);

/* Logs a request that is answered with an error, or keeps it. */
void http_log_refused(struct http_request *request, const struct http_reply *reply);

/* Logs what is kept, where its period is over, or `is_last`. */
void http_log_kept_refusal(struct http_server *server, bool is_last);

/* The handler has deferred the request: from now on it waits for http_request_reply(). */
void http_deferred_begin(struct http_request *request);

/* The library asks whether there is a reply now. */
void http_deferred_ask(struct http_request *request);

/* Its client has left before that. */
void http_deferred_lose_client(struct http_request *request);

/* How long to wait for events where the library wants to be called again at once, in milliseconds:
 * it does as long as a request is polled. */
int http_deferred_wait_ms(const struct http_server *server);

/* Queues request->reply with the library. */
enum MHD_Result http_queue_reply(struct http_request *request);

/* Sends request->reply in mid-body, where the library takes none. The connection must be closed
 * then.
 */
void http_send_reply_early(struct http_request *request);

/* Stores a problem as request->reply. `extra_members` is JSON text that begins with a comma. */
void http_set_problem(struct http_request *request, unsigned status, const char *name,
                      const char *title, const char *detail);
void http_set_problem_with(struct http_request *request, unsigned status, const char *name,
                           const char *title, const char *detail, const char *extra_members);
