/* Bytes to frames, heartbeats, and waiting for one answer.
 *
 * The library reads up to the login. Its decoder of headers either recurses as deep as a sender
 * has nested them or, since 0.14, gives up the connection: whoever may publish could end it. */
#include "common/amqp/broker.h"

#include "common/amqp/broker_internal.h"
#include "common/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { FRAME_HEAD_BYTES = 7 };

enum outcome broker_broken(struct broker *broker, struct error *ret_error, const char *text)
{
    broker->healthy = false;
    return error_set(ret_error, OUTCOME_BROKEN, "%s", text);
}

/* A queue counts deliveries in a header (x-delivery-count), also where the sender's headers fill a
 * frame: what is delivered again is larger than what was agreed. What we send keeps to that. */
static size_t frame_bytes_max(const struct broker *broker)
{
    return broker->frame_max + BROKER_ADDED_HEADER_BYTES;
}

/* broker_read() tells of it: what is waited for now is another answer. */
static void record_blocked(struct broker *broker, uint32_t method)
{
    if (method == AMQP_CONNECTION_BLOCKED_METHOD || method == AMQP_CONNECTION_UNBLOCKED_METHOD) {
        broker->blocked = method == AMQP_CONNECTION_BLOCKED_METHOD;
        broker->blocked_unlogged = true;
    }
}

enum outcome broker_begin_reading(struct broker *broker, struct error *ret_error)
{
    amqp_connection_state_t connection = broker->connection;
    broker->in_capacity = frame_bytes_max(broker) + BROKER_READ_BYTES;
    broker->in = malloc(broker->in_capacity);
    if (broker->in == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory to read from the broker");
    }
    broker->heard_ms = broker->said_ms = clock_monotonic_ms();
    /* Behind the answer to the last request there is hardly ever anything, and then heartbeats. */
    struct timeval no_wait = {0};
    amqp_frame_t frame;
    while ((amqp_frames_enqueued(connection) || amqp_data_in_buffer(connection)) &&
           amqp_simple_wait_frame_noblock(connection, &frame, &no_wait) == AMQP_STATUS_OK) {
        if (frame.frame_type == AMQP_FRAME_METHOD) {
            record_blocked(broker, frame.payload.method.id);
        }
    }
    return OUTCOME_OK;
}

bool broker_is_given_up(const struct broker *broker, uint64_t now_ms)
{
    return broker->heartbeat_ms > 0 && now_ms >= broker->said_ms + 2 * broker->heartbeat_ms;
}

enum outcome broker_heartbeat_if_due(struct broker *broker, struct error *ret_error)
{
    bool is_due = broker->heartbeat_ms > 0 && broker_unsent_bytes(broker) == 0 &&
                  clock_monotonic_ms() - broker->said_ms >= broker->heartbeat_ms / 2;
    if (!is_due) {
        return OUTCOME_OK;
    }
    broker_append_heartbeat(broker);
    return broker_flush(broker, ret_error);
}

/* Nothing more has arrived: is the peer silent for too long, are we? */
static enum outcome check_heartbeats(struct broker *broker, struct error *ret_error)
{
    if (broker->heartbeat_ms == 0) {
        return OUTCOME_OK;
    }
    uint64_t silent_ms = clock_monotonic_ms() - broker->heard_ms;
    if (silent_ms >= 2 * broker->heartbeat_ms) {
        broker->healthy = false;
        return error_set(ret_error, OUTCOME_BROKEN,
                         "the broker has been silent for %llu ms, two heartbeats",
                         (unsigned long long)silent_ms);
    }
    return broker_heartbeat_if_due(broker, ret_error);
}

/* 1: bytes have come; 0: none are there; -1: *ret_outcome. */
static int read_more(struct broker *broker, enum outcome *ret_outcome, struct error *ret_error)
{
    if (broker->in_is_dry) {
        broker->in_is_dry = false; /* the next call looks again */
        if (broker->heartbeat_ms == 0 ||
            clock_monotonic_ms() - broker->heard_ms < broker->heartbeat_ms) {
            return 0;
        }
        /* That was long ago: silence is judged by a look, not by what was known then. */
    }
    memmove(broker->in, broker->in + broker->in_begin, broker->in_end - broker->in_begin);
    broker->in_end -= broker->in_begin;
    broker->in_begin = 0;
    size_t room = broker->in_capacity - broker->in_end;
    char *end = broker->in + broker->in_end;
    ssize_t count;
    do {
        count = broker->tls != NULL
                    ? broker_tls_read(broker, end, room)
                    : recv(amqp_get_sockfd(broker->connection), end, room, MSG_DONTWAIT);
    } while (count < 0 && errno == EINTR);
    if (count > 0) {
        broker->in_end += (size_t)count;
        broker->heard_ms = clock_monotonic_ms();
        /* TLS gives one record in a read, whatever else has come. */
        broker->in_is_dry = broker->tls == NULL && (size_t)count < room;
        return 1;
    }
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return 0;
    }
    broker->healthy = false;
    *ret_outcome = count == 0
                       ? broker_broken(broker, ret_error, "the broker closed the connection")
                       : error_set_errno(ret_error, OUTCOME_BROKEN, errno, "read from the broker");
    return -1;
}

/* True: the frame is whole, or *ret_outcome says why it never will be. */
static bool take_frame(struct broker *broker, struct broker_frame *ret_frame,
                       enum outcome *ret_outcome, struct error *ret_error)
{
    struct broker_cursor cursor = {broker->in + broker->in_begin, broker->in_end - broker->in_begin,
                                   false};
    if (cursor.left < FRAME_HEAD_BYTES) {
        return false;
    }
    ret_frame->type = (unsigned char)broker_take_integer(&cursor, 1);
    ret_frame->channel = (uint16_t)broker_take_integer(&cursor, 2);
    size_t payload_bytes = (size_t)broker_take_integer(&cursor, 4);
    if (payload_bytes + BROKER_FRAME_OVERHEAD_BYTES > frame_bytes_max(broker)) {
        *ret_outcome =
            broker_broken(broker, ret_error, "the broker sent a frame that is too large");
        return true;
    }
    if (payload_bytes + 1 > cursor.left) {
        return false;
    }
    ret_frame->payload = broker_take_bytes(&cursor, payload_bytes);
    if ((unsigned char)cursor.at[0] != AMQP_FRAME_END) {
        *ret_outcome =
            broker_broken(broker, ret_error, "the broker sent a frame without its end mark");
    } else if (ret_frame->channel != 0 && ret_frame->channel != BROKER_CHANNEL) {
        *ret_outcome =
            broker_broken(broker, ret_error, "the broker sent a frame of another channel");
    }
    broker->in_begin += payload_bytes + BROKER_FRAME_OVERHEAD_BYTES;
    return true;
}

enum outcome broker_next_frame(struct broker *broker, struct broker_frame *ret_frame,
                               bool *ret_has_frame, struct error *ret_error)
{
    enum outcome outcome = OUTCOME_OK;
    *ret_has_frame = false;
    for (;;) {
        if (take_frame(broker, ret_frame, &outcome, ret_error)) {
            if (outcome != OUTCOME_OK || ret_frame->type != AMQP_FRAME_HEARTBEAT) {
                *ret_has_frame = outcome == OUTCOME_OK;
                return outcome;
            }
            continue;
        }
        int more = read_more(broker, &outcome, ret_error);
        if (more <= 0) {
            return more < 0 ? outcome : check_heartbeats(broker, ret_error);
        }
    }
}

static enum outcome wait_for_bytes(struct broker *broker, const char *what, uint64_t deadline_ms,
                                   struct error *ret_error)
{
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t wait_ms = now_ms < deadline_ms ? deadline_ms - now_ms : 0;
    short events = broker_unsent_bytes(broker) > 0 ? POLLIN | POLLOUT : POLLIN;
    struct pollfd watched = {.fd = broker_descriptor(broker), .events = events};
    if (poll(&watched, 1, (int)wait_ms) < 0 && errno != EINTR) {
        return error_set_errno(ret_error, OUTCOME_TRANSIENT, errno, "%s: poll", what);
    }
    return OUTCOME_OK;
}

struct broker_refusal broker_take_refusal(struct broker_cursor *arguments)
{
    struct broker_refusal refusal = {.code = (int)broker_take_integer(arguments, 2)};
    struct slice text = broker_take_short_string(arguments);
    broker_refusal_set_text(&refusal, text);
    refusal.method = (uint32_t)broker_take_integer(arguments, 4);
    return refusal;
}

/* True: it is the answer, or the refusal (*ret_outcome). */
static bool is_answer(struct broker *broker, const struct broker_frame *frame, uint32_t wanted,
                      const char *what, struct broker_cursor *ret_arguments,
                      struct broker_refusal *ret_refusal, enum outcome *ret_outcome,
                      struct error *ret_error)
{
    if (frame->type != AMQP_FRAME_METHOD) {
        return false;
    }
    struct broker_cursor arguments = {frame->payload.data, frame->payload.length, false};
    uint32_t number = (uint32_t)broker_take_integer(&arguments, 4);
    *ret_arguments = arguments;
    if (number == wanted) {
        return true;
    }
    if (wanted == AMQP_BASIC_CONSUME_OK_METHOD && number == AMQP_BASIC_DELIVER_METHOD) {
        /* A quorum queue may deliver before the channel says that it consumes: it does. */
        broker->in_begin -= frame->payload.length + BROKER_FRAME_OVERHEAD_BYTES;
        return true;
    }
    record_blocked(broker, number);
    if (wanted == AMQP_BASIC_ACK_METHOD && number == AMQP_CONNECTION_BLOCKED_METHOD) {
        return true; /* the ack comes when the alarm is over */
    }
    if (number != AMQP_CHANNEL_CLOSE_METHOD && number != AMQP_CONNECTION_CLOSE_METHOD) {
        return false;
    }
    const struct broker_refusal refusal = broker_take_refusal(&arguments);
    *ret_outcome = broker_refusal_error(&refusal, what, ret_error);
    if (ret_refusal != NULL) {
        *ret_refusal = refusal;
    }
    return true;
}

enum outcome broker_wait_for(struct broker *broker, uint32_t method, const char *what,
                             uint64_t timeout_ms, struct broker_cursor *ret_arguments,
                             struct broker_refusal *ret_refusal, struct error *ret_error)
{
    uint64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    struct error cause = {.text = ""};
    enum outcome outcome = OUTCOME_OK;
    if (ret_refusal != NULL) {
        ret_refusal->code = 0;
    }
    bool has_answer = false;
    while (outcome == OUTCOME_OK && !has_answer) {
        struct broker_frame frame = {.type = 0};
        bool has_frame = false;
        outcome = broker_flush(broker, &cause);
        if (outcome == OUTCOME_OK) {
            outcome = broker_next_frame(broker, &frame, &has_frame, &cause);
        }
        if (outcome != OUTCOME_OK) {
            outcome = error_set(ret_error, OUTCOME_TRANSIENT, "%s: %s", what, cause.text);
        } else if (has_frame) {
            has_answer = is_answer(broker, &frame, method, what, ret_arguments, ret_refusal,
                                   &outcome, ret_error);
        } else {
            outcome = wait_for_bytes(broker, what, deadline_ms, ret_error);
        }
        /* Also while other things come without an end. */
        if (outcome == OUTCOME_OK && !has_answer && clock_monotonic_ms() >= deadline_ms) {
            outcome = error_set(ret_error, OUTCOME_TRANSIENT,
                                "%s: no reply from the broker in time", what);
        }
    }
    broker->healthy = broker->healthy && outcome == OUTCOME_OK;
    return outcome;
}
