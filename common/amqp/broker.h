/* A broker is one AMQP connection with one channel. Only broker*.c include rabbitmq-c.
 *
 * After broker_open() nothing blocks: publishes, acks and declares are encoded into one buffer,
 * broker_flush() is one non-blocking send of it, and broker_read() returns what has arrived. After
 * any call that returns OUTCOME_BROKEN, call broker_free() and open a new one; the outcome of the
 * unconfirmed publishes is then unknown. broker_open(), the calls that wait and broker_free() may
 * block, for each answer of the broker no longer than the operation timeout (a name look-up
 * excepted). A connection may be handed from thread to thread, but only one thread at a time may
 * use it. */
#pragma once

#include "common/amqp/broker_url.h"
#include "common/amqp/message.h"
#include "common/base/buffer.h"

#include <poll.h>

enum broker_queue_type { BROKER_QUEUE_QUORUM, BROKER_QUEUE_CLASSIC };
enum broker_declare { BROKER_DECLARE_AUTO, BROKER_DECLARE_NEVER };

/* A durable queue, and whether it is declared, or only looked for. Borrows its name. */
struct broker_queue {
    const char *name;
    enum broker_queue_type type; /* of no meaning where it is only looked for */
    enum broker_declare declare;
    bool is_shard; /* then its consumers take turns, and its leader is where there are few */
};

/* Where a message is published to: the default exchange, "", delivers to the queue that the routing
 * key names. Borrows both. */
struct broker_route {
    const char *exchange;
    const char *routing_key;
};

/* Why a queue is used as it is; all "" where it is what was asked for, or was only looked for. */
struct broker_queue_finding {
    struct error difference;   /* the argument that differs, and both values */
    struct error discards;     /* which of its arguments discard confirmed messages, or "" */
    struct error not_declared; /* the right that is missing */
};

/* The header in which a quorum queue counts earlier deliveries of a message. It is shown however
 * many headers there are. */
#define BROKER_HEADER_DELIVERY_COUNT "x-delivery-count"

enum { BROKER_OPERATION_TIMEOUT_MS = 5000, BROKER_URLS_MAX = 16, BROKER_CONSUMERS_MAX = 255 };

/* Checks the files. INVALID: the text names the option and the file that cannot be used. */
MUST_CHECK enum outcome broker_tls_check_files(const struct broker_tls_files *files,
                                               struct error *ret_error);

/* Names the program in the names of its connections, as the broker's tools show them. Borrows the
 * text. To be called once, before there are threads. Without it connections have only their own
 * names. */
void broker_set_program(const char *name);

/* If the address says the same as an option, the address wins. */
struct broker_open_options {
    const char *connection_name; /* "publisher": its part in the program */
    int heartbeat_s;
    const char *password; /* instead of the URL's; NULL: the URL's */
    struct broker_tls_files tls_files;
    uint64_t timeout_ms; /* of the connect, to all addresses of the host together, and of each
                          * operation; 0: BROKER_OPERATION_TIMEOUT_MS */
    bool explains;       /* where the login fails, a second connection may be opened to learn why */
};

struct broker;

/* Returns the files for one address: those of its URL, else those of the options. They are borrowed
 * from both. */
struct broker_tls_files broker_tls_files_of(const struct broker_address *address,
                                            const struct broker_tls_files *options);

/* Connects to one host, logs in, and opens the channel. If the address asks for TLS, uses TLS 1.2
 * or later, and only with a host whose certificate is valid for its name. TRANSIENT: the host is
 * unreachable, refuses the connection, is too slow, or is not to be trusted. INVALID: the broker
 * refused the login or the vhost, or a TLS file cannot be used. */
MUST_CHECK enum outcome broker_open(const struct broker_address *address,
                                    const struct broker_open_options *options,
                                    struct broker **ret_broker, struct error *ret_error);

/* Closes with AMQP's handshake if the connection still works. NULL is fine. */
void broker_free(struct broker *broker);

/* These calls are for the set-up, before the first publish or delivery. With BROKER_DECLARE_AUTO a
 * queue is used as it is where the user may not declare one, and where it exists with other
 * arguments: its type must be what was asked for, if the broker says that it differs, and it must
 * be durable and stay without consumers. INVALID: it is not, with both values in the text and the
 * option to change. TRANSIENT: it does not exist and is not declared, among other reasons. After a
 * failure free it. */
MUST_CHECK enum outcome broker_declare_and_wait(struct broker *broker,
                                                const struct broker_queue *queue,
                                                struct broker_queue_finding *ret_finding,
                                                struct error *ret_error);
/* Counts the ready messages. *ret_exists is false if there is no such queue; then the connection
 * cannot be used any more. */
MUST_CHECK enum outcome broker_count_and_wait(struct broker *broker, const char *queue,
                                              bool *ret_exists, uint64_t *ret_count,
                                              struct error *ret_error);
/* Counts the consumers of a queue that exists. TRANSIENT: it does not, among other reasons. After a
 * failure free it. */
MUST_CHECK enum outcome broker_count_consumers_and_wait(struct broker *broker, const char *queue,
                                                        uint64_t *ret_count,
                                                        struct error *ret_error);

/* A lock is an exclusive queue: the broker gives it to one connection at a time, and deletes it
 * when that connection has ended, however it ends. */
enum broker_lock {
    BROKER_LOCK_HELD,
    BROKER_LOCK_OF_ANOTHER, /* connection */
    BROKER_LOCK_DENIED,     /* the user lacks the right to it */
};

/* Tries to take the lock. *ret_why has the broker's words where it is not held. A refusal is an
 * error in the broker's log. */
MUST_CHECK enum outcome broker_lock_and_wait(struct broker *broker, const char *name,
                                             enum broker_lock *ret_lock, struct error *ret_why,
                                             struct error *ret_error);
/* Of a lock that another connection seems to hold. INVALID: there is an ordinary queue of that
 * name, which nobody will ever release. A refusal is an error in the broker's log. */
MUST_CHECK enum outcome broker_check_lock(struct broker *broker, const char *name,
                                          struct error *ret_error);
MUST_CHECK enum outcome broker_enable_confirms(struct broker *broker, struct error *ret_error);
/* Whether there is such an exchange, not the default one, and the user may publish to it. The right
 * to one topic only a message can show. TRANSIENT: there is none, among other reasons. INVALID: the
 * missing right. After a failure free it. */
MUST_CHECK enum outcome broker_check_exchange(struct broker *broker, const char *exchange,
                                              struct error *ret_error);
MUST_CHECK enum outcome broker_bind_and_wait(struct broker *broker, const char *queue,
                                             const struct broker_route *route,
                                             struct error *ret_error);
/* With confirms enabled: whether the user may publish to the default exchange. A message that no
 * queue can take is published, and the broker confirms that; nobody else sees it. INVALID: the
 * missing right. In an alarm nothing is confirmed: then it returns OK without knowing. */
MUST_CHECK enum outcome broker_check_publishing(struct broker *broker, struct error *ret_error);
/* Closes the channel and opens it again. A moment later all unacknowledged deliveries are in their
 * queue again, in front of the other messages; RabbitMQ 3 would put them at the end after a nack.
 * Confirms are not enabled on the new channel. */
MUST_CHECK enum outcome broker_reopen_channel(struct broker *broker, struct error *ret_error);
/* For the consumers that begin afterwards, for each of them. */
MUST_CHECK enum outcome broker_set_prefetch(struct broker *broker, uint16_t prefetch,
                                            struct error *ret_error);
/* `number`, up to BROKER_CONSUMERS_MAX, is that of the deliveries and of BROKER_EVENT_CANCELLED.
 * With more than one consumer the deliveries of the first may have begun already: then it is
 * broker_read() that says whether the others may consume. */
MUST_CHECK enum outcome broker_consume(struct broker *broker, const char *queue, size_t number,
                                       struct error *ret_error);
/* Ends a consumer, and begins it again behind all others of its queue. Neither has an answer that
 * is shown; a refusal closes the channel. What was delivered meanwhile is still read. */
MUST_CHECK enum outcome broker_append_cancel(struct broker *broker, size_t number,
                                             struct error *ret_error);
MUST_CHECK enum outcome broker_append_consume(struct broker *broker, const char *queue,
                                              size_t number, struct error *ret_error);

/* The socket, for poll(). Readiness alone is not enough: call broker_read() until NONE whenever the
 * loop turns, and at least every half heartbeat. */
int broker_descriptor(const struct broker *broker);
/* Returns what poll() must watch so that bytes are sent and read. fd is -1 (nothing) for NULL. */
struct pollfd broker_poll(const struct broker *broker);

/* Appends a persistent, mandatory publish. INVALID: the message cannot be encoded, and nothing was
 * appended. */
MUST_CHECK enum outcome broker_append_publish(struct broker *broker,
                                              const struct broker_route *route,
                                              const struct message *message,
                                              struct error *ret_error);
MUST_CHECK enum outcome broker_append_ack(struct broker *broker, uint64_t delivery_tag,
                                          bool multiple, struct error *ret_error);
/* Passive: it is only looked for. The reply arrives as BROKER_EVENT_DECLARED, or as OUTCOME_BROKEN.
 */
MUST_CHECK enum outcome broker_append_declare(struct broker *broker,
                                              const struct broker_queue *queue, bool passive,
                                              struct error *ret_error);

/* Takes the lock that this connection holds once more: it is gone where somebody has deleted it, or
 * a policy lets unused queues expire. The reply arrives as BROKER_EVENT_DECLARED, or as
 * OUTCOME_BROKEN: another connection has it. */
MUST_CHECK enum outcome broker_append_lock(struct broker *broker, const char *name,
                                           struct error *ret_error);

/* Has no reply; where it fails the channel is closed. */
MUST_CHECK enum outcome broker_append_bind(struct broker *broker, const char *queue,
                                           const struct broker_route *route,
                                           struct error *ret_error);

/* Appends a request for one message, which must be acked by its tag. The message arrives as
 * BROKER_EVENT_DELIVERY. If the queue has none, BROKER_EVENT_EMPTY arrives. */
MUST_CHECK enum outcome broker_append_get(struct broker *broker, const char *queue,
                                          struct error *ret_error);

/* Returns how many bytes are appended and not yet taken by the socket. */
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
    uint8_t consumer; /* its number */
    bool redelivered;
    struct message message;
    struct slice raw_properties;
};

struct broker_event {
    enum broker_event_type type;
    uint64_t tag; /* ACK, NACK */
    bool multiple;
    struct slice text;  /* RETURN: message id; BLOCKED: the broker's reason; DECLARED: the queue */
    uint64_t consumers; /* DECLARED: of the queue, our own included */
    uint8_t consumer;   /* CANCELLED: its number */
    struct broker_delivery delivery;
};

/* Returns the next event. Its slices are valid until the next call. First sends unsent bytes; while
 * the socket does not accept all of them it reads nothing and returns NONE. BROKEN: the connection
 * or the channel is closed, the heartbeat is missing, or the peer does not speak AMQP. The text
 * says which. */
MUST_CHECK enum outcome broker_read(struct broker *broker, struct broker_event *ret_event,
                                    struct error *ret_error);

/* After a failed broker_read(): the broker has closed the channel because of what was sent on it,
 * and would close the next one. */
bool broker_has_refused(const struct broker *broker);

/* True: nothing was sent for two heartbeats, because this process was held up. The broker may have
 * given the connection up, and have delivered to others what came over it. */
bool broker_is_given_up(const struct broker *broker, uint64_t now_ms);

/* Sends a heartbeat if one is due. A connection that is not read from for a while needs it. BROKEN:
 * as broker_flush(). */
MUST_CHECK enum outcome broker_heartbeat_if_due(struct broker *broker, struct error *ret_error);

/* What differs between a copy and its original. */
struct broker_copy {
    const char *queue;
    const struct message_header *headers; /* added, in place of those of the same name */
    size_t header_count;
    const char *dropped_prefix; /* headers that begin so are left out; NULL: none */
    bool whole; /* rather none than one without the original's properties or headers */
};

/* Appends a copy of a delivery, with the same body and properties, persistent and mandatory.
 * Properties that would make the copy expire, be refused or be routed elsewhere (expiration,
 * user_id, headers CC and BCC) are kept under headers named original-... The header in which the
 * broker counts deliveries is left out. INVALID: it cannot be encoded. */
MUST_CHECK enum outcome broker_append_copy(struct broker *broker, struct slice body,
                                           struct slice raw_properties,
                                           const struct broker_copy *copy, struct error *ret_error);
