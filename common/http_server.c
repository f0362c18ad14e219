/* The loop around libmicrohttpd, and the phases of a request. */
#include "common/http_internal.h"

#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    CONNECTION_MEMORY_BYTES = 16 * 1024,
    LONGEST_WAIT_MS = 1000,
    LAST_ACCEPT_TURNS = 64,       /* the library accepts up to ten connections in a turn */
    FIRST_REQUEST_WAIT_MS = 1000, /* in a drain, for who has connected and sent nothing yet */
};

bool http_server_is_draining(const struct http_server *server)
{
    return atomic_load(&server->draining);
}

/* Of each connection; lives from its acceptance to its close. */
struct http_connection {
    bool has_sent_request;
};

static void count_connection(void *closure, struct MHD_Connection *connection,
                             void **connection_slot, enum MHD_ConnectionNotificationCode what)
{
    struct http_server *server = closure;
    (void)connection;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        atomic_fetch_add(&server->connections, 1);
        /* Without memory for it the connection only is not waited for in a drain. */
        struct http_connection *own = calloc(1, sizeof(*own));
        server->new_connections += own != NULL;
        *connection_slot = own;
        return;
    }
    atomic_fetch_sub(&server->connections, 1);
    struct http_connection *own = *connection_slot;
    server->new_connections -= own != NULL && !own->has_sent_request;
    free(own);
    *connection_slot = NULL;
}

void http_connection_is_used(struct http_server *server, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct http_connection *own = info == NULL ? NULL : info->socket_context;
    if (own != NULL && !own->has_sent_request) {
        own->has_sent_request = true;
        server->new_connections--;
    }
}

PRINTF_LIKE(2, 0)
static void log_library_message(void *closure, const char *format, va_list arguments)
{
    char text[256];
    (void)closure;
    if (log_enabled(LOG_LEVEL_DEBUG)) {
        vsnprintf(text, sizeof(text), format, arguments);
        log_at(LOG_LEVEL_DEBUG, "http.library", log_string("message", text));
    }
}

static enum outcome start_library(struct http_server *server, struct error *ret_error)
{
    const struct http_server_options *options = &server->options;
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        http_handle_request, server, MHD_OPTION_EXTERNAL_LOGGER, log_library_message, NULL,
        MHD_OPTION_LISTEN_SOCKET, server->listen_descriptor, MHD_OPTION_NOTIFY_COMPLETED,
        http_end_request, server, MHD_OPTION_NOTIFY_CONNECTION, count_connection, server,
        MHD_OPTION_CONNECTION_LIMIT, options->connections_max, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        options->connections_per_address_max, MHD_OPTION_CONNECTION_TIMEOUT,
        options->idle_timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
    if (server->daemon == NULL) {
        return error_set(ret_error, OUTCOME_TRANSIENT, "start the HTTP library on %s",
                         options->listen);
    }
    return OUTCOME_OK;
}

static enum outcome watch(struct http_server *server, int descriptor, struct error *ret_error)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor};
    if (epoll_ctl(server->epoll_descriptor, EPOLL_CTL_ADD, descriptor, &event) != 0) {
        return error_set_errno(ret_error, OUTCOME_TRANSIENT, errno, "watch a descriptor");
    }
    return OUTCOME_OK;
}

static enum outcome set_up_loop(struct http_server *server, struct error *ret_error)
{
    server->epoll_descriptor = epoll_create1(EPOLL_CLOEXEC);
    server->control_descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->epoll_descriptor < 0 || server->control_descriptor < 0) {
        return error_set_errno(ret_error, OUTCOME_TRANSIENT, errno, "set up the HTTP loop");
    }
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL) {
        return error_set(ret_error, OUTCOME_BROKEN, "this libmicrohttpd was built without epoll");
    }
    enum outcome outcome = watch(server, info->epoll_fd, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = watch(server, server->control_descriptor, ret_error);
    }
    if (outcome == OUTCOME_OK && server->options.wake_descriptor >= 0) {
        outcome = watch(server, server->options.wake_descriptor, ret_error);
    }
    return outcome;
}

enum outcome http_server_create(const struct http_server_options *options,
                                struct http_server **ret_server, struct error *ret_error)
{
    struct http_server *server = calloc(1, sizeof(*server));
    if (server == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the HTTP server");
    }
    server->options = *options;
    server->listen_descriptor = server->epoll_descriptor = server->control_descriptor = -1;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&server->ended_changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&server->lock, NULL);
    enum outcome outcome = http_listen(options->listen, &server->listen_descriptor,
                                       &server->is_socket_passed, ret_error);
    if (outcome == OUTCOME_OK) {
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

void http_server_address(const struct http_server *server, char ret_text[HTTP_ADDRESS_BYTES])
{
    http_listen_address(server->listen_descriptor, ret_text, HTTP_ADDRESS_BYTES);
}

static void stop_accepting(struct http_server *server)
{
    /* Who is in the backlog has connected as far as he knows: he is taken in before the door
     * closes. Where the service manager keeps the socket open, the next process does it. */
    for (int i = 0; i < LAST_ACCEPT_TURNS && !server->is_socket_passed; i++) {
        MHD_run(server->daemon);
    }
    if (MHD_quiesce_daemon(server->daemon) != MHD_INVALID_SOCKET) {
        close(server->listen_descriptor);
        server->listen_descriptor = -1;
    }
}

static int wait_ms(struct http_server *server)
{
    MHD_UNSIGNED_LONG_LONG library_ms = 0;
    if (MHD_get_timeout(server->daemon, &library_ms) == MHD_YES && library_ms < LONGEST_WAIT_MS) {
        return (int)library_ms;
    }
    return LONGEST_WAIT_MS;
}

static void wait_for_events(struct http_server *server, int timeout_ms)
{
    struct epoll_event events[4];
    int count = epoll_wait(server->epoll_descriptor, events, 4, timeout_ms);
    for (int i = 0; i < count; i++) {
        if (events[i].data.fd == server->control_descriptor) {
            uint64_t value = 0;
            (void)!read(server->control_descriptor, &value, sizeof(value));
        } else if (events[i].data.fd == server->options.wake_descriptor) {
            server->options.on_wake(server->options.context);
        }
    }
}

static bool is_drained(const struct http_server *server, uint64_t begin_ms)
{
    uint64_t elapsed_ms = clock_monotonic_ms() - begin_ms;
    if (elapsed_ms >= server->options.drain_timeout_ms) {
        return server->deferred_requests == 0;
    }
    return server->active_requests == 0 &&
           (server->new_connections == 0 || elapsed_ms >= FIRST_REQUEST_WAIT_MS);
}

static void *run_loop(void *argument)
{
    struct http_server *server = argument;
    (void)pthread_setname_np(pthread_self(), "http"); /* for tools; nothing depends on it */
    uint64_t drain_begin_ms = 0;
    bool drained = false;
    while (!drained) {
        atomic_fetch_add_explicit(&server->turns, 1, memory_order_relaxed);
        do {
            server->resumed = false;
            MHD_run(server->daemon);
            if (server->options.on_turn != NULL) {
                server->options.on_turn(server->options.context);
            }
        } while (server->resumed);
        if (http_server_is_draining(server)) {
            if (drain_begin_ms == 0) {
                drain_begin_ms = clock_monotonic_ms();
                stop_accepting(server);
                continue;
            }
            drained = is_drained(server, drain_begin_ms);
        }
        if (!drained) {
            wait_for_events(server, drain_begin_ms == 0 ? wait_ms(server) : 10);
        }
    }
    pthread_mutex_lock(&server->lock);
    server->ended = true;
    pthread_cond_broadcast(&server->ended_changed);
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

const atomic_uint_least64_t *http_server_turns(const struct http_server *server)
{
    return &server->turns;
}

void http_server_set_tokens(struct http_server *server, struct auth_tokens *tokens)
{
    auth_tokens_free(atomic_exchange(&server->fresh_tokens, tokens));
}

enum outcome http_server_start(struct http_server *server, struct error *ret_error)
{
    int status = pthread_create(&server->thread, NULL, run_loop, server);
    if (status != 0) {
        return error_set_errno(ret_error, OUTCOME_TRANSIENT, status, "start the HTTP thread");
    }
    server->thread_started = true;
    return OUTCOME_OK;
}

void http_server_begin_drain(struct http_server *server)
{
    uint64_t one = 1;
    atomic_store(&server->draining, true);
    /* Fails only where the counter is at its limit, and then the loop is awake anyway. */
    (void)!write(server->control_descriptor, &one, sizeof(one));
}

bool http_server_wait(struct http_server *server, uint64_t timeout_ms)
{
    uint64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    struct timespec deadline = {.tv_sec = (time_t)(deadline_ms / 1000),
                                .tv_nsec = (long)(deadline_ms % 1000) * 1000000};
    pthread_mutex_lock(&server->lock);
    while (!server->ended && clock_monotonic_ms() < deadline_ms) {
        pthread_cond_timedwait(&server->ended_changed, &server->lock, &deadline);
    }
    bool ended = server->ended;
    pthread_mutex_unlock(&server->lock);
    return ended;
}

void http_server_free(struct http_server *server)
{
    if (server == NULL) {
        return;
    }
    if (server->thread_started) {
        pthread_join(server->thread, NULL);
    }
    if (server->daemon != NULL) {
        if (server->listen_descriptor >= 0 &&
            MHD_quiesce_daemon(server->daemon) == MHD_INVALID_SOCKET) {
            server->listen_descriptor = -1; /* the library closes what it still owns */
        }
        MHD_stop_daemon(server->daemon);
    }
    if (server->listen_descriptor >= 0) {
        close(server->listen_descriptor);
    }
    if (server->epoll_descriptor >= 0) {
        close(server->epoll_descriptor);
    }
    if (server->control_descriptor >= 0) {
        close(server->control_descriptor);
    }
    auth_tokens_free(server->tokens);
    auth_tokens_free(atomic_load(&server->fresh_tokens));
    pthread_cond_destroy(&server->ended_changed);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

void http_server_metric_rows(const struct http_server *server,
                             struct metric_row rows[HTTP_METRIC_ROWS])
{
    static const char *const labels[] = {"class=\"1xx\"", "class=\"2xx\"", "class=\"3xx\"",
                                         "class=\"4xx\"", "class=\"5xx\""};
    for (size_t i = 0; i < 5; i++) {
        rows[i] = (struct metric_row){.name = "http_replies_total",
                                      .labels = labels[i],
                                      .help = "HTTP replies by status class.",
                                      .type = METRIC_COUNTER,
                                      .value = &server->replies[i]};
    }
    rows[5] = (struct metric_row){.name = "http_connections",
                                  .help = "Open HTTP connections.",
                                  .type = METRIC_GAUGE,
                                  .value = &server->connections};
}
