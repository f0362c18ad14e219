/* One AMQP connection with one channel; only broker*.c include rabbitmq-c.
 *
 * After broker_open() nothing blocks: publishes, acks and declares are encoded into one buffer,
 * broker_flush() is one non-blocking send of it, broker_read() returns what has arrived. Any call
 * that returns OUTCOME_BROKEN means: broker_free() and open a new one; what was published and not
 * confirmed is of unknown outcome. broker_open(), the calls that wait and broker_free() may block,
 * for each answer of the broker no longer than the operation timeout (a name look-up excepted).
 * A connection may be handed from thread to thread, but used by one at a time. */
#pragma once

#include "common/amqp/broker_url.h"
#include "common/amqp/message.h"
#include "common/base/buffer.h"

#include <poll.h>

enum broker_queue_type { BROKER_QUEUE_QUORUM, BROKER_QUEUE_CLASSIC };

/* Of a delivery, where a quorum queue has counted earlier ones; shown however many headers there
 * are. */
#define BROKER_HEADER_DELIVERY_COUNT "x-delivery-count"

enum { BROKER_OPERATION_TIMEOUT_MS = 5000, BROKER_URLS_MAX = 16 };

/* INVALID names the option and the file that cannot be used. */
MUST_CHECK enum outcome broker_tls_check_files(const struct broker_tls_files *files,
                                               struct error *ret_error);

/* Names the program in the names of its connections, as the broker's tools show them. Borrows the
 * text. Once, before there are threads; without it they have only their own names. */
void broker_set_program(const char *name);

/* What the address says of the same wins. */
struct broker_open_options {
    const char *connection_name; /* "publisher": its part in the program */
    int heartbeat_s;
    const char *password; /* instead of the URL's; NULL: the URL's */
    struct broker_tls_files tls_files;
    uint64_t timeout_ms; /* of the connect and of each operation; 0: BROKER_OPERATION_TIMEOUT_MS */
    bool explains;       /* where the login fails, a second connection may be opened to learn why */
};

struct broker;

/* The files for one address: those of its URL, else the options'. Borrowed from both. */
struct broker_tls_files broker_tls_files_of(const struct broker_address *address,
                                            const struct broker_tls_files *options);

/* Connects to one host, logs in, opens the channel. With TLS 1.2 or later where the address says
 * so, and then only to a host whose certificate is valid for its name. TRANSIENT: unreachable,
 * refused, timed out, not to be trusted. INVALID: the broker refused the login or the vhost, or a
 * TLS file cannot be used. */
MUST_CHECK enum outcome broker_open(const struct broker_address *address,
                                    const struct broker_open_options *options,
                                    struct broker **ret_broker, struct error *ret_error);

/* Closes politely where the connection still works. NULL is fine. */
void broker_free(struct broker *broker);

/* Set-up, before the first publish or delivery. A queue that exists with other arguments is
 * OUTCOME_INVALID, with both values in the text and the option to change. After a failure free it.
 */
MUST_CHECK enum outcome broker_declare_and_wait(struct broker *broker, const char *queue,
                                                enum broker_queue_type type,
                                                struct error *ret_error);
/* Counts the ready messages. *ret_exists is false where there is no such queue; then the connection
 * is of no more use. */
MUST_CHECK enum outcome broker_count_and_wait(struct broker *broker, const char *queue,
                                              bool *ret_exists, uint64_t *ret_count,
                                              struct error *ret_error);
MUST_CHECK enum outcome broker_enable_confirms(struct broker *broker, struct error *ret_error);
/* A moment later all that was delivered and not acked is in its queue again, in front of the rest:
 * a nack would have RabbitMQ 3 put it at the end. Confirms are not enabled any more. */
MUST_CHECK enum outcome broker_reopen_channel(struct broker *broker, struct error *ret_error);
MUST_CHECK enum outcome broker_consume(struct broker *broker, const char *queue, uint16_t prefetch,
                                       struct error *ret_error);

/* The socket, for poll(). Readiness alone is not enough: call broker_read() until NONE whenever the
 * loop turns, and at least every half heartbeat. */
int broker_descriptor(const struct broker *broker);
/* What poll() must watch so that bytes are sent and read; fd -1 (nothing) for NULL. */
struct pollfd broker_poll(const struct broker *broker);

/* Appends a persistent, mandatory publish to `queue` on the default exchange. INVALID: the message
 * cannot be encoded (nothing was appended). */
MUST_CHECK enum outcome broker_append_publish(struct broker *broker, const char *queue,
                                              const struct message *message,
                                              struct error *ret_error);
MUST_CHECK enum outcome broker_append_ack(struct broker *broker, uint64_t delivery_tag,
                                          bool multiple, struct error *ret_error);
/* The reply arrives as BROKER_EVENT_DECLARED, or as OUTCOME_BROKEN. */
MUST_CHECK enum outcome broker_append_declare(struct broker *broker, const char *queue,
                                              enum broker_queue_type type, struct error *ret_error);

/* Asks for one message, to be acked by its tag: arrives as BROKER_EVENT_DELIVERY, or as
 * BROKER_EVENT_EMPTY where the queue has none. */
MUST_CHECK enum outcome broker_append_get(struct broker *broker, const char *queue,
                                          struct error *ret_error);

/* Bytes appended and not yet taken by the socket. */
size_t broker_unsent_bytes(const struct broker *broker);

/* Sends what it can without blocking. BROKEN: the connection failed, or has taken nothing for two
 * heartbeats. */
MUST_CHECK enum outcome broker_flush(struct broker *broker, struct error *ret_error);

enum broker_event_type {
    BROKER_EVENT_NONE, /* nothing more has arrived */
    BROKER_EVENT_ACK,
    BROKER_EVENT_NACK,
    BROKER_EVENT_RETURN, /* message_id of a message that no queue took; its ack follows */
    BROKER_EVENT_BLOCKED,
    BROKER_EVENT_UNBLOCKED,
    BROKER_EVENT_DECLARED,
    BROKER_EVENT_DELIVERY,
    BROKER_EVENT_EMPTY,
    BROKER_EVENT_CANCELLED, /* the broker ended our consumer (the queue is gone) */
};

/* A delivered message. `raw_properties` are the properties as they were on the wire, for
 * broker_append_copy(). */
struct broker_delivery {
    uint64_t tag;
    bool redelivered;
    struct message message;
    struct slice raw_properties;
};

struct broker_event {
    enum broker_event_type type;
    uint64_t tag; /* ACK, NACK */
    bool multiple;
    struct slice text; /* RETURN: message id; BLOCKED: the broker's reason */
    struct broker_delivery delivery;
};

/* Takes the next event; slices are valid until the next call. Sends what is unsent first, and reads
 * nothing, which is NONE, while the socket does not take all of it. BROKEN: the connection or the
 * channel is closed, the heartbeat is missing, or the peer does not speak AMQP; the text says
 * which. */
MUST_CHECK enum outcome broker_read(struct broker *broker, struct broker_event *ret_event,
                                    struct error *ret_error);

/* Sends a heartbeat where one is due: for a connection that is not read from meanwhile. BROKEN: as
 * broker_flush(). */
MUST_CHECK enum outcome broker_show_life(struct broker *broker, struct error *ret_error);

/* What is to be different about a copy. */
struct broker_copy {
    const char *queue;
    const struct message_header *headers; /* added, in place of those of the same name */
    size_t header_count;
    const char *dropped_prefix; /* headers that begin so are left out; NULL: none */
};

/* Appends a copy of a delivery: same body and properties, persistent and mandatory. What would make
 * the copy expire, be refused or be routed elsewhere (expiration, user_id, headers CC and BCC) is
 * kept under headers named original-...; what the broker counts deliveries by is left out. */
MUST_CHECK enum outcome broker_append_copy(struct broker *broker, struct slice body,
                                           struct slice raw_properties,
                                           const struct broker_copy *copy, struct error *ret_error);
