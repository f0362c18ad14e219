/* What the broker's source files share; with them the only code that sees rabbitmq-c. */
#pragma once

#include "common/broker.h"

#include <openssl/types.h>
#include <stdint.h>
#include <sys/types.h>

#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/framing.h>
#include <rabbitmq-c/ssl_socket.h>
#include <rabbitmq-c/tcp_socket.h>
#else
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#endif

enum {
    BROKER_CHANNEL = 1,
    BROKER_FRAME_BYTES_MAX = 131072,
    BROKER_FRAME_OVERHEAD_BYTES = 8,  /* type, channel, size, end mark */
    BROKER_ADDED_HEADER_BYTES = 4096, /* what a broker may add to a sender's headers */
    BROKER_CLOSE_TIMEOUT_MS = 2000,
    BROKER_BODY_BYTES_MAX = 512 * 1024 * 1024, /* what a broker can be configured to allow */
    BROKER_UNSENT_BYTES_MAX = 1024 * 1024 * 1024,
    BROKER_KEPT_BYTES_MAX = 1024 * 1024, /* a larger buffer is given back when it is empty */
};

/* Where in an incoming message the reader is: method, header, body frames. */
enum broker_read_state {
    READ_METHOD,
    READ_RETURN_HEADER,
    READ_RETURN_BODY,
    READ_DELIVERY_HEADER,
    READ_DELIVERY_BODY,
};

struct broker {
    amqp_connection_state_t connection;
    uint64_t heartbeat_ms;
    size_t frame_max;
    bool healthy; /* worth a polite close */
    bool blocked;
    SSL *tls;         /* the library's; NULL: plain TCP */
    long tls_verdict; /* of the broker's certificate: X509_V_... */

    struct buffer out;
    size_t sent;          /* of out */
    uint64_t progress_ms; /* when the socket last took bytes, or the buffer became non-empty */

    enum broker_read_state read_state;
    uint64_t body_left;
    struct buffer body; /* of a message in more than one frame */
    struct slice body_slice;
    char return_id[SHORT_STRING_BYTES_MAX];
    size_t return_id_length;
    struct broker_delivery delivery; /* its slices point into the library's pools */
};

/* Describes a failed library call or the broker's refusal; INVALID where the broker said that the
 * request itself is wrong, else TRANSIENT. */
enum outcome broker_reply_error(amqp_rpc_reply_t reply, const char *what, struct error *ret_error);

/* broker_tls.c. A socket for amqps://, with everything set that judges the peer. */
MUST_CHECK enum outcome broker_tls_socket(struct broker *broker, const char *host,
                                          const struct broker_tls_files *files,
                                          amqp_socket_t **ret_socket, struct error *ret_error);
/* Why the handshake failed with `status`, in words for an operator. */
enum outcome broker_tls_connect_error(const struct broker *broker, const char *host, int status,
                                      struct error *ret_error);
/* As send() that does not block: bytes taken, or -1 and errno. What was not taken must be offered
 * again before anything else is written or read. */
ssize_t broker_tls_write(struct broker *broker, const char *data, size_t length);

static inline struct slice broker_slice(amqp_bytes_t bytes)
{
    return (struct slice){bytes.bytes, bytes.len};
}
static inline amqp_bytes_t broker_bytes(struct slice slice)
{
    return (amqp_bytes_t){slice.length, (void *)(uintptr_t)slice.data};
}
