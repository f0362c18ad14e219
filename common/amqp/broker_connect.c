/* Connects to a host, and says in words why that fails.
 *
 * A plain connection is opened here and handed to the library, whose own opening forgets what the
 * system had against it. A TLS connection only the library can open. */
#include "common/amqp/broker_internal.h"

#include "common/base/clock.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT_TEXT_BYTES = 12, PROBE_TIMEOUT_MS = 1000 };

enum outcome broker_status_error(int status, int error_number, const char *what,
                                 struct error *ret_error)
{
    const char *reason = status == AMQP_STATUS_SSL_ERROR ? broker_tls_reason() : NULL;
    /* What an earlier read that would have blocked left is no reason. */
    bool has_errno = error_number != 0 && error_number != EAGAIN && error_number != EINPROGRESS;
    if (reason == NULL && has_errno &&
        (status == AMQP_STATUS_SOCKET_ERROR || status == AMQP_STATUS_SSL_ERROR)) {
        return error_set_errno(ret_error, OUTCOME_TRANSIENT, error_number, "%s", what);
    }
    return error_set(ret_error, OUTCOME_TRANSIENT, "%s: %s", what,
                     reason != NULL ? reason : amqp_error_string2(status));
}

/* Waits until `events` are there. Returns 0, or an errno. */
static int wait_for(int descriptor, short events, uint64_t deadline_ms)
{
    struct pollfd watched = {.fd = descriptor, .events = events};
    for (;;) {
        uint64_t now_ms = clock_monotonic_ms();
        int ready = now_ms < deadline_ms ? poll(&watched, 1, (int)(deadline_ms - now_ms)) : 0;
        if (ready >= 0 || errno != EINTR) {
            return ready > 0 ? 0 : ready == 0 ? ETIMEDOUT : errno;
        }
    }
}

/* Returns 0 and a descriptor that the caller closes, or an errno. */
static int connect_to(const struct addrinfo *address, uint64_t deadline_ms, int *ret_descriptor)
{
    const int on = 1;
    int descriptor = socket(address->ai_family, address->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
                            address->ai_protocol);
    if (descriptor < 0) {
        return errno;
    }
    int failure = 0;
    if (setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
        setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) != 0) {
        failure = errno;
    } else if (connect(descriptor, address->ai_addr, address->ai_addrlen) != 0) {
        failure = errno == EINPROGRESS ? wait_for(descriptor, POLLOUT, deadline_ms) : errno;
        socklen_t length = sizeof(failure);
        if (failure == 0 && getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &failure, &length) != 0) {
            failure = errno;
        }
    }
    if (failure != 0) {
        close(descriptor);
        return failure;
    }
    *ret_descriptor = descriptor;
    return 0;
}

/* Tries each address of the host's name until one takes the connection. TRANSIENT says what the
 * last one answered. */
static enum outcome open_tcp(const struct broker_address *address, uint64_t timeout_ms,
                             int *ret_descriptor, struct error *ret_error)
{
    const uint64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
    struct addrinfo *found = NULL;
    char port[PORT_TEXT_BYTES];
    (void)snprintf(port, sizeof(port), "%d", address->port);
    int failure = getaddrinfo(address->host, port, &hints, &found);
    if (failure == EAI_SYSTEM) {
        return error_set_errno(ret_error, OUTCOME_TRANSIENT, errno, "look up the host");
    }
    if (failure != 0) {
        return error_set(ret_error, OUTCOME_TRANSIENT, "look up the host: %s",
                         gai_strerror(failure));
    }
    failure = EADDRNOTAVAIL;
    for (const struct addrinfo *one = found; one != NULL && failure != 0; one = one->ai_next) {
        failure = connect_to(one, deadline_ms, ret_descriptor);
        if (failure == ETIMEDOUT) {
            break;
        }
    }
    freeaddrinfo(found);
    return failure == 0 ? OUTCOME_OK
                        : error_set_errno(ret_error, OUTCOME_TRANSIENT, failure, "connect");
}

/* The answer is a record of the handshake (22) or an alert (21), version 3.x. */
bool broker_port_speaks_tls(const struct broker_address *address)
{
    char hello[BROKER_TLS_HELLO_BYTES];
    const size_t length = broker_tls_hello(address->host, hello);
    const uint64_t deadline_ms = clock_monotonic_ms() + PROBE_TIMEOUT_MS;
    unsigned char answer[2] = {0};
    int descriptor = -1;
    if (length == 0 || open_tcp(address, PROBE_TIMEOUT_MS, &descriptor, NULL) != OUTCOME_OK) {
        return false;
    }
    bool is_tls = send(descriptor, hello, length, MSG_NOSIGNAL) == (ssize_t)length &&
                  wait_for(descriptor, POLLIN, deadline_ms) == 0 &&
                  recv(descriptor, answer, sizeof(answer), 0) == sizeof(answer) &&
                  (answer[0] == 22 || answer[0] == 21) && answer[1] == 3;
    close(descriptor);
    return is_tls;
}

static enum outcome connect_with_tls(struct broker *broker, const struct broker_address *address,
                                     const struct broker_tls_files *files,
                                     const struct timeval *timeout, struct error *ret_error)
{
    amqp_socket_t *socket = NULL;
    enum outcome outcome = broker_tls_socket(broker, address->host, files, &socket, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    errno = 0;
    int status = amqp_socket_open_noblock(socket, address->host, address->port, timeout);
    int error_number = errno;
    if (status == AMQP_STATUS_OK) {
        return OUTCOME_OK;
    }
    /* What the library forgets of a refused connection a second one meets too. */
    int descriptor = -1;
    if (status == AMQP_STATUS_SOCKET_ERROR || status == AMQP_STATUS_HOSTNAME_RESOLUTION_FAILED) {
        outcome = open_tcp(address, PROBE_TIMEOUT_MS, &descriptor, ret_error);
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
        close(descriptor);
    }
    return broker_tls_connect_error(broker, address->host, status, error_number, ret_error);
}

static enum outcome connect_plainly(struct broker *broker, const struct broker_address *address,
                                    uint64_t timeout_ms, struct error *ret_error)
{
    int descriptor = -1;
    enum outcome outcome = open_tcp(address, timeout_ms, &descriptor, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    amqp_socket_t *socket = amqp_tcp_socket_new(broker->connection);
    if (socket == NULL) {
        close(descriptor);
        return error_set(ret_error, OUTCOME_BUSY, "no memory for a broker connection");
    }
    amqp_tcp_socket_set_sockfd(socket, descriptor);
    return OUTCOME_OK;
}

static struct timeval timeval_of_ms(uint64_t duration_ms)
{
    return (struct timeval){.tv_sec = (time_t)(duration_ms / 1000),
                            .tv_usec = (suseconds_t)(duration_ms % 1000) * 1000};
}

/* The library frees the socket with the connection. */
enum outcome broker_connect(struct broker *broker, const struct broker_address *address,
                            const struct broker_open_options *options, struct error *ret_error)
{
    const uint64_t connect_timeout_ms = address->connection_timeout_ms > 0
                                            ? (uint64_t)address->connection_timeout_ms
                                            : broker->timeout_ms;
    const struct timeval connect_timeout = timeval_of_ms(connect_timeout_ms);
    const struct broker_tls_files files = broker_tls_files_of(address, &options->tls_files);
    enum outcome outcome =
        address->tls ? connect_with_tls(broker, address, &files, &connect_timeout, ret_error)
                     : connect_plainly(broker, address, connect_timeout_ms, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    const struct timeval timeout = timeval_of_ms(broker->timeout_ms);
    int status = amqp_set_handshake_timeout(broker->connection, &timeout);
    if (status == AMQP_STATUS_OK) {
        status = amqp_set_rpc_timeout(broker->connection, &timeout);
    }
    if (status != AMQP_STATUS_OK) {
        return error_set(ret_error, OUTCOME_BUSY, "set the time limits of a connection: %s",
                         amqp_error_string2(status));
    }
    return OUTCOME_OK;
}
