/* Connects to a host, and says in words why that fails.
 *
 * The name is looked up here, before the time to connect begins, and each of its addresses has a
 * share of that time. A plain connection is opened here and handed to the library, whose own
 * opening forgets what the system had against it. A TLS connection only the library can open, so
 * it is given the address in place of the name. */
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

static struct timeval timeval_of_ms(uint64_t duration_ms)
{
    return (struct timeval){.tv_sec = (time_t)(duration_ms / 1000),
                            .tv_usec = (suseconds_t)(duration_ms % 1000) * 1000};
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

/* Returns the addresses of the host, which the caller gives to freeaddrinfo(). Blocks for as long
 * as the system's look-up does. TRANSIENT says why there are none. */
static enum outcome look_up(const struct broker_address *address, struct addrinfo **ret_found,
                            struct error *ret_error)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
    char port[PORT_TEXT_BYTES];
    (void)snprintf(port, sizeof(port), "%d", address->port);
    int failure = getaddrinfo(address->host, port, &hints, ret_found);
    if (failure == EAI_SYSTEM) {
        return error_set_errno(ret_error, OUTCOME_TRANSIENT, errno, "look up the host");
    }
    return failure == 0 ? OUTCOME_OK
                        : error_set(ret_error, OUTCOME_TRANSIENT, "look up the host: %s",
                                    gai_strerror(failure));
}

/* Returns how long the first of these addresses may take: the others get as much, and what it
 * leaves. */
static uint64_t share_ms(const struct addrinfo *addresses, uint64_t deadline_ms)
{
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t count = 0;
    for (const struct addrinfo *one = addresses; one != NULL; one = one->ai_next) {
        count++;
    }
    return now_ms < deadline_ms && count > 0 ? (deadline_ms - now_ms) / count : 0;
}

/* Tries each address of the host's name until one takes the connection. TRANSIENT says what the
 * last one answered. */
static enum outcome open_tcp(const struct broker_address *address, uint64_t timeout_ms,
                             int *ret_descriptor, struct error *ret_error)
{
    struct addrinfo *found = NULL;
    enum outcome outcome = look_up(address, &found, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    const uint64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    int failure = EADDRNOTAVAIL;
    for (const struct addrinfo *one = found; one != NULL && failure != 0; one = one->ai_next) {
        uint64_t end_ms = clock_monotonic_ms() + share_ms(one, deadline_ms);
        failure = connect_to(one, end_ms, ret_descriptor);
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
    unsigned char answer[2] = {0};
    int descriptor = -1;
    if (length == 0 || open_tcp(address, PROBE_TIMEOUT_MS, &descriptor, NULL) != OUTCOME_OK) {
        return false;
    }
    const uint64_t deadline_ms = clock_monotonic_ms() + PROBE_TIMEOUT_MS;
    bool is_tls = send(descriptor, hello, length, MSG_NOSIGNAL) == (ssize_t)length &&
                  wait_for(descriptor, POLLIN, deadline_ms) == 0 &&
                  recv(descriptor, answer, sizeof(answer), 0) == sizeof(answer) &&
                  (answer[0] == 22 || answer[0] == 21) && answer[1] == 3;
    close(descriptor);
    return is_tls;
}

/* Returns the library's status; errno is as the library left it. */
static int open_tls(amqp_socket_t *socket, const struct addrinfo *address, int port,
                    uint64_t timeout_ms)
{
    const struct timeval timeout = timeval_of_ms(timeout_ms);
    char text[NI_MAXHOST];
    if (getnameinfo(address->ai_addr, address->ai_addrlen, text, sizeof(text), NULL, 0,
                    NI_NUMERICHOST) != 0) {
        return AMQP_STATUS_HOSTNAME_RESOLUTION_FAILED;
    }
    errno = 0;
    return amqp_socket_open_noblock(socket, text, port, &timeout);
}

/* Another address may do better where this one cannot be reached or does not answer. What is wrong
 * with a certificate is for an operator to see. */
static bool is_next_worth_trying(int status)
{
    return status == AMQP_STATUS_SOCKET_ERROR || status == AMQP_STATUS_TIMEOUT;
}

/* Tries each address as open_tcp() does; the handshake is part of its time. */
static enum outcome open_tls_to_any(struct broker *broker, const struct broker_address *address,
                                    amqp_socket_t *socket, const struct addrinfo *found,
                                    uint64_t timeout_ms, struct error *ret_error)
{
    const uint64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    const struct addrinfo *last = found;
    int status = open_tls(socket, last, address->port, share_ms(last, deadline_ms));
    while (is_next_worth_trying(status) && last->ai_next != NULL) {
        last = last->ai_next;
        status = open_tls(socket, last, address->port, share_ms(last, deadline_ms));
    }
    int error_number = errno;
    if (status == AMQP_STATUS_OK) {
        return OUTCOME_OK;
    }
    /* What the library forgets of a refused connection a second one meets too. */
    if (status == AMQP_STATUS_SOCKET_ERROR) {
        int descriptor = -1;
        int failure = connect_to(last, clock_monotonic_ms() + PROBE_TIMEOUT_MS, &descriptor);
        if (failure != 0) {
            return error_set_errno(ret_error, OUTCOME_TRANSIENT, failure, "connect");
        }
        close(descriptor);
    }
    return broker_tls_connect_error(broker, address->host, status, error_number, ret_error);
}

static enum outcome connect_with_tls(struct broker *broker, const struct broker_address *address,
                                     const struct broker_tls_files *files, uint64_t timeout_ms,
                                     struct error *ret_error)
{
    amqp_socket_t *socket = NULL;
    struct addrinfo *found = NULL;
    enum outcome outcome = broker_tls_socket(broker, address->host, files, &socket, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = look_up(address, &found, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = open_tls_to_any(broker, address, socket, found, timeout_ms, ret_error);
        freeaddrinfo(found);
    }
    return outcome;
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

/* The library frees the socket with the connection. */
enum outcome broker_connect(struct broker *broker, const struct broker_address *address,
                            const struct broker_open_options *options, struct error *ret_error)
{
    const uint64_t timeout_ms = address->connection_timeout_ms > 0
                                    ? (uint64_t)address->connection_timeout_ms
                                    : broker->timeout_ms;
    const struct broker_tls_files files = broker_tls_files_of(address, &options->tls_files);
    enum outcome outcome = address->tls
                               ? connect_with_tls(broker, address, &files, timeout_ms, ret_error)
                               : connect_plainly(broker, address, timeout_ms, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    const struct timeval answer_timeout = timeval_of_ms(broker->timeout_ms);
    int status = amqp_set_handshake_timeout(broker->connection, &answer_timeout);
    if (status == AMQP_STATUS_OK) {
        status = amqp_set_rpc_timeout(broker->connection, &answer_timeout);
    }
    if (status != AMQP_STATUS_OK) {
        return error_set(ret_error, OUTCOME_BUSY, "set the time limits of a connection: %s",
                         amqp_error_string2(status));
    }
    return OUTCOME_OK;
}
