/* The loop around libmicrohttpd, and the phases of a request. */
#include "common/http/http_internal.h"

#include "common/base/clock.h"
#include "common/log/log_events.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    CONNECTION_MEMORY_BYTES = 16 * 1024,
    LONGEST_WAIT_MS = 1000,
    MS_PER_S = 1000,
    EVENTS_MAX = 8,
    OPEN_ROUTES_MAX = 64,         /* bits */
    OTHER_DESCRIPTORS = 31,       /* of the broker, the store, the log; listeners come on top */
    FIRST_REQUEST_WAIT_MS = 1000, /* in a drain, for who has connected and sent nothing yet */
    DRAIN_TURN_MS = 10,           /* the longest wait of a turn in a drain */
    LAST_RUNS = 3,                /* head, body, end */
};

bool http_server_is_draining(const struct http_server *server)
{
    return worker_is_stopping(&server->worker);
}

PRINTF_LIKE(2, 0)
static void log_library_message(void *closure, const char *format, va_list arguments)
{
    struct http_server *server = closure;
    char text[256];
    /* There is no other sign of these. */
    if (strncmp(format, "Server reached connection limit", 31) == 0) {
        metric_add(&server->refused_connections, 1);
    }
    if (log_enabled(LOG_LEVEL_DEBUG)) {
        vsnprintf(text, sizeof(text), format, arguments);
        log_at(&event_http_library, log_string("message", text));
    }
}

/* One thread calls it at a time: it needs no locks, and no eventfd to write to at each resume. */
#if MHD_VERSION >= 0x00097707
enum { SINGLE_THREADED = MHD_USE_NO_THREAD_SAFETY };
#else
enum { SINGLE_THREADED = 0 }; /* there it is so without a word */
#endif

static enum outcome start_library(struct http_server *server, struct error *ret_error)
{
    const struct http_server_options *options = &server->options;
    /* What is younger refuses by itself what cannot be judged from a handler. What is older does
     * not, at any setting; strictly it only sends the head of a refusal twice. */
    server->is_library_lenient = strncmp(MHD_get_version(), "0.", 2) == 0;
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO | MHD_USE_ERROR_LOG |
            MHD_USE_NO_LISTEN_SOCKET | SINGLE_THREADED,
        0, NULL, NULL, http_handle_request, server, MHD_OPTION_EXTERNAL_LOGGER, log_library_message,
        server, MHD_OPTION_NOTIFY_COMPLETED, http_end_request, server, MHD_OPTION_NOTIFY_CONNECTION,
        http_connection_changed, server, MHD_OPTION_URI_LOG_CALLBACK, http_record_target, server,
        MHD_OPTION_CONNECTION_LIMIT, options->connections_max, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        options->connections_per_address_max, MHD_OPTION_CONNECTION_TIMEOUT, 0,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY_BYTES,
        MHD_OPTION_STRICT_FOR_CLIENT, server->is_library_lenient ? 0 : 1,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
    if (server->daemon == NULL) {
        return error_set(ret_error, OUTCOME_TRANSIENT, "start the HTTP library on %s",
                         options->listen);
    }
    return OUTCOME_OK;
}

/* Connections must leave descriptors for the rest of the service, which has raised the limit as far
 * as it could. */
static void limit_connections(struct http_server *server)
{
    struct http_server_options *options = &server->options;
    struct rlimit files = {.rlim_cur = 0};
    const size_t others = OTHER_DESCRIPTORS + server->listeners.count;
    server->places = (size_t)options->connections_max + HTTP_LINGER_CONNECTIONS_MAX;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < server->places + others) {
        server->places = files.rlim_cur > others ? files.rlim_cur - others : 1;
    }
    if (server->places < options->connections_max) {
        options->connections_max = (unsigned)server->places;
        log_at(&event_http_connection_limit_lowered,
               log_integer("descriptors", (int64_t)files.rlim_cur),
               log_integer("connections", options->connections_max));
    }
    metric_set(&server->connection_limit, options->connections_max);
}

enum outcome http_watch(struct http_server *server, int descriptor, struct error *ret_error)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor};
    if (epoll_ctl(server->epoll_descriptor, EPOLL_CTL_ADD, descriptor, &event) != 0) {
        return error_set_errno(ret_error, OUTCOME_TRANSIENT, errno, "watch a descriptor");
    }
    return OUTCOME_OK;
}

static int library_descriptor(const struct http_server *server)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    return info == NULL ? -1 : info->epoll_fd;
}

static enum outcome set_up_loop(struct http_server *server, struct error *ret_error)
{
    server->epoll_descriptor = epoll_create1(EPOLL_CLOEXEC);
    if (server->epoll_descriptor < 0) {
        return error_set_errno(ret_error, OUTCOME_TRANSIENT, errno, "set up the HTTP loop");
    }
    int library = library_descriptor(server);
    if (library < 0) {
        return error_set(ret_error, OUTCOME_BROKEN, "this libmicrohttpd was built without epoll");
    }
    enum outcome outcome = http_linger_init(&server->linger, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = http_watch(server, server->linger.epoll_descriptor, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = http_watch(server, library, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = http_watch(server, server->worker.wake_descriptor, ret_error);
    }
    for (size_t i = 0; outcome == OUTCOME_OK && i < server->listeners.count; i++) {
        outcome = http_watch(server, server->listeners.descriptors[i], ret_error);
    }
    server->is_accepting = outcome == OUTCOME_OK;
    return outcome;
}

static void choose_open_routes(struct http_server *server)
{
    const struct http_server_options *options = &server->options;
    for (size_t i = 0; i < options->route_count && i < OPEN_ROUTES_MAX; i++) {
        bool is_open = http_list_has(options->open_paths, slice_of(options->routes[i].path));
        server->open_routes |= (uint64_t)is_open << i;
    }
}

enum outcome http_server_create(const struct http_server_options *options,
                                struct http_server **ret_server, struct error *ret_error)
{
    struct http_server *server = calloc(1, sizeof(*server));
    if (server == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the HTTP server");
    }
    server->options = *options;
    choose_open_routes(server);
    (void)snprintf(server->keep_alive, sizeof(server->keep_alive), "timeout=%llu",
                   (unsigned long long)options->idle_timeout_ms / MS_PER_S);
    server->waits[HTTP_WAIT_HEAD].timeout_ms = options->idle_timeout_ms;
    server->waits[HTTP_WAIT_BODY].timeout_ms = options->request_timeout_ms;
    server->waits[HTTP_WAIT_REPLY].timeout_ms = options->reply_timeout_ms;
    server->waits[HTTP_WAIT_END].timeout_ms = HTTP_LINGER_MS;
    server->epoll_descriptor = server->linger.epoll_descriptor = -1;
    for (int i = 0; i < HTTP_WAITS; i++) {
        TAILQ_INIT(&server->waits[i].connections);
    }
    enum outcome outcome = worker_init(&server->worker, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = http_listen(options->listen, &server->listeners, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        limit_connections(server);
        outcome = start_library(server, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = set_up_loop(server, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        http_server_free(server);
        return outcome;
    }
    server->tokens = options->tokens;
    *ret_server = server;
    return OUTCOME_OK;
}

void http_server_address(const struct http_server *server, char ret_text[HTTP_ADDRESSES_BYTES])
{
    http_listen_address(&server->listeners, ret_text, HTTP_ADDRESSES_BYTES);
}

/* A socket that the service manager has too stays in the epoll set when it is closed here. */
static void stop_accepting(struct http_server *server)
{
    http_accept_the_last(server);
    for (size_t i = 0; i < server->listeners.count; i++) {
        (void)epoll_ctl(server->epoll_descriptor, EPOLL_CTL_DEL, server->listeners.descriptors[i],
                        NULL);
    }
    http_listeners_close(&server->listeners);
}

static int wait_ms(struct http_server *server)
{
    MHD_UNSIGNED_LONG_LONG library_ms = 0;
    int longest_ms = server->accept_retry_ms != 0 ? HTTP_ACCEPT_PAUSE_MS : LONGEST_WAIT_MS;
    if (MHD_get_timeout(server->daemon, &library_ms) != MHD_YES) {
        return longest_ms;
    }
    if (library_ms == 0) {
        library_ms = (unsigned)http_deferred_wait_ms(server);
    }
    return library_ms < (unsigned)longest_ms ? (int)library_ms : longest_ms;
}

static void wait_for_events(struct http_server *server, int timeout_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int library = library_descriptor(server);
    int count = epoll_wait(server->epoll_descriptor, events, EVENTS_MAX, timeout_ms);
    for (int i = 0; i < count; i++) {
        int descriptor = events[i].data.fd;
        if (descriptor == server->linger.epoll_descriptor) {
            http_linger_read(&server->linger);
        } else if (descriptor == server->worker.wake_descriptor) {
            server->options.on_wake(server->options.context);
        } else if (descriptor != library) {
            http_accept(server, descriptor);
        }
    }
}

static bool is_drained(const struct http_server *server, uint64_t stopped_ms)
{
    uint64_t elapsed_ms = clock_monotonic_ms() - stopped_ms;
    if (elapsed_ms >= server->options.drain_timeout_ms) {
        return server->deferred_requests == 0;
    }
    return server->active_requests == 0 && server->linger.count == 0 &&
           (server->new_connections == 0 || elapsed_ms >= FIRST_REQUEST_WAIT_MS);
}

/* When a drain has begun, and when nothing was accepted any more; 0: not yet. */
struct drain {
    uint64_t begin_ms, stopped_ms;
};

/* Returns whether nothing is left to do. */
static bool continue_drain(struct http_server *server, struct drain *drain)
{
    uint64_t now_ms = clock_monotonic_ms();
    if (drain->begin_ms == 0) {
        drain->begin_ms = now_ms;
    }
    if (drain->stopped_ms == 0 && now_ms - drain->begin_ms >= server->options.drain_delay_ms) {
        drain->stopped_ms = now_ms;
        server->waits[HTTP_WAIT_END].timeout_ms = HTTP_LINGER_DRAIN_MS;
        stop_accepting(server);
        return false; /* those were accepted just now */
    }
    return drain->stopped_ms != 0 && is_drained(server, drain->stopped_ms);
}

static void run_loop(void *owner)
{
    struct http_server *server = owner;
    struct drain drain = {0};
    bool drained = false;
    while (!drained) {
        (void)worker_begin_turn(&server->worker);
        server->now_ms = clock_monotonic_ms();
        http_connections_sweep(server);
        if (server->refusals.kept > 0) {
            http_log_kept_refusal(server, false);
        }
        http_linger_sweep(&server->linger, server->now_ms, server->waits[HTTP_WAIT_END].timeout_ms);
        server->has_work = false;
        do {
            server->has_replies = false;
            MHD_run(server->daemon);
            if (server->options.on_turn != NULL) {
                server->options.on_turn(server->options.context);
            }
        } while (server->has_replies);
        /* Asked after what may have taken the wake-up of the drain with what was handed over. */
        if (http_server_is_draining(server)) {
            bool was_accepting = drain.stopped_ms == 0;
            drained = continue_drain(server, &drain);
            if (was_accepting && drain.stopped_ms != 0) {
                continue;
            }
        }
        if (!drained) {
            http_accept_where_there_is_room(server);
            wait_for_events(server, drain.begin_ms == 0 ? wait_ms(server) : DRAIN_TURN_MS);
        }
    }
    /* The replies of the last turn are queued: now they are sent. */
    for (int i = 0; i < LAST_RUNS; i++) {
        (void)MHD_run(server->daemon);
    }
    http_log_kept_refusal(server, true);
}

struct worker *http_server_worker(struct http_server *server)
{
    return &server->worker;
}

void http_server_set_tokens(struct http_server *server, struct auth_tokens *tokens)
{
    auth_tokens_free(atomic_exchange(&server->fresh_tokens, tokens));
}

enum outcome http_server_start(struct http_server *server, struct error *ret_error)
{
    return worker_start(&server->worker, "http", run_loop, server, ret_error);
}

void http_server_free(struct http_server *server)
{
    if (server == NULL) {
        return;
    }
    http_linger_done(&server->linger);
    if (server->daemon != NULL) {
        MHD_stop_daemon(server->daemon);
    }
    http_listeners_close(&server->listeners);
    if (server->epoll_descriptor >= 0) {
        close(server->epoll_descriptor);
    }
    auth_tokens_free(server->tokens);
    auth_tokens_free(atomic_load(&server->fresh_tokens));
    worker_done(&server->worker);
    free(server);
}

#define ROW(...) METRIC_ROW(struct http_server, __VA_ARGS__)
METRIC_TABLE(append_metrics, struct http_server, HTTP_METRICS(ROW))

void http_server_append_metrics(const struct http_server *server, struct buffer *text)
{
    append_metrics(text, server);
    http_linger_append_metrics(&server->linger, text);
}
