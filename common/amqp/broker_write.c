/* Encodes methods and messages as AMQP frames into one buffer, and sends it without blocking.
 *
 * The library's own publish is three send() calls and may block for as long as an alarm lasts; a
 * batch encoded here is one call that never blocks. */
#include "common/amqp/broker.h"

#include "common/amqp/broker_internal.h"
#include "common/base/clock.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum { METHOD_BYTES_MAX = 1024 };

/* The frame's size is only known once its payload is encoded: the header is filled in afterwards.
 */
static char *frame_begin(struct buffer *out, size_t payload_bytes_max)
{
    if (!buffer_reserve(out, BROKER_FRAME_OVERHEAD_BYTES + payload_bytes_max)) {
        return NULL;
    }
    return out->data + out->length + 7;
}

static void frame_end(struct buffer *out, unsigned char type, uint16_t channel,
                      size_t payload_bytes)
{
    unsigned char *frame = (unsigned char *)out->data + out->length;
    frame[0] = type;
    frame[1] = (unsigned char)(channel >> 8);
    frame[2] = (unsigned char)channel;
    for (int i = 0; i < 4; i++) {
        frame[3 + i] = (unsigned char)(payload_bytes >> (8 * (3 - i)));
    }
    frame[7 + payload_bytes] = AMQP_FRAME_END;
    out->length += BROKER_FRAME_OVERHEAD_BYTES + payload_bytes;
}

/* Removes what a failed append has left, so that no half message is ever sent. */
static enum outcome append_failed(struct broker *broker, size_t length_before, const char *what,
                                  struct error *ret_error)
{
    bool no_memory = broker->out.failed;
    broker->out.length = length_before;
    broker->out.failed = false;
    if (no_memory) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory to send %s", what);
    }
    return error_set(ret_error, OUTCOME_INVALID, "%s does not fit into AMQP's limits", what);
}

static void record_first_bytes(struct broker *broker, size_t length_before)
{
    if (length_before == broker->sent) {
        broker->progress_ms = clock_monotonic_ms();
    }
}

static bool append_method(struct broker *broker, uint16_t channel, uint32_t number, void *method)
{
    char *payload = frame_begin(&broker->out, METHOD_BYTES_MAX);
    if (payload == NULL) {
        return false;
    }
    for (int i = 0; i < 4; i++) {
        payload[i] = (char)(number >> (8 * (3 - i)));
    }
    int encoded =
        amqp_encode_method(number, method, (amqp_bytes_t){METHOD_BYTES_MAX - 4, payload + 4});
    if (encoded < 0) {
        return false;
    }
    frame_end(&broker->out, AMQP_FRAME_METHOD, channel, 4 + (size_t)encoded);
    return true;
}

enum outcome broker_append_method(struct broker *broker, uint16_t channel, uint32_t number,
                                  void *method, const char *what, struct error *ret_error)
{
    size_t length_before = broker->out.length;
    if (!append_method(broker, channel, number, method)) {
        return append_failed(broker, length_before, what, ret_error);
    }
    record_first_bytes(broker, length_before);
    return OUTCOME_OK;
}

/* Without memory for eight bytes there is none now: it is due again at the next turn. */
void broker_append_heartbeat(struct broker *broker)
{
    size_t length_before = broker->out.length;
    if (frame_begin(&broker->out, 0) == NULL) {
        broker->out.failed = false;
        return;
    }
    frame_end(&broker->out, AMQP_FRAME_HEARTBEAT, 0, 0);
    record_first_bytes(broker, length_before);
}

static bool append_header(struct broker *broker, const amqp_basic_properties_t *properties,
                          struct slice raw, size_t body_bytes)
{
    size_t payload_max = broker->frame_max - BROKER_FRAME_OVERHEAD_BYTES;
    char *payload = frame_begin(&broker->out, payload_max);
    if (payload == NULL) {
        return false;
    }
    payload[0] = 0;
    payload[1] = AMQP_BASIC_CLASS;
    payload[2] = 0; /* weight: unused */
    payload[3] = 0;
    for (int i = 0; i < 8; i++) {
        payload[4 + i] = (char)((uint64_t)body_bytes >> (8 * (7 - i)));
    }
    size_t encoded = raw.length;
    if (properties != NULL) {
        int length = amqp_encode_properties(AMQP_BASIC_CLASS, (void *)(uintptr_t)properties,
                                            (amqp_bytes_t){payload_max - 12, payload + 12});
        if (length < 0) {
            return false;
        }
        encoded = (size_t)length;
    } else if (raw.length <= payload_max - 12) {
        memcpy(payload + 12, raw.data, raw.length);
    } else {
        return false;
    }
    frame_end(&broker->out, AMQP_FRAME_HEADER, BROKER_CHANNEL, 12 + encoded);
    return true;
}

static bool append_body(struct broker *broker, struct slice body)
{
    size_t payload_max = broker->frame_max - BROKER_FRAME_OVERHEAD_BYTES;
    while (body.length > 0) {
        size_t part = body.length < payload_max ? body.length : payload_max;
        char *payload = frame_begin(&broker->out, part);
        if (payload == NULL) {
            return false;
        }
        memcpy(payload, body.data, part);
        frame_end(&broker->out, AMQP_FRAME_BODY, BROKER_CHANNEL, part);
        body.data += part;
        body.length -= part;
    }
    return true;
}

enum outcome broker_append_message(struct broker *broker, const struct broker_route *route,
                                   const amqp_basic_properties_t *properties, struct slice raw,
                                   struct slice body, struct error *ret_error)
{
    size_t length_before = broker->out.length;
    amqp_basic_publish_t publish = {
        .exchange = amqp_cstring_bytes(route->exchange),
        .routing_key = amqp_cstring_bytes(route->routing_key),
        .mandatory = 1,
    };
    if (!append_method(broker, BROKER_CHANNEL, AMQP_BASIC_PUBLISH_METHOD, &publish) ||
        !append_header(broker, properties, raw, body.length) || !append_body(broker, body)) {
        return append_failed(broker, length_before, "a message", ret_error);
    }
    record_first_bytes(broker, length_before);
    return OUTCOME_OK;
}

static amqp_table_entry_t table_entry(const struct message_header *header)
{
    amqp_table_entry_t entry = {.key = broker_bytes(header->name)};
    if (header->type == MESSAGE_HEADER_INTEGER) {
        entry.value.kind = AMQP_FIELD_KIND_I64;
        entry.value.value.i64 = header->integer;
    } else {
        entry.value.kind = AMQP_FIELD_KIND_UTF8;
        entry.value.value.bytes = broker_bytes(header->text);
    }
    return entry;
}

/* A short string over 255 bytes would only be noticed half way through the encoding. */
static bool short_strings_fit(const struct message *message)
{
    if (message->message_id.length > SHORT_STRING_BYTES_MAX ||
        message->content_type.length > SHORT_STRING_BYTES_MAX ||
        message->type.length > SHORT_STRING_BYTES_MAX ||
        message->app_id.length > SHORT_STRING_BYTES_MAX) {
        return false;
    }
    for (size_t i = 0; i < message->header_count; i++) {
        if (message->headers[i].name.length > SHORT_STRING_BYTES_MAX) {
            return false;
        }
    }
    return true;
}

static void set_text(amqp_basic_properties_t *properties, amqp_flags_t flag, amqp_bytes_t *field,
                     struct slice value)
{
    if (value.length > 0) {
        *field = broker_bytes(value);
        properties->_flags |= flag;
    }
}

enum outcome broker_append_publish(struct broker *broker, const struct broker_route *route,
                                   const struct message *message, struct error *ret_error)
{
    if (message->header_count > MESSAGE_HEADERS_MAX || !short_strings_fit(message)) {
        return error_set(ret_error, OUTCOME_INVALID,
                         "a message has a property that is longer than AMQP allows");
    }
    amqp_table_entry_t entries[MESSAGE_HEADERS_MAX];
    for (size_t i = 0; i < message->header_count; i++) {
        entries[i] = table_entry(&message->headers[i]);
    }
    amqp_basic_properties_t properties = {0};
    set_text(&properties, AMQP_BASIC_MESSAGE_ID_FLAG, &properties.message_id, message->message_id);
    set_text(&properties, AMQP_BASIC_CONTENT_TYPE_FLAG, &properties.content_type,
             message->content_type);
    set_text(&properties, AMQP_BASIC_TYPE_FLAG, &properties.type, message->type);
    set_text(&properties, AMQP_BASIC_APP_ID_FLAG, &properties.app_id, message->app_id);
    if (message->timestamp_s != 0) {
        properties.timestamp = message->timestamp_s;
        properties._flags |= AMQP_BASIC_TIMESTAMP_FLAG;
    }
    properties.delivery_mode = AMQP_DELIVERY_PERSISTENT;
    properties._flags |= AMQP_BASIC_DELIVERY_MODE_FLAG;
    if (message->header_count > 0) {
        properties.headers = (amqp_table_t){(int)message->header_count, entries};
        properties._flags |= AMQP_BASIC_HEADERS_FLAG;
    }
    return broker_append_message(broker, route, &properties, (struct slice){0}, message->body,
                                 ret_error);
}

enum outcome broker_append_ack(struct broker *broker, uint64_t delivery_tag, bool multiple,
                               struct error *ret_error)
{
    amqp_basic_ack_t ack = {.delivery_tag = delivery_tag, .multiple = multiple};
    return broker_append_method(broker, BROKER_CHANNEL, AMQP_BASIC_ACK_METHOD, &ack, "an ack",
                                ret_error);
}

enum outcome broker_append_declare(struct broker *broker, const struct broker_queue *queue,
                                   bool passive, struct error *ret_error)
{
    amqp_table_entry_t entries[BROKER_QUEUE_ENTRIES_MAX];
    amqp_queue_declare_t declare = {
        .queue = amqp_cstring_bytes(queue->name), .passive = passive, .durable = !passive};
    if (!passive) {
        declare.arguments = (amqp_table_t){broker_queue_entries(queue, entries), entries};
    }
    return broker_append_method(broker, BROKER_CHANNEL, AMQP_QUEUE_DECLARE_METHOD, &declare,
                                "queue.declare", ret_error);
}

enum outcome broker_append_get(struct broker *broker, const char *queue, struct error *ret_error)
{
    amqp_basic_get_t get = {.queue = amqp_cstring_bytes(queue)};
    return broker_append_method(broker, BROKER_CHANNEL, AMQP_BASIC_GET_METHOD, &get, "basic.get",
                                ret_error);
}

size_t broker_unsent_bytes(const struct broker *broker)
{
    return broker->out.length - broker->sent;
}

static void give_back(struct broker *broker)
{
    broker->sent = 0;
    if (broker->out.capacity > BROKER_KEPT_BYTES_MAX) {
        buffer_done(&broker->out);
        buffer_init(&broker->out, BROKER_UNSENT_BYTES_MAX);
    } else {
        buffer_clear(&broker->out);
    }
}

static ssize_t write_unsent(struct broker *broker)
{
    const char *data = broker->out.data + broker->sent;
    size_t length = broker_unsent_bytes(broker);
    return broker->tls != NULL ? broker_tls_write(broker, data, length)
                               : send(amqp_get_sockfd(broker->connection), data, length,
                                      MSG_NOSIGNAL | MSG_DONTWAIT);
}

enum outcome broker_flush(struct broker *broker, struct error *ret_error)
{
    while (broker_unsent_bytes(broker) > 0) {
        ssize_t taken = write_unsent(broker);
        if (taken > 0) {
            broker->sent += (size_t)taken;
            broker->progress_ms = broker->said_ms = clock_monotonic_ms();
            continue;
        }
        if (taken < 0 && errno == EINTR) {
            continue;
        }
        if (taken < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            uint64_t stalled_ms = clock_monotonic_ms() - broker->progress_ms;
            if (broker->heartbeat_ms == 0 || stalled_ms < 2 * broker->heartbeat_ms) {
                return OUTCOME_OK;
            }
            broker->healthy = false;
            return error_set(ret_error, OUTCOME_BROKEN, "the broker has taken nothing for %llu ms",
                             (unsigned long long)stalled_ms);
        }
        int send_errno = taken < 0 ? errno : EPIPE;
        broker->healthy = false;
        return error_set_errno(ret_error, OUTCOME_BROKEN, send_errno, "send to the broker");
    }
    give_back(broker);
    return OUTCOME_OK;
}
