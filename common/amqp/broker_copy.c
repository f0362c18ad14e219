/* A copy of a delivery: its properties and headers as they came, but for what must not act on it.
 */
#include "common/amqp/broker.h"

#include "common/amqp/broker_internal.h"

#include <string.h>

static void append_integer(struct buffer *out, uint64_t value, size_t length)
{
    for (size_t i = length; i > 0; i--) {
        buffer_append_byte(out, (char)(value >> (8 * (i - 1))));
    }
}

static void append_short_string(struct buffer *out, struct slice text)
{
    append_integer(out, text.length, 1);
    buffer_append_slice(out, text);
}

static void append_text_header(struct buffer *out, struct slice name, struct slice text)
{
    append_short_string(out, name);
    buffer_append_byte(out, AMQP_FIELD_KIND_UTF8);
    append_integer(out, text.length, 4);
    buffer_append_slice(out, text);
}

static void append_own_headers(struct buffer *out, const struct broker_copy *copy)
{
    for (size_t i = 0; i < copy->header_count; i++) {
        const struct message_header *header = &copy->headers[i];
        if (header->type == MESSAGE_HEADER_TEXT) {
            append_text_header(out, header->name, header->text);
            continue;
        }
        append_short_string(out, header->name);
        buffer_append_byte(out, AMQP_FIELD_KIND_I64);
        append_integer(out, (uint64_t)header->integer, 8);
    }
}

static bool is_own(const struct broker_copy *copy, struct slice name)
{
    for (size_t i = 0; i < copy->header_count; i++) {
        if (slice_equal(copy->headers[i].name, name)) {
            return true;
        }
    }
    return false;
}

/* The broker puts these into what it delivers: in a copy they would be about another message. */
static bool is_delivery_count(struct slice name)
{
    return slice_equal(name, slice_of(BROKER_HEADER_DELIVERY_COUNT)) ||
           slice_equal(name, slice_of("x-acquired-count"));
}

static bool begins_with(struct slice text, const char *prefix)
{
    size_t length = prefix == NULL ? 0 : strlen(prefix);
    return length > 0 && text.length >= length && memcmp(text.data, prefix, length) == 0;
}

/* Keeps what must not act on the copy under another name. */
static void append_original_headers(struct buffer *out, struct slice headers,
                                    const struct broker_copy *copy)
{
    struct broker_cursor cursor = {headers.data, headers.length, false};
    struct broker_header header;
    while (broker_next_header(&cursor, &header)) {
        if (is_own(copy, header.name) || is_delivery_count(header.name) ||
            begins_with(header.name, copy->dropped_prefix)) {
            continue;
        }
        struct slice rest = header.whole;
        if (slice_equal(header.name, slice_of("CC"))) {
            append_short_string(out, slice_of("original-CC"));
        } else if (slice_equal(header.name, slice_of("BCC"))) {
            append_short_string(out, slice_of("original-BCC"));
        } else {
            append_short_string(out, header.name);
        }
        rest.data += 1 + header.name.length;
        rest.length -= 1 + header.name.length;
        buffer_append_slice(out, rest);
    }
}

static void append_headers(struct buffer *out, const struct broker_properties *original,
                           const struct broker_copy *copy, bool with_original)
{
    size_t begin = out->length;
    append_integer(out, 0, 4); /* the length, which is known at the end */
    append_own_headers(out, copy);
    if (original->flags & AMQP_BASIC_EXPIRATION_FLAG) {
        append_text_header(out, slice_of("original-expiration"), original->expiration);
    }
    if (original->flags & AMQP_BASIC_USER_ID_FLAG) {
        append_text_header(out, slice_of("original-user-id"), original->user_id);
    }
    if (with_original) {
        append_original_headers(out, original->headers, copy);
    }
    if (out->failed) {
        return;
    }
    size_t length = out->length - begin - 4;
    for (size_t i = 0; i < 4; i++) {
        out->data[begin + i] = (char)(length >> (8 * (3 - i)));
    }
}

static void append_text(struct buffer *out, unsigned flags, unsigned flag, struct slice text)
{
    if ((flags & flag) != 0) {
        append_short_string(out, text);
    }
}

static void encode(struct buffer *out, const struct broker_properties *original,
                   const struct broker_copy *copy, bool with_original)
{
    unsigned moved = AMQP_BASIC_EXPIRATION_FLAG | AMQP_BASIC_USER_ID_FLAG;
    unsigned flags =
        (original->flags & ~moved) | AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG;
    append_integer(out, flags, 2);
    append_text(out, flags, AMQP_BASIC_CONTENT_TYPE_FLAG, original->content_type);
    append_text(out, flags, AMQP_BASIC_CONTENT_ENCODING_FLAG, original->content_encoding);
    append_headers(out, original, copy, with_original);
    append_integer(out, AMQP_DELIVERY_PERSISTENT, 1);
    if (flags & AMQP_BASIC_PRIORITY_FLAG) {
        append_integer(out, original->priority, 1);
    }
    append_text(out, flags, AMQP_BASIC_CORRELATION_ID_FLAG, original->correlation_id);
    append_text(out, flags, AMQP_BASIC_REPLY_TO_FLAG, original->reply_to);
    append_text(out, flags, AMQP_BASIC_MESSAGE_ID_FLAG, original->message_id);
    if (flags & AMQP_BASIC_TIMESTAMP_FLAG) {
        append_integer(out, original->timestamp_s, 8);
    }
    append_text(out, flags, AMQP_BASIC_TYPE_FLAG, original->type);
    append_text(out, flags, AMQP_BASIC_APP_ID_FLAG, original->app_id);
    append_text(out, flags, AMQP_BASIC_CLUSTER_ID_FLAG, original->cluster_id);
}

enum outcome broker_append_copy(struct broker *broker, struct slice body,
                                struct slice raw_properties, const struct broker_copy *copy,
                                struct error *ret_error)
{
    const struct broker_route route = {"", copy->queue};
    struct broker_properties original;
    if (raw_properties.length == 0 || !broker_properties_parse(raw_properties, &original)) {
        if (copy->whole) {
            return error_set(ret_error, OUTCOME_INVALID, "a message's properties cannot be read");
        }
        original = (struct broker_properties){0};
    }
    struct buffer raw;
    buffer_init(&raw, broker->frame_max);
    /* From here on only the limit can make it fail. */
    if (!buffer_reserve(&raw, broker->frame_max)) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory to send a message");
    }
    encode(&raw, &original, copy, true);
    enum outcome outcome = OUTCOME_INVALID;
    if (!raw.failed) {
        outcome = broker_append_message(broker, &route, NULL, buffer_slice(&raw), body, ret_error);
    }
    if (outcome == OUTCOME_INVALID && copy->whole) {
        (void)error_set(ret_error, OUTCOME_INVALID, "a copy's headers do not fit");
    } else if (outcome == OUTCOME_INVALID) {
        /* The original headers fill a frame by themselves: the body and the reason matter more. */
        buffer_clear(&raw);
        encode(&raw, &original, copy, false);
        outcome = raw.failed ? error_set(ret_error, OUTCOME_INVALID, "a copy's headers do not fit")
                             : broker_append_message(broker, &route, NULL, buffer_slice(&raw), body,
                                                     ret_error);
    }
    buffer_done(&raw);
    return outcome;
}
