/* Accepts connections, from all listening sockets, while there is room for them. The library takes
 * them over; it has no listening socket itself, because it can have only one. */
#include "common/http/http_internal.h"

#include "common/base/clock.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
    ACCEPT_BATCH = 10, /* in a turn, of one socket: who is served meanwhile must not notice */
    LAST_ACCEPTS = 64 * ACCEPT_BATCH,
};

/* A request whose client has left takes as much as one with a client. */
static bool has_room(struct http_server *server)
{
    return (size_t)atomic_load(&server->connections) + server->orphaned_requests <
           server->options.connections_max;
}

/* The library closes what it does not take. What is beyond a limit of an address it says in the
 * log's callback, which counts that. */
static void hand_over(struct http_server *server, int client, const struct sockaddr *address,
                      socklen_t length)
{
    uint64_t refused = atomic_load(&server->refused_connections);
    if (MHD_add_connection(server->daemon, client, address, length) != MHD_YES &&
        atomic_load(&server->refused_connections) == refused) {
        metric_add(&server->failed_connections, 1);
    }
}

/* False: nobody waits there, or there is no room. */
static bool accept_one(struct http_server *server, int descriptor)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof(address);
    if (!has_room(server)) {
        return false;
    }
    int client =
        accept4(descriptor, (struct sockaddr *)&address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client >= 0) {
        server->accept_failures = 0;
        hand_over(server, client, (struct sockaddr *)&address, length);
        return true;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        server->accept_failures++;
        server->accept_retry_ms = server->now_ms + HTTP_ACCEPT_PAUSE_MS;
        return false;
    }
    return errno != EAGAIN; /* this one has left; there may be others */
}

void http_accept(struct http_server *server, int descriptor)
{
    server->now_ms = clock_monotonic_ms(); /* that of this turn is from before the wait */
    for (int i = 0; i < ACCEPT_BATCH && accept_one(server, descriptor); i++) {
    }
}

static void watch_listeners(struct http_server *server, bool is_accepting)
{
    for (size_t i = 0; i < server->listeners.count; i++) {
        int descriptor = server->listeners.descriptors[i];
        struct epoll_event event = {.events = is_accepting ? EPOLLIN : 0, .data.fd = descriptor};
        (void)epoll_ctl(server->epoll_descriptor, EPOLL_CTL_MOD, descriptor, &event);
    }
    server->is_accepting = is_accepting;
}

/* Out of descriptors for a second time, the connection that has been idle for longest is closed. */
void http_accept_where_there_is_room(struct http_server *server)
{
    if (server->accept_retry_ms != 0 && server->now_ms >= server->accept_retry_ms) {
        server->accept_retry_ms = 0;
        if (server->accept_failures > 1 && http_connections_give_up_one(server)) {
            server->accept_failures = 1;
        }
    }
    bool is_accepting = server->accept_retry_ms == 0 && has_room(server);
    if (is_accepting != server->is_accepting) {
        watch_listeners(server, is_accepting);
    }
}

void http_accept_the_last(struct http_server *server)
{
    for (size_t i = 0; i < server->listeners.count && !server->listeners.are_passed; i++) {
        for (int j = 0; j < LAST_ACCEPTS && accept_one(server, server->listeners.descriptors[i]);
             j++) {
        }
    }
}
