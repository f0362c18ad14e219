/* Turns incoming frames into events: one step for each frame, a small state for messages that span
 * several. */
#include "common/amqp/broker.h"

#include "common/amqp/broker_internal.h"

#include <string.h>

static enum outcome closed_by_broker(struct broker *broker, const char *what,
                                     struct broker_cursor *arguments, struct error *ret_error)
{
    const struct broker_refusal refusal = broker_take_refusal(arguments);
    struct error right;
    broker->healthy = false;
    broker->refused = broker_refusal_is_of_request(&refusal);
    if (broker_refusal_missing_right(&refusal, &right)) {
        return error_set(ret_error, OUTCOME_BROKEN, "the broker closed the %s: %s", what,
                         right.text);
    }
    return error_set(ret_error, OUTCOME_BROKEN, "the broker closed the %s: %d %.*s", what,
                     refusal.code, (int)refusal.text_length, refusal.text);
}

/* False: of a type that is not shown. */
static bool show_value(struct message_header *header, const struct broker_header *found)
{
    struct broker_cursor cursor = {found->value.data, found->value.length, false};
    uint64_t value = 0;
    header->type = MESSAGE_HEADER_INTEGER;
    switch (found->kind) {
    case AMQP_FIELD_KIND_UTF8:
    case AMQP_FIELD_KIND_BYTES:
        header->type = MESSAGE_HEADER_TEXT;
        header->text = found->value;
        return true;
    case AMQP_FIELD_KIND_U8:
    case AMQP_FIELD_KIND_U16:
    case AMQP_FIELD_KIND_U32:
        header->integer = (int64_t)broker_take_integer(&cursor, found->value.length);
        return true;
    case AMQP_FIELD_KIND_I8:
    case AMQP_FIELD_KIND_I16:
    case AMQP_FIELD_KIND_I32:
    case AMQP_FIELD_KIND_I64:
        value = broker_take_integer(&cursor, found->value.length);
        header->integer =
            (int64_t)(value << (64 - 8 * found->value.length)) >> (64 - 8 * found->value.length);
        return true;
    default:
        return false;
    }
}

static bool show_headers(struct message *message, struct slice headers)
{
    struct broker_cursor cursor = {headers.data, headers.length, false};
    struct broker_header found;
    while (broker_next_header(&cursor, &found)) {
        struct message_header header = {.name = found.name};
        /* The count stands behind a sender's headers in the broker's order, and is what saves a
         * message from being dropped. */
        bool is_full = message->header_count == MESSAGE_HEADERS_MAX;
        if ((is_full && !slice_equal(found.name, slice_of(BROKER_HEADER_DELIVERY_COUNT))) ||
            !show_value(&header, &found)) {
            continue;
        }
        message->headers[is_full ? message->header_count - 1 : message->header_count++] = header;
    }
    return !cursor.failed;
}

static bool show_properties(struct broker_delivery *delivery,
                            const struct broker_properties *properties)
{
    struct message *message = &delivery->message;
    message->header_count = 0;
    message->message_id = properties->message_id;
    message->content_type = properties->content_type;
    message->content_encoding = properties->content_encoding;
    message->type = properties->type;
    message->app_id = properties->app_id;
    message->timestamp_s = properties->timestamp_s;
    message->persistent = properties->delivery_mode == AMQP_DELIVERY_PERSISTENT;
    return show_headers(message, properties->headers);
}

static void message_is_complete(struct broker *broker, struct broker_event *ret_event)
{
    const struct slice return_id = {broker->return_id, broker->return_id_length};
    bool is_return = broker->read_state == READ_RETURN_BODY;
    if (is_return && broker->checking && slice_equal(return_id, slice_of(BROKER_CHECK_KEY))) {
        ret_event->type = BROKER_EVENT_NONE; /* as it was meant */
    } else if (is_return) {
        ret_event->type = BROKER_EVENT_RETURN;
        ret_event->text = return_id;
    } else {
        ret_event->type = BROKER_EVENT_DELIVERY;
        broker->delivery.message.body =
            broker->body.length > 0 ? buffer_slice(&broker->body) : broker->body_slice;
        ret_event->delivery = broker->delivery;
    }
    broker->read_state = READ_METHOD;
}

static enum outcome read_header(struct broker *broker, const struct broker_frame *frame,
                                struct broker_event *ret_event, struct error *ret_error)
{
    if (frame->type != AMQP_FRAME_HEADER) {
        return broker_broken(broker, ret_error, "the broker sent a message without its header");
    }
    /* What is shown of it must outlast the frames of the body. */
    buffer_clear(&broker->header);
    buffer_append_slice(&broker->header, frame->payload);
    if (broker->header.failed) {
        return broker_broken(broker, ret_error, "no memory for the header of a message");
    }
    struct broker_cursor cursor = {broker->header.data, broker->header.length, false};
    (void)broker_take_integer(&cursor, 4); /* class and weight */
    broker->body_left = broker_take_integer(&cursor, 8);
    struct slice raw = {cursor.at, cursor.left};
    broker->body_slice = (struct slice){"", 0};
    buffer_clear(&broker->body);
    if (broker->body_left > BROKER_BODY_BYTES_MAX) {
        return broker_broken(broker, ret_error,
                             "the broker announced a message of impossible size");
    }
    struct broker_properties properties;
    bool is_good = !cursor.failed && broker_properties_parse(raw, &properties);
    if (is_good && broker->read_state == READ_RETURN_HEADER) {
        struct slice id = properties.message_id;
        broker->return_id_length = id.length; /* a short string: it fits */
        memcpy(broker->return_id, id.data, id.length);
        broker->read_state = READ_RETURN_BODY;
    } else if (is_good) {
        is_good = show_properties(&broker->delivery, &properties);
        broker->delivery.raw_properties = raw;
        broker->read_state = READ_DELIVERY_BODY;
    }
    if (!is_good) {
        return broker_broken(broker, ret_error, "the broker sent a malformed header of a message");
    }
    if (broker->body_left == 0) {
        message_is_complete(broker, ret_event);
    }
    return OUTCOME_OK;
}

static enum outcome read_body(struct broker *broker, const struct broker_frame *frame,
                              struct broker_event *ret_event, struct error *ret_error)
{
    struct slice part = frame->payload;
    if (frame->type != AMQP_FRAME_BODY || part.length > broker->body_left) {
        return broker_broken(broker, ret_error, "the broker sent a message with a wrong body");
    }
    broker->body_left -= part.length;
    if (broker->read_state == READ_DELIVERY_BODY) {
        if (broker->body_left == 0 && broker->body.length == 0) {
            broker->body_slice = part; /* the usual case: one frame, no copy */
        } else {
            buffer_append_slice(&broker->body, part);
        }
        if (broker->body.failed) {
            return broker_broken(broker, ret_error, "no memory for the body of a message");
        }
    }
    if (broker->body_left == 0) {
        message_is_complete(broker, ret_event);
    }
    return OUTCOME_OK;
}

/* Its user counts from 1, whatever was published before. */
static void read_confirm(struct broker *broker, enum broker_event_type type,
                         struct broker_cursor *arguments, struct broker_event *ret_event)
{
    uint64_t tag = broker_take_integer(arguments, 8);
    ret_event->multiple = (broker_take_integer(arguments, 1) & 1) != 0;
    broker->checking = false;
    if (tag == 0 || tag > broker->own_tags) {
        ret_event->type = type;
        ret_event->tag = tag == 0 ? 0 : tag - broker->own_tags;
    }
}

/* What broker_consume() has made the tag from: its number, or nothing. */
static uint8_t read_consumer(struct broker_cursor *arguments)
{
    struct slice tag = broker_take_short_string(arguments);
    unsigned number = 0;
    for (size_t i = 0; i < tag.length; i++) {
        if (tag.data[i] < '0' || tag.data[i] > '9' || number > BROKER_CONSUMERS_MAX / 10) {
            return 0;
        }
        number = 10 * number + (unsigned)(tag.data[i] - '0');
    }
    return number <= BROKER_CONSUMERS_MAX ? (uint8_t)number : 0;
}

static enum outcome read_method(struct broker *broker, const struct broker_frame *frame,
                                struct broker_event *ret_event, struct error *ret_error)
{
    struct broker_cursor arguments = {frame->payload.data, frame->payload.length, false};
    uint32_t number = (uint32_t)broker_take_integer(&arguments, 4);
    switch (number) {
    case AMQP_BASIC_ACK_METHOD:
    case AMQP_BASIC_NACK_METHOD:
        read_confirm(broker, number == AMQP_BASIC_ACK_METHOD ? BROKER_EVENT_ACK : BROKER_EVENT_NACK,
                     &arguments, ret_event);
        break;
    case AMQP_BASIC_RETURN_METHOD:
        broker->read_state = READ_RETURN_HEADER;
        break;
    case AMQP_BASIC_DELIVER_METHOD:
        broker->delivery.consumer = read_consumer(&arguments);
        broker->delivery.tag = broker_take_integer(&arguments, 8);
        broker->delivery.redelivered = (broker_take_integer(&arguments, 1) & 1) != 0;
        broker->read_state = READ_DELIVERY_HEADER;
        break;
    case AMQP_BASIC_GET_OK_METHOD:
        broker->delivery.consumer = 0;
        broker->delivery.tag = broker_take_integer(&arguments, 8);
        broker->delivery.redelivered = (broker_take_integer(&arguments, 1) & 1) != 0;
        broker->read_state = READ_DELIVERY_HEADER;
        break;
    case AMQP_BASIC_GET_EMPTY_METHOD:
        ret_event->type = BROKER_EVENT_EMPTY;
        break;
    case AMQP_BASIC_CANCEL_METHOD:
        ret_event->type = BROKER_EVENT_CANCELLED;
        ret_event->consumer = read_consumer(&arguments);
        break;
    case AMQP_QUEUE_DECLARE_OK_METHOD:
        ret_event->type = BROKER_EVENT_DECLARED;
        ret_event->text = broker_take_short_string(&arguments);
        (void)broker_take_integer(&arguments, 4); /* its ready messages */
        ret_event->consumers = broker_take_integer(&arguments, 4);
        break;
    case AMQP_CONNECTION_BLOCKED_METHOD:
        broker->blocked = true;
        ret_event->type = BROKER_EVENT_BLOCKED;
        ret_event->text = broker_take_short_string(&arguments);
        break;
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
        broker->blocked = false;
        ret_event->type = BROKER_EVENT_UNBLOCKED;
        break;
    case AMQP_CHANNEL_CLOSE_METHOD:
        return closed_by_broker(broker, "channel", &arguments, ret_error);
    case AMQP_CONNECTION_CLOSE_METHOD:
        return closed_by_broker(broker, "connection", &arguments, ret_error);
    default: /* nothing that we asked for, and nothing that changes what we know */
        break;
    }
    return arguments.failed
               ? broker_broken(broker, ret_error, "the broker sent a method that is cut off")
               : OUTCOME_OK;
}

static enum outcome read_frame(struct broker *broker, const struct broker_frame *frame,
                               struct broker_event *ret_event, struct error *ret_error)
{
    if (frame->channel == 0 && frame->type == AMQP_FRAME_METHOD) {
        return read_method(broker, frame, ret_event, ret_error);
    }
    switch (broker->read_state) {
    case READ_METHOD:
        if (frame->type != AMQP_FRAME_METHOD) {
            return broker_broken(broker, ret_error,
                                 "the broker sent a frame that belongs to nothing");
        }
        return read_method(broker, frame, ret_event, ret_error);
    case READ_RETURN_HEADER:
    case READ_DELIVERY_HEADER:
        return read_header(broker, frame, ret_event, ret_error);
    case READ_RETURN_BODY:
    case READ_DELIVERY_BODY:
        return read_body(broker, frame, ret_event, ret_error);
    }
    return broker_broken(broker, ret_error, "the reader lost its place");
}

bool broker_has_refused(const struct broker *broker)
{
    return broker->refused;
}

enum outcome broker_read(struct broker *broker, struct broker_event *ret_event,
                         struct error *ret_error)
{
    ret_event->type = BROKER_EVENT_NONE;
    if (broker_unsent_bytes(broker) > 0) {
        enum outcome flushed = broker_flush(broker, ret_error);
        if (flushed != OUTCOME_OK || broker_unsent_bytes(broker) > 0) {
            return flushed; /* what comes in would add to what cannot be sent */
        }
    }
    if (broker->blocked_unlogged) {
        broker->blocked_unlogged = false;
        ret_event->type = broker->blocked ? BROKER_EVENT_BLOCKED : BROKER_EVENT_UNBLOCKED;
        ret_event->text = slice_of("");
        return OUTCOME_OK;
    }
    if (broker->read_state == READ_METHOD && broker->body.capacity > BROKER_KEPT_BYTES_MAX) {
        buffer_done(&broker->body);
        buffer_init(&broker->body, BROKER_BODY_BYTES_MAX);
    }
    while (ret_event->type == BROKER_EVENT_NONE) {
        struct broker_frame frame;
        bool has_frame = false;
        enum outcome outcome = broker_next_frame(broker, &frame, &has_frame, ret_error);
        if (outcome == OUTCOME_OK && has_frame) {
            outcome = read_frame(broker, &frame, ret_event, ret_error);
        }
        if (outcome != OUTCOME_OK || !has_frame) {
            return outcome;
        }
    }
    return OUTCOME_OK;
}
