/* The server's own view of each connection: what it waits for and since when. The library's timeout
 * begins anew with each byte, so that one byte now and then keeps a connection for ever: it is off,
 * and the deadlines here are absolute. */
#include "common/http/http_internal.h"

#include <stdlib.h>
#include <sys/socket.h>

/* So many closes in a turn at most: who is served meanwhile must not notice. */
enum { CUT_OFF_BATCH = 64 };

static struct http_connection *connection_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info == NULL ? NULL : info->socket_context;
}

static void leave_list(struct http_server *server, struct http_connection *own)
{
    TAILQ_REMOVE(&server->waits[own->wait].connections, own, by_age);
}

static void join_list(struct http_server *server, struct http_connection *own, enum http_wait wait)
{
    own->wait = wait;
    own->since_ms = server->now_ms;
    TAILQ_INSERT_TAIL(&server->waits[wait].connections, own, by_age);
}

void http_connection_wait_for(struct http_connection *own, enum http_wait wait)
{
    if (!own->is_cut_off) {
        leave_list(own->server, own);
        join_list(own->server, own, wait);
    }
}

static int descriptor_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info == NULL ? -1 : info->connect_fd;
}

void http_connection_send_last(struct http_connection *own, struct slice reply)
{
    /* Nothing is being sent to this client, and what is short of room does not matter. */
    (void)!send(descriptor_of(own->connection), reply.data, reply.length,
                MSG_DONTWAIT | MSG_NOSIGNAL);
    metric_add(&own->server->replies[3], 1);
}

/* What he sends from now on ends the connection in the handler, and then it lingers. To close it
 * here, while he sends, would be to reset it, and he would not get to read this. */
static void say_late(struct http_connection *own)
{
    http_connection_send_last(own, slice_of("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n"
                                            "Content-Length: 0\r\n\r\n"));
    (void)shutdown(descriptor_of(own->connection), SHUT_WR);
    if (own->request != NULL) {
        const struct http_reply reply = {.status = MHD_HTTP_REQUEST_TIMEOUT};
        http_log_refused(own->request, &reply);
    }
    own->is_late = true;
    http_connection_wait_for(own, HTTP_WAIT_END);
}

/* The library takes part in this as if the client had left: it sees the end of the socket in its
 * next turn, and calls back. */
static void cut_off(struct http_connection *own)
{
    if (own->wait == HTTP_WAIT_BODY) {
        say_late(own);
        return;
    }
    int descriptor = descriptor_of(own->connection);
    if (own->wait == HTTP_WAIT_REPLY) {
        /* What he does not read is to be forgotten with the connection. */
        const struct linger now = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    (void)shutdown(descriptor, SHUT_RDWR);
    leave_list(own->server, own);
    own->is_cut_off = true;
}

void http_connections_sweep(struct http_server *server)
{
    int count = 0;
    for (enum http_wait wait = HTTP_WAIT_HEAD; wait <= HTTP_WAIT_END; wait++) {
        struct http_wait_list *list = &server->waits[wait];
        struct http_connection *oldest = NULL;
        while ((oldest = TAILQ_FIRST(&list->connections)) != NULL && count < CUT_OFF_BATCH &&
               server->now_ms - oldest->since_ms >= list->timeout_ms) {
            cut_off(oldest);
            if (wait != HTTP_WAIT_END) {
                metric_add(&server->timeouts[wait], 1);
            }
            count++;
        }
    }
}

bool http_connections_give_up_one(struct http_server *server)
{
    if (http_linger_give_up_one(&server->linger)) {
        return true;
    }
    struct http_connection *oldest = TAILQ_FIRST(&server->waits[HTTP_WAIT_HEAD].connections);
    if (oldest != NULL) {
        cut_off(oldest);
    }
    return oldest != NULL;
}

static void begin_connection(struct http_server *server, struct MHD_Connection *connection,
                             void **connection_slot)
{
    size_t connections = (size_t)atomic_fetch_add(&server->connections, 1) + 1;
    if (connections + server->linger.count > server->places) {
        (void)http_linger_give_up_one(&server->linger);
    }
    struct http_connection *own = calloc(1, sizeof(*own));
    *connection_slot = own;
    if (own == NULL) {
        (void)shutdown(descriptor_of(connection),
                       SHUT_RDWR); /* no memory, no deadlines: no client */
        metric_add(&server->failed_connections, 1);
        return;
    }
    own->server = server;
    own->connection = connection;
    join_list(server, own, HTTP_WAIT_HEAD);
    server->new_connections++;
}

/* The library closes its descriptor when this has returned. */
static void make_linger(struct http_server *server, struct MHD_Connection *connection)
{
    /* This one has left its place, and takes it again. */
    size_t connections = (size_t)atomic_load(&server->connections);
    if (connections + server->linger.count >= server->places) {
        (void)http_linger_give_up_one(&server->linger);
    }
    http_linger_begin(&server->linger, descriptor_of(connection), server->now_ms);
}

void http_connection_changed(void *closure, struct MHD_Connection *connection,
                             void **connection_slot, enum MHD_ConnectionNotificationCode what)
{
    struct http_server *server = closure;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        begin_connection(server, connection, connection_slot);
        return;
    }
    atomic_fetch_sub(&server->connections, 1);
    struct http_connection *own = *connection_slot;
    *connection_slot = NULL;
    if (own == NULL) {
        return;
    }
    if (!own->is_cut_off) {
        leave_list(server, own);
        make_linger(server, connection);
    }
    server->new_connections -= !own->has_sent_request;
    free(own);
}

struct http_connection *http_connection_begin_request(struct MHD_Connection *connection)
{
    struct http_connection *own = connection_of(connection);
    if (own != NULL && !own->has_sent_request) {
        own->has_sent_request = true;
        own->server->new_connections--;
    }
    return own;
}

void *http_record_target(void *closure, const char *target, struct MHD_Connection *connection)
{
    struct http_connection *own = connection_of(connection);
    (void)closure;
    if (own != NULL) {
        own->target = http_check_target(target == NULL ? "" : target);
    }
    return NULL; /* no request yet */
}
