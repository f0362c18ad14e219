/* The life of a connection: login, set-up calls that wait for their reply, close. */
#include "common/amqp/broker.h"

#include "common/amqp/broker_internal.h"
#include "common/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTION_NAME_BYTES = 256, CONSUMER_TAG_BYTES = 24 };

static const char *program_name;

void broker_set_program(const char *name)
{
    program_name = name;
}

/* Why the library's call was no success. errno is as the call left it. */
static enum outcome reply_error(amqp_rpc_reply_t reply, const char *what, struct error *ret_error)
{
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION) {
        return broker_status_error(reply.library_error, errno, what, ret_error);
    }
    if (reply.reply_type != AMQP_RESPONSE_SERVER_EXCEPTION) {
        return error_set(ret_error, OUTCOME_TRANSIENT, "%s: no reply from the broker", what);
    }
    struct broker_refusal refusal = {.code = 0};
    amqp_bytes_t text = amqp_empty_bytes;
    if (reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD) {
        const amqp_connection_close_t *method = reply.reply.decoded;
        refusal.code = method->reply_code;
        text = method->reply_text;
    } else if (reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
        const amqp_channel_close_t *method = reply.reply.decoded;
        refusal.code = method->reply_code;
        text = method->reply_text;
    }
    if (text.len > 0) {
        broker_refusal_set_text(&refusal, (struct slice){text.bytes, text.len});
    }
    return broker_refusal_error(&refusal, what, ret_error);
}

/* The peer went away in the middle, or what it said is something else. */
static bool is_no_amqp(amqp_rpc_reply_t reply)
{
    return reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION &&
           (reply.library_error == AMQP_STATUS_CONNECTION_CLOSED ||
            reply.library_error == AMQP_STATUS_SOCKET_ERROR ||
            reply.library_error == AMQP_STATUS_BAD_AMQP_DATA);
}

static amqp_table_entry_t table_text(const char *key, const char *value)
{
    return (amqp_table_entry_t){
        .key = amqp_cstring_bytes(key),
        .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(value)}};
}

static amqp_table_entry_t table_true(const char *key)
{
    return (amqp_table_entry_t){.key = amqp_cstring_bytes(key),
                                .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1}};
}

/* "user-service 1.2.3 on a-host: publisher" */
static void write_connection_name(const char *part, char ret_name[CONNECTION_NAME_BYTES])
{
    char host[HOST_NAME_MAX + 1] = "";
    if (program_name == NULL) {
        (void)snprintf(ret_name, CONNECTION_NAME_BYTES, "%s", part);
        return;
    }
    /* A name that is too long may be left without its end. */
    bool is_known = gethostname(host, sizeof(host) - 1) == 0;
    (void)snprintf(ret_name, CONNECTION_NAME_BYTES, "%s %s on %s: %s", program_name,
                   PROJECT_VERSION, is_known ? host : "an unknown host", part);
}

static enum outcome login_error(amqp_rpc_reply_t reply, const struct broker_address *address,
                                const struct broker_open_options *options, struct error *ret_error)
{
    enum outcome outcome = reply_error(reply, "login", ret_error);
    if (options->explains && !address->tls && is_no_amqp(reply) &&
        broker_port_speaks_tls(address)) {
        return error_set(ret_error, OUTCOME_TRANSIENT,
                         "login: the port speaks TLS: write amqps:// in the URL");
    }
    return outcome;
}

/* The broker tells of alarms and cancelled consumers only those who announce that they listen. */
static enum outcome login(struct broker *broker, const struct broker_address *address,
                          const struct broker_open_options *options, struct error *ret_error)
{
    amqp_table_entry_t capabilities[] = {
        table_true("connection.blocked"),           table_true("consumer_cancel_notify"),
        table_true("publisher_confirms"),           table_true("basic.nack"),
        table_true("authentication_failure_close"),
    };
    char name[CONNECTION_NAME_BYTES];
    write_connection_name(options->connection_name, name);
    amqp_table_entry_t properties[] = {
        table_text("connection_name", name),
        table_text("product", program_name != NULL ? program_name : options->connection_name),
        table_text("version", PROJECT_VERSION),
        {.key = amqp_cstring_bytes("capabilities"),
         .value = {.kind = AMQP_FIELD_KIND_TABLE,
                   .value.table = {sizeof(capabilities) / sizeof(capabilities[0]), capabilities}}},
    };
    amqp_table_t table = {sizeof(properties) / sizeof(properties[0]), properties};
    const char *password = options->password != NULL ? options->password : address->password;
    bool is_less =
        address->frame_bytes_max > 0 && address->frame_bytes_max < BROKER_FRAME_BYTES_MAX;
    errno = 0;
    amqp_rpc_reply_t reply = amqp_login_with_properties(
        broker->connection, address->vhost, BROKER_CHANNEL,
        is_less ? address->frame_bytes_max : BROKER_FRAME_BYTES_MAX,
        address->heartbeat_s > 0 ? address->heartbeat_s : options->heartbeat_s, &table,
        AMQP_SASL_METHOD_PLAIN, address->user, password);
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) {
        return login_error(reply, address, options, ret_error);
    }
    int frame_max = amqp_get_frame_max(broker->connection);
    if (frame_max < AMQP_FRAME_MIN_SIZE) {
        return error_set(ret_error, OUTCOME_TRANSIENT,
                         "login: the broker wants frames of at most %d bytes; AMQP's least is %d",
                         frame_max, AMQP_FRAME_MIN_SIZE);
    }
    broker->frame_max = (size_t)frame_max;
    errno = 0;
    amqp_channel_open(broker->connection, BROKER_CHANNEL);
    reply = amqp_get_rpc_reply(broker->connection);
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) {
        return reply_error(reply, "channel.open", ret_error);
    }
    return OUTCOME_OK;
}

/* A peer that vanished without a word is noticed in the same time as one that is silent. */
static void bound_silence(struct broker *broker)
{
    unsigned int timeout_ms = (unsigned int)(2 * broker->heartbeat_ms);
    if (timeout_ms > 0) {
        /* A kernel that refuses leaves the heartbeat to do it. */
        (void)setsockopt(amqp_get_sockfd(broker->connection), IPPROTO_TCP, TCP_USER_TIMEOUT,
                         &timeout_ms, sizeof(timeout_ms));
    }
}

enum outcome broker_open(const struct broker_address *address,
                         const struct broker_open_options *options, struct broker **ret_broker,
                         struct error *ret_error)
{
    struct broker *broker = calloc(1, sizeof(*broker));
    if (broker == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for a broker connection");
    }
    buffer_init(&broker->out, BROKER_UNSENT_BYTES_MAX);
    buffer_init(&broker->header, BROKER_FRAME_BYTES_MAX + BROKER_ADDED_HEADER_BYTES);
    buffer_init(&broker->body, BROKER_BODY_BYTES_MAX);
    broker->timeout_ms =
        options->timeout_ms > 0 ? options->timeout_ms : BROKER_OPERATION_TIMEOUT_MS;
    broker->connection = amqp_new_connection();
    enum outcome outcome =
        broker->connection == NULL
            ? error_set(ret_error, OUTCOME_BUSY, "no memory for a broker connection")
            : broker_connect(broker, address, options, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = login(broker, address, options, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        broker->heartbeat_ms = (uint64_t)amqp_get_heartbeat(broker->connection) * 1000;
        outcome = broker_begin_reading(broker, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        broker_free(broker);
        return outcome;
    }
    broker->healthy = true;
    bound_silence(broker);
    *ret_broker = broker;
    return OUTCOME_OK;
}

/* In an alarm, or behind half a frame, the broker would not read it. */
static void close_politely(struct broker *broker)
{
    amqp_connection_close_t close = {.reply_code = AMQP_REPLY_SUCCESS,
                                     .reply_text = amqp_empty_bytes};
    struct broker_cursor arguments;
    struct error error;
    if (!broker->healthy || broker->blocked || broker_unsent_bytes(broker) > 0) {
        return;
    }
    enum outcome outcome = broker_append_method(broker, 0, AMQP_CONNECTION_CLOSE_METHOD, &close,
                                                "connection.close", &error);
    if (outcome == OUTCOME_OK) {
        outcome = broker_wait_for(broker, AMQP_CONNECTION_CLOSE_OK_METHOD, "connection.close",
                                  BROKER_CLOSE_TIMEOUT_MS, &arguments, NULL, &error);
    }
    (void)outcome; /* without an answer the socket closes all the same */
}

void broker_free(struct broker *broker)
{
    if (broker == NULL) {
        return;
    }
    if (broker->connection != NULL) {
        close_politely(broker);
        (void)amqp_destroy_connection(broker->connection);
    }
    buffer_done(&broker->out);
    buffer_done(&broker->header);
    buffer_done(&broker->body);
    free(broker->in);
    free(broker);
}

enum outcome broker_ask(struct broker *broker, uint32_t request, void *method, uint32_t answer,
                        const char *what, struct broker_refusal *ret_refusal,
                        struct error *ret_error)
{
    struct broker_cursor arguments;
    if (ret_refusal != NULL) {
        ret_refusal->code = 0;
    }
    enum outcome outcome =
        broker_append_method(broker, BROKER_CHANNEL, request, method, what, ret_error);
    return outcome != OUTCOME_OK ? outcome
                                 : broker_wait_for(broker, answer, what, broker->timeout_ms,
                                                   &arguments, ret_refusal, ret_error);
}

enum outcome broker_open_channel(struct broker *broker, struct error *ret_error)
{
    amqp_channel_open_t open = {.out_of_band = amqp_empty_bytes};
    broker->own_tags = 0;
    broker->checking = false;
    return broker_ask(broker, AMQP_CHANNEL_OPEN_METHOD, &open, AMQP_CHANNEL_OPEN_OK_METHOD,
                      "channel.open", NULL, ret_error);
}

enum outcome broker_recover_channel(struct broker *broker, struct error *ret_error)
{
    amqp_channel_close_ok_t closed = {0};
    broker->healthy = true;
    enum outcome outcome =
        broker_append_method(broker, BROKER_CHANNEL, AMQP_CHANNEL_CLOSE_OK_METHOD, &closed,
                             "channel.close-ok", ret_error);
    return outcome == OUTCOME_OK ? broker_open_channel(broker, ret_error) : outcome;
}

enum outcome broker_enable_confirms(struct broker *broker, struct error *ret_error)
{
    amqp_confirm_select_t select = {.nowait = 0};
    return broker_ask(broker, AMQP_CONFIRM_SELECT_METHOD, &select, AMQP_CONFIRM_SELECT_OK_METHOD,
                      "confirm.select", NULL, ret_error);
}

enum outcome broker_check_publishing(struct broker *broker, struct error *ret_error)
{
    const struct message message = {.message_id = slice_of(BROKER_CHECK_KEY)};
    const struct broker_route nowhere = {"", BROKER_CHECK_KEY};
    struct broker_cursor arguments;
    enum outcome outcome = broker_append_publish(broker, &nowhere, &message, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    broker->own_tags = 1;
    broker->checking = true;
    outcome = broker_wait_for(broker, AMQP_BASIC_ACK_METHOD, "basic.publish", broker->timeout_ms,
                              &arguments, NULL, ret_error);
    broker->checking = broker->blocked;
    return outcome;
}

enum outcome broker_reopen_channel(struct broker *broker, struct error *ret_error)
{
    amqp_channel_close_t close = {.reply_code = AMQP_REPLY_SUCCESS};
    enum outcome outcome =
        broker_ask(broker, AMQP_CHANNEL_CLOSE_METHOD, &close, AMQP_CHANNEL_CLOSE_OK_METHOD,
                   "channel.close", NULL, ret_error);
    return outcome != OUTCOME_OK ? outcome : broker_open_channel(broker, ret_error);
}

enum outcome broker_set_prefetch(struct broker *broker, uint16_t prefetch, struct error *ret_error)
{
    amqp_basic_qos_t qos = {.prefetch_count = prefetch};
    return broker_ask(broker, AMQP_BASIC_QOS_METHOD, &qos, AMQP_BASIC_QOS_OK_METHOD, "basic.qos",
                      NULL, ret_error);
}

/* The first consumer has a tag that the broker makes, and a later one its number. */
static amqp_bytes_t write_consumer_tag(size_t number, char ret_tag[CONSUMER_TAG_BYTES])
{
    assert(number <= BROKER_CONSUMERS_MAX);
    (void)snprintf(ret_tag, CONSUMER_TAG_BYTES, "%zu", number);
    return number == 0 ? amqp_empty_bytes : amqp_cstring_bytes(ret_tag);
}

enum outcome broker_consume(struct broker *broker, const char *queue, size_t number,
                            struct error *ret_error)
{
    char tag[CONSUMER_TAG_BYTES];
    amqp_basic_consume_t consume = {.queue = amqp_cstring_bytes(queue),
                                    .consumer_tag = write_consumer_tag(number, tag)};
    return broker_ask(broker, AMQP_BASIC_CONSUME_METHOD, &consume, AMQP_BASIC_CONSUME_OK_METHOD,
                      "basic.consume", NULL, ret_error);
}

enum outcome broker_append_consume(struct broker *broker, const char *queue, size_t number,
                                   struct error *ret_error)
{
    char tag[CONSUMER_TAG_BYTES];
    amqp_basic_consume_t consume = {.queue = amqp_cstring_bytes(queue),
                                    .consumer_tag = write_consumer_tag(number, tag)};
    return broker_append_method(broker, BROKER_CHANNEL, AMQP_BASIC_CONSUME_METHOD, &consume,
                                "basic.consume", ret_error);
}

enum outcome broker_append_cancel(struct broker *broker, size_t number, struct error *ret_error)
{
    char tag[CONSUMER_TAG_BYTES];
    assert(number > 0);
    amqp_basic_cancel_t cancel = {.consumer_tag = write_consumer_tag(number, tag)};
    return broker_append_method(broker, BROKER_CHANNEL, AMQP_BASIC_CANCEL_METHOD, &cancel,
                                "basic.cancel", ret_error);
}

int broker_descriptor(const struct broker *broker)
{
    return amqp_get_sockfd(broker->connection);
}

struct pollfd broker_poll(const struct broker *broker)
{
    if (broker == NULL) {
        return (struct pollfd){.fd = -1};
    }
    /* broker_read() reads nothing while bytes are unsent, so waiting for both would spin. */
    return (struct pollfd){.fd = broker_descriptor(broker),
                           .events = broker_unsent_bytes(broker) > 0 ? POLLOUT : POLLIN};
}
