/* Encodes methods and messages as AMQP frames into one buffer, and sends it without blocking.
 *
 * The library's own publish is three send() calls and may block for as long as an alarm lasts; a
 * batch encoded here is one call that never blocks. */
#include "common/broker.h"

#include "common/broker_internal.h"
#include "common/clock.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum { METHOD_BYTES_MAX = 1024, TABLE_ENTRIES_MAX = 512 };

/* The frame's size is only known once its payload is encoded: the header is filled in afterwards.
 */
static char *frame_begin(struct buffer *out, size_t payload_bytes_max)
{
    if (!buffer_reserve(out, BROKER_FRAME_OVERHEAD_BYTES + payload_bytes_max)) {
        return NULL;
    }
    return out->data + out->length + 7;
}

static void frame_end(struct buffer *out, unsigned char type, size_t payload_bytes)
{
    unsigned char *frame = (unsigned char *)out->data + out->length;
    frame[0] = type;
    frame[1] = 0;
    frame[2] = BROKER_CHANNEL;
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

static void note_first_bytes(struct broker *broker, size_t length_before)
{
    if (length_before == broker->sent) {
        broker->progress_ms = clock_monotonic_ms();
    }
}

static bool append_method(struct broker *broker, amqp_method_number_t number, void *method)
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
    frame_end(&broker->out, AMQP_FRAME_METHOD, 4 + (size_t)encoded);
    return true;
}

static bool append_header(struct broker *broker, const amqp_basic_properties_t *properties,
                          size_t body_bytes)
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
    int encoded = amqp_encode_properties(AMQP_BASIC_CLASS, (void *)(uintptr_t)properties,
                                         (amqp_bytes_t){payload_max - 12, payload + 12});
    if (encoded < 0) {
        return false;
    }
    frame_end(&broker->out, AMQP_FRAME_HEADER, 12 + (size_t)encoded);
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
        frame_end(&broker->out, AMQP_FRAME_BODY, part);
        body.data += part;
        body.length -= part;
    }
    return true;
}

static enum outcome append_message(struct broker *broker, const char *queue,
                                   const amqp_basic_properties_t *properties, struct slice body,
                                   struct error *ret_error)
{
    size_t length_before = broker->out.length;
    amqp_basic_publish_t publish = {
        .exchange = amqp_empty_bytes,
        .routing_key = amqp_cstring_bytes(queue),
        .mandatory = 1,
    };
    if (!append_method(broker, AMQP_BASIC_PUBLISH_METHOD, &publish) ||
        !append_header(broker, properties, body.length) || !append_body(broker, body)) {
        return append_failed(broker, length_before, "a message", ret_error);
    }
    note_first_bytes(broker, length_before);
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

enum outcome broker_append_publish(struct broker *broker, const char *queue,
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
    return append_message(broker, queue, &properties, message->body, ret_error);
}

static bool has_key(const amqp_table_entry_t *entries, size_t count, struct slice key)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_equal(broker_slice(entries[i].key), key)) {
            return true;
        }
    }
    return false;
}

/* The broker puts these into what it delivers: in a copy they would be about another message. */
static bool is_delivery_count(struct slice key)
{
    return slice_equal(key, slice_of(BROKER_HEADER_DELIVERY_COUNT)) ||
           slice_equal(key, slice_of("x-acquired-count"));
}

static bool begins_with(struct slice text, const char *prefix)
{
    size_t length = prefix == NULL ? 0 : strlen(prefix);
    return length > 0 && text.length >= length && memcmp(text.data, prefix, length) == 0;
}

/* Keeps what must not act on the copy under another name; drops what does not fit. */
static size_t copy_header_table(const amqp_basic_properties_t *original,
                                const struct broker_copy *copy,
                                amqp_table_entry_t entries[TABLE_ENTRIES_MAX], size_t own_count,
                                size_t count)
{
    if ((original->_flags & AMQP_BASIC_HEADERS_FLAG) == 0) {
        return count;
    }
    for (int i = 0; i < original->headers.num_entries && count < TABLE_ENTRIES_MAX; i++) {
        amqp_table_entry_t entry = original->headers.entries[i];
        struct slice key = broker_slice(entry.key);
        if (has_key(entries, own_count, key) || is_delivery_count(key) ||
            begins_with(key, copy->dropped_prefix)) {
            continue;
        }
        if (slice_equal(key, slice_of("CC"))) {
            entry.key = amqp_cstring_bytes("original-CC");
        } else if (slice_equal(key, slice_of("BCC"))) {
            entry.key = amqp_cstring_bytes("original-BCC");
        }
        entries[count++] = entry;
    }
    return count;
}

static size_t move_property(amqp_basic_properties_t *properties, amqp_flags_t flag,
                            amqp_bytes_t value, const char *name,
                            amqp_table_entry_t entries[TABLE_ENTRIES_MAX], size_t count)
{
    if ((properties->_flags & flag) != 0 && count < TABLE_ENTRIES_MAX) {
        entries[count].key = amqp_cstring_bytes(name);
        entries[count].value.kind = AMQP_FIELD_KIND_UTF8;
        entries[count].value.value.bytes = value;
        count++;
    }
    properties->_flags &= ~flag;
    return count;
}

enum outcome broker_append_copy(struct broker *broker, struct slice body,
                                struct slice raw_properties, const struct broker_copy *copy,
                                struct error *ret_error)
{
    amqp_pool_t pool;
    init_amqp_pool(&pool, 4096);
    void *decoded = NULL;
    amqp_basic_properties_t original = {0};
    if (raw_properties.length > 0 &&
        amqp_decode_properties(AMQP_BASIC_CLASS, &pool, broker_bytes(raw_properties), &decoded) >=
            0) {
        original = *(amqp_basic_properties_t *)decoded;
    }
    amqp_table_entry_t entries[TABLE_ENTRIES_MAX];
    size_t own_count = 0;
    for (size_t i = 0; i < copy->header_count && own_count < MESSAGE_HEADERS_MAX; i++) {
        entries[own_count++] = table_entry(&copy->headers[i]);
    }
    amqp_basic_properties_t properties = original;
    size_t count = move_property(&properties, AMQP_BASIC_EXPIRATION_FLAG, original.expiration,
                                 "original-expiration", entries, own_count);
    count = move_property(&properties, AMQP_BASIC_USER_ID_FLAG, original.user_id,
                          "original-user-id", entries, count);
    count = copy_header_table(&original, copy, entries, own_count, count);
    properties.headers = (amqp_table_t){(int)count, entries};
    properties.delivery_mode = AMQP_DELIVERY_PERSISTENT;
    properties._flags |= AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG;
    enum outcome outcome = append_message(broker, copy->queue, &properties, body, ret_error);
    if (outcome == OUTCOME_INVALID) {
        /* The original headers fill a frame by themselves: the body and the reason matter more. */
        properties.headers.num_entries = (int)own_count;
        outcome = append_message(broker, copy->queue, &properties, body, ret_error);
    }
    empty_amqp_pool(&pool);
    return outcome;
}

enum outcome broker_append_ack(struct broker *broker, uint64_t delivery_tag, bool multiple,
                               struct error *ret_error)
{
    size_t length_before = broker->out.length;
    amqp_basic_ack_t ack = {.delivery_tag = delivery_tag, .multiple = multiple};
    if (!append_method(broker, AMQP_BASIC_ACK_METHOD, &ack)) {
        return append_failed(broker, length_before, "an ack", ret_error);
    }
    note_first_bytes(broker, length_before);
    return OUTCOME_OK;
}

enum outcome broker_append_declare(struct broker *broker, const char *queue,
                                   enum broker_queue_type type, struct error *ret_error)
{
    size_t length_before = broker->out.length;
    amqp_table_entry_t quorum = {
        .key = amqp_cstring_bytes("x-queue-type"),
        .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes("quorum")}};
    amqp_queue_declare_t declare = {.queue = amqp_cstring_bytes(queue), .durable = 1};
    if (type == BROKER_QUEUE_QUORUM) {
        declare.arguments = (amqp_table_t){1, &quorum};
    }
    if (!append_method(broker, AMQP_QUEUE_DECLARE_METHOD, &declare)) {
        return append_failed(broker, length_before, "queue.declare", ret_error);
    }
    note_first_bytes(broker, length_before);
    return OUTCOME_OK;
}

enum outcome broker_append_get(struct broker *broker, const char *queue, struct error *ret_error)
{
    size_t length_before = broker->out.length;
    amqp_basic_get_t get = {.queue = amqp_cstring_bytes(queue)};
    if (!append_method(broker, AMQP_BASIC_GET_METHOD, &get)) {
        return append_failed(broker, length_before, "basic.get", ret_error);
    }
    note_first_bytes(broker, length_before);
    return OUTCOME_OK;
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
            broker->progress_ms = clock_monotonic_ms();
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
