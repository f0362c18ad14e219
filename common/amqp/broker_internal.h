/* What the broker's source files share; with them the only code that sees rabbitmq-c. */
#pragma once

#include "common/amqp/broker.h"
#include "common/amqp/broker_refusal.h"

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
    BROKER_READ_BYTES = 64 * 1024,    /* that many frames are taken with one read */
    BROKER_ADDED_HEADER_BYTES = 4096, /* what a broker may add to a sender's headers */
    BROKER_CLOSE_TIMEOUT_MS = 2000,
    BROKER_TLS_HELLO_BYTES = 4096,
    BROKER_BODY_BYTES_MAX = 512 * 1024 * 1024, /* what a broker can be configured to allow */
    BROKER_UNSENT_BYTES_MAX = 1024 * 1024 * 1024,
    BROKER_KEPT_BYTES_MAX = 1024 * 1024, /* a larger buffer is given back when it is empty */
};

/* The part of an incoming message that the reader expects next: method, header, or body frames. */
enum broker_read_state {
    READ_METHOD,
    READ_RETURN_HEADER,
    READ_RETURN_BODY,
    READ_DELIVERY_HEADER,
    READ_DELIVERY_BODY,
};

struct broker {
    amqp_connection_state_t connection;
    uint64_t heartbeat_ms; /* as negotiated; 0: none */
    uint64_t timeout_ms;   /* of each request that is waited for */
    size_t frame_max;
    bool healthy; /* worth a polite close */
    bool blocked;
    bool blocked_unlogged; /* that changed while an answer was waited for */
    bool refused;          /* what was sent made the broker close the channel */
    bool checking;         /* the message of broker_check_publishing() has no ack yet */
    uint64_t own_tags;     /* of the channel's publishes, those that its user has not made */
    SSL *tls;              /* the library's; NULL: plain TCP */
    long tls_verdict;      /* of the broker's certificate: X509_V_... */

    struct buffer out;
    size_t sent;          /* of out */
    uint64_t progress_ms; /* when the socket last took bytes, or the buffer became non-empty */
    uint64_t said_ms;     /* when the socket last took bytes */

    char *in; /* from in_begin to in_end: bytes that have arrived and are not read yet */
    size_t in_capacity, in_begin, in_end;
    bool in_is_dry;    /* the last read took all there was */
    uint64_t heard_ms; /* when bytes arrived last */

    enum broker_read_state read_state;
    uint64_t body_left;
    struct buffer header; /* its frame, of the message that is being read */
    struct buffer body;   /* of a message in more than one frame */
    struct slice body_slice;
    char return_id[SHORT_STRING_BYTES_MAX];
    size_t return_id_length;
    struct broker_delivery delivery; /* its slices point into `header`, and `body` or `in` */
};

/* The rest of bytes that are read from their front. Reading beyond the end returns nothing, and
 * latches `failed`. */
struct broker_cursor {
    const char *at;
    size_t left;
    bool failed;
};

static inline struct slice broker_take_bytes(struct broker_cursor *cursor, size_t length)
{
    if (length > cursor->left) {
        cursor->failed = true;
        cursor->left = 0;
        return (struct slice){"", 0};
    }
    struct slice taken = {cursor->at, length};
    cursor->at += length;
    cursor->left -= length;
    return taken;
}

/* Reads a number of `length` bytes, the most significant first. It is 0 beyond the end. */
static inline uint64_t broker_take_integer(struct broker_cursor *cursor, size_t length)
{
    struct slice bytes = broker_take_bytes(cursor, length);
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.length; i++) {
        value = value << 8 | (unsigned char)bytes.data[i];
    }
    return value;
}

static inline struct slice broker_take_short_string(struct broker_cursor *cursor)
{
    return broker_take_bytes(cursor, broker_take_integer(cursor, 1));
}

/* broker_frames.c: bytes to frames, and what a connection needs to stay alive. */
struct broker_frame {
    unsigned char type;
    uint16_t channel;
    struct slice payload;
};

#define BROKER_CHECK_KEY "amq.check" /* no queue of a client can have such a name */

/* Returns BROKEN with the text: the connection is not worth a polite close. */
enum outcome broker_broken(struct broker *broker, struct error *ret_error, const char *text);
/* Makes this module read the socket; the library reads nothing any more. BUSY: no memory. */
MUST_CHECK enum outcome broker_begin_reading(struct broker *broker, struct error *ret_error);
/* Returns the next frame if it has arrived. Its payload is valid until the next call. Sends a
 * heartbeat if one is due. BROKEN: as broker_read(). */
MUST_CHECK enum outcome broker_next_frame(struct broker *broker, struct broker_frame *ret_frame,
                                          bool *ret_has_frame, struct error *ret_error);
/* Waits for the answer to the request that was appended, and returns its arguments, which are valid
 * until the next read. Events before the answer are dropped, and events after it are left for
 * broker_read(). One exception: a delivery before consume-ok counts as the answer and is left for
 * broker_read() too. INVALID, TRANSIENT: as broker_refusal_error(); *ret_refusal (unless NULL) is
 * then the broker's, or its code is 0. */
MUST_CHECK enum outcome broker_wait_for(struct broker *broker, uint32_t method, const char *what,
                                        uint64_t timeout_ms, struct broker_cursor *ret_arguments,
                                        struct broker_refusal *ret_refusal,
                                        struct error *ret_error);
/* Of channel.close or connection.close: takes its arguments. */
struct broker_refusal broker_take_refusal(struct broker_cursor *arguments);

/* broker_properties.c: what a content header says, without its nested tables. A property that
 * `flags` (AMQP_BASIC_..._FLAG) does not name is empty or 0. */
struct broker_properties {
    uint16_t flags;
    struct slice content_type, content_encoding, headers, correlation_id, reply_to, expiration,
        message_id, type, user_id, app_id, cluster_id;
    uint8_t delivery_mode, priority;
    uint64_t timestamp_s;
};

/* `value` is behind the length, where the kind has one; `whole` is the entry with its name. */
struct broker_header {
    struct slice name, value, whole;
    char kind; /* AMQP_FIELD_KIND_... */
};

/* False: malformed. */
MUST_CHECK bool broker_properties_parse(struct slice raw, struct broker_properties *ret_properties);
/* False: there is no further header, or cursor->failed is set. */
MUST_CHECK bool broker_next_header(struct broker_cursor *cursor, struct broker_header *ret_header);

/* broker_write.c. Appends a method without content, on `channel`. */
MUST_CHECK enum outcome broker_append_method(struct broker *broker, uint16_t channel,
                                             uint32_t number, void *method, const char *what,
                                             struct error *ret_error);
/* Appends a persistent, mandatory message. `properties` are encoded here; if they are NULL, `raw`
 * holds the encoded ones. */
MUST_CHECK enum outcome broker_append_message(struct broker *broker,
                                              const struct broker_route *route,
                                              const amqp_basic_properties_t *properties,
                                              struct slice raw, struct slice body,
                                              struct error *ret_error);
void broker_append_heartbeat(struct broker *broker);

/* broker_queue.c. Writes the arguments with which the queue is declared, and returns how many. They
 * borrow literals. */
enum { BROKER_QUEUE_ENTRIES_MAX = 3 };
int broker_queue_entries(const struct broker_queue *queue,
                         amqp_table_entry_t ret_entries[BROKER_QUEUE_ENTRIES_MAX]);

/* broker.c. Sends a request and waits for its answer; *ret_refusal (NULL: nowhere) as
 * broker_wait_for(). */
MUST_CHECK enum outcome broker_ask(struct broker *broker, uint32_t request, void *method,
                                   uint32_t answer, const char *what,
                                   struct broker_refusal *ret_refusal, struct error *ret_error);
/* After the channel was closed. */
MUST_CHECK enum outcome broker_open_channel(struct broker *broker, struct error *ret_error);
/* The broker has closed the channel because of a refusal, and waits to hear that this is known. */
MUST_CHECK enum outcome broker_recover_channel(struct broker *broker, struct error *ret_error);

/* broker_connect.c. Connects, and does everything up to the login. */
MUST_CHECK enum outcome broker_connect(struct broker *broker, const struct broker_address *address,
                                       const struct broker_open_options *options,
                                       struct error *ret_error);
/* Returns TRANSIENT, and says in words for an operator why the library's call failed.
 * `error_number` is the errno that it left, or 0. */
enum outcome broker_status_error(int status, int error_number, const char *what,
                                 struct error *ret_error);

/* Returns whether the peer answers a TLS client as a TLS server does. Opens a connection of its
 * own, and blocks for two seconds at most (a name look-up excepted). */
bool broker_port_speaks_tls(const struct broker_address *address);

/* broker_tls.c. Returns a socket for amqps://, with all checks of the peer enabled. */
MUST_CHECK enum outcome broker_tls_socket(struct broker *broker, const char *host,
                                          const struct broker_tls_files *files,
                                          amqp_socket_t **ret_socket, struct error *ret_error);
/* Says in words for an operator why the handshake failed with `status`. `error_number` is the errno
 * that it left, or 0. */
enum outcome broker_tls_connect_error(const struct broker *broker, const char *host, int status,
                                      int error_number, struct error *ret_error);
/* Writes the first message of a TLS client. Returns how many bytes it has, 0 if OpenSSL refuses. */
size_t broker_tls_hello(const char *host, char ret_bytes[BROKER_TLS_HELLO_BYTES]);
/* Returns the last error of OpenSSL on this thread, or NULL, and forgets it. */
const char *broker_tls_reason(void);
/* Works as send() that does not block: returns how many bytes were taken, or -1 and errno. Bytes
 * that were not taken must be offered again before anything else is written. */
ssize_t broker_tls_write(struct broker *broker, const char *data, size_t length);
/* Works as recv() that does not block: returns how many bytes were read, 0 at the end, or -1 and
 * errno. */
ssize_t broker_tls_read(struct broker *broker, char *data, size_t room);

static inline struct slice broker_slice(amqp_bytes_t bytes)
{
    return (struct slice){bytes.bytes, bytes.len};
}
static inline amqp_bytes_t broker_bytes(struct slice slice)
{
    return (amqp_bytes_t){slice.length, (void *)(uintptr_t)slice.data};
}
