/* A broker's connection whose other end is the test's, without a login; and bytes as a broker sends
 * them. */
#pragma once

#include "common/amqp/broker_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { HEARTBEAT_MS = 60000 };

struct pair {
    struct broker *broker;
    int peer;
};

static inline struct pair connected(void)
{
    int ends[2];
    struct error error;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    struct broker *broker = calloc(1, sizeof(*broker));
    assert_non_null(broker);
    buffer_init(&broker->out, BROKER_UNSENT_BYTES_MAX);
    buffer_init(&broker->header, BROKER_FRAME_BYTES_MAX + BROKER_ADDED_HEADER_BYTES);
    buffer_init(&broker->body, BROKER_BODY_BYTES_MAX);
    broker->connection = amqp_new_connection();
    amqp_tcp_socket_set_sockfd(amqp_tcp_socket_new(broker->connection), ends[0]);
    broker->frame_max = BROKER_FRAME_BYTES_MAX;
    broker->heartbeat_ms = HEARTBEAT_MS;
    broker->healthy = true;
    assert_int_equal(broker_begin_reading(broker, &error), OUTCOME_OK);
    return (struct pair){broker, ends[1]};
}

static inline void close_pair(struct pair *pair)
{
    pair->broker->healthy = false; /* nobody would answer the farewell */
    broker_free(pair->broker);
    close(pair->peer);
}

static inline void append_integer(struct buffer *out, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--) {
        buffer_append_byte(out, (char)(value >> (8 * i)));
    }
}

static inline void append_short(struct buffer *out, const char *text)
{
    append_integer(out, strlen(text), 1);
    buffer_append_text(out, text);
}

static inline void append_frame(struct buffer *out, int type, int channel, struct slice payload)
{
    append_integer(out, (uint64_t)type, 1);
    append_integer(out, (uint64_t)channel, 2);
    append_integer(out, payload.length, 4);
    buffer_append_slice(out, payload);
    append_integer(out, AMQP_FRAME_END, 1);
}

static inline void append_deliver(struct buffer *out, uint64_t tag)
{
    struct buffer payload;
    buffer_init(&payload, 1024);
    append_integer(&payload, AMQP_BASIC_DELIVER_METHOD, 4);
    append_short(&payload, "consumer");
    append_integer(&payload, tag, 8);
    append_integer(&payload, 1, 1);
    append_short(&payload, "");
    append_short(&payload, "session");
    append_frame(out, AMQP_FRAME_METHOD, 1, buffer_slice(&payload));
    buffer_done(&payload);
}

static inline void append_header(struct buffer *out, uint64_t body_bytes, struct slice properties)
{
    struct buffer payload;
    buffer_init(&payload, BROKER_FRAME_BYTES_MAX);
    append_integer(&payload, AMQP_BASIC_CLASS, 2);
    append_integer(&payload, 0, 2);
    append_integer(&payload, body_bytes, 8);
    buffer_append_slice(&payload, properties);
    append_frame(out, AMQP_FRAME_HEADER, 1, buffer_slice(&payload));
    buffer_done(&payload);
}

/* Headers and a message id. */
static inline struct buffer properties_of(struct slice headers, const char *message_id)
{
    struct buffer out;
    buffer_init(&out, 2 * BROKER_FRAME_BYTES_MAX);
    append_integer(&out, AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG, 2);
    append_integer(&out, headers.length, 4);
    buffer_append_slice(&out, headers);
    append_short(&out, message_id);
    return out;
}

static inline struct buffer nothing(void)
{
    struct buffer out;
    buffer_init(&out, 16 * 1024 * 1024);
    return out;
}

static inline void assert_slice(struct slice slice, const char *text)
{
    assert_int_equal(slice.length, strlen(text));
    assert_memory_equal(slice.data, text, slice.length);
}

static inline void append_nested(struct buffer *out, size_t levels)
{
    append_short(out, "deep");
    for (size_t i = levels; i > 0; i--) {
        buffer_append_byte(out, AMQP_FIELD_KIND_ARRAY);
        append_integer(out, (i - 1) * 5, 4);
    }
}

static inline void send_slice(const struct pair *pair, struct slice bytes)
{
    assert_int_equal(send(pair->peer, bytes.data, bytes.length, 0), (ssize_t)bytes.length);
}

static inline struct broker_event read_event(const struct pair *pair)
{
    struct broker_event event;
    struct error error = {.text = ""};
    enum outcome outcome = broker_read(pair->broker, &event, &error);
    assert_string_equal(error.text, "");
    assert_int_equal(outcome, OUTCOME_OK);
    return event;
}

/* Whether a socket had more is only known at the next look. */
static inline struct broker_event next_event(const struct pair *pair)
{
    struct broker_event event = read_event(pair);
    return event.type == BROKER_EVENT_NONE ? read_event(pair) : event;
}
