/* Turns incoming frames into events: one step for each frame, a small state for messages that span
 * several. */
#include "common/broker.h"

#include "common/broker_internal.h"

#include <string.h>
#include <sys/time.h>

static enum outcome broken(struct broker *broker, struct error *ret_error, const char *text)
{
    broker->healthy = false;
    return error_set(ret_error, OUTCOME_BROKEN, "%s", text);
}

static enum outcome closed_by_broker(struct broker *broker, const char *what, int code,
                                     amqp_bytes_t text, struct error *ret_error)
{
    broker->healthy = false;
    return error_set(ret_error, OUTCOME_BROKEN, "the broker closed the %s: %d %.*s", what, code,
                     (int)text.len, text.len == 0 ? "" : (const char *)text.bytes);
}

static void show_header(struct message *message, const amqp_table_entry_t *entry)
{
    struct message_header header = {.name = broker_slice(entry->key)};
    if (message->header_count == MESSAGE_HEADERS_MAX) {
        /* Behind a sender's headers in the broker's order, and what saves a message from being
         * dropped. */
        if (!slice_equal(header.name, slice_of(BROKER_HEADER_DELIVERY_COUNT))) {
            return;
        }
        message->header_count--;
    }
    const amqp_field_value_t *value = &entry->value;
    switch (value->kind) {
    case AMQP_FIELD_KIND_UTF8:
    case AMQP_FIELD_KIND_BYTES:
        header.type = MESSAGE_HEADER_TEXT;
        header.text = broker_slice(value->value.bytes);
        break;
    case AMQP_FIELD_KIND_I8:
        header.type = MESSAGE_HEADER_INTEGER;
        header.integer = value->value.i8;
        break;
    case AMQP_FIELD_KIND_U8:
        header.type = MESSAGE_HEADER_INTEGER;
        header.integer = value->value.u8;
        break;
    case AMQP_FIELD_KIND_I16:
        header.type = MESSAGE_HEADER_INTEGER;
        header.integer = value->value.i16;
        break;
    case AMQP_FIELD_KIND_U16:
        header.type = MESSAGE_HEADER_INTEGER;
        header.integer = value->value.u16;
        break;
    case AMQP_FIELD_KIND_I32:
        header.type = MESSAGE_HEADER_INTEGER;
        header.integer = value->value.i32;
        break;
    case AMQP_FIELD_KIND_U32:
        header.type = MESSAGE_HEADER_INTEGER;
        header.integer = value->value.u32;
        break;
    case AMQP_FIELD_KIND_I64:
        header.type = MESSAGE_HEADER_INTEGER;
        header.integer = value->value.i64;
        break;
    default: /* the library's kinds are plain bytes from the wire: any may come */
        return;
    }
    message->headers[message->header_count++] = header;
}

static void show_properties(struct broker_delivery *delivery, const amqp_frame_t *frame)
{
    const amqp_basic_properties_t *properties = frame->payload.properties.decoded;
    struct message *message = &delivery->message;
    message->header_count = 0;
    message->message_id = message->content_type = message->type = message->app_id =
        (struct slice){0};
    message->timestamp_s = 0;
    message->persistent = false;
    if (properties->_flags & AMQP_BASIC_MESSAGE_ID_FLAG) {
        message->message_id = broker_slice(properties->message_id);
    }
    if (properties->_flags & AMQP_BASIC_CONTENT_TYPE_FLAG) {
        message->content_type = broker_slice(properties->content_type);
    }
    if (properties->_flags & AMQP_BASIC_TYPE_FLAG) {
        message->type = broker_slice(properties->type);
    }
    if (properties->_flags & AMQP_BASIC_APP_ID_FLAG) {
        message->app_id = broker_slice(properties->app_id);
    }
    if (properties->_flags & AMQP_BASIC_TIMESTAMP_FLAG) {
        message->timestamp_s = properties->timestamp;
    }
    if (properties->_flags & AMQP_BASIC_DELIVERY_MODE_FLAG) {
        message->persistent = properties->delivery_mode == AMQP_DELIVERY_PERSISTENT;
    }
    if (properties->_flags & AMQP_BASIC_HEADERS_FLAG) {
        for (int i = 0; i < properties->headers.num_entries; i++) {
            show_header(message, &properties->headers.entries[i]);
        }
    }
    delivery->raw_properties = broker_slice(frame->payload.properties.raw);
}

static void message_is_complete(struct broker *broker, struct broker_event *ret_event)
{
    if (broker->read_state == READ_RETURN_BODY) {
        ret_event->type = BROKER_EVENT_RETURN;
        ret_event->text = (struct slice){broker->return_id, broker->return_id_length};
    } else {
        ret_event->type = BROKER_EVENT_DELIVERY;
        broker->delivery.message.body =
            broker->body.length > 0 ? buffer_slice(&broker->body) : broker->body_slice;
        ret_event->delivery = broker->delivery;
    }
    broker->read_state = READ_METHOD;
}

static enum outcome read_header(struct broker *broker, const amqp_frame_t *frame,
                                struct broker_event *ret_event, struct error *ret_error)
{
    if (frame->frame_type != AMQP_FRAME_HEADER) {
        return broken(broker, ret_error, "the broker sent a message without its header");
    }
    const amqp_basic_properties_t *properties = frame->payload.properties.decoded;
    broker->body_left = frame->payload.properties.body_size;
    broker->body_slice = (struct slice){"", 0};
    buffer_clear(&broker->body);
    if (broker->body_left > BROKER_BODY_BYTES_MAX) {
        return broken(broker, ret_error, "the broker announced a message of impossible size");
    }
    if (broker->read_state == READ_RETURN_HEADER) {
        broker->return_id_length = 0;
        if (properties->_flags & AMQP_BASIC_MESSAGE_ID_FLAG &&
            properties->message_id.len <= sizeof(broker->return_id)) {
            broker->return_id_length = properties->message_id.len;
            memcpy(broker->return_id, properties->message_id.bytes, properties->message_id.len);
        }
        broker->read_state = READ_RETURN_BODY;
    } else {
        show_properties(&broker->delivery, frame);
        broker->read_state = READ_DELIVERY_BODY;
    }
    if (broker->body_left == 0) {
        message_is_complete(broker, ret_event);
    }
    return OUTCOME_OK;
}

static enum outcome read_body(struct broker *broker, const amqp_frame_t *frame,
                              struct broker_event *ret_event, struct error *ret_error)
{
    struct slice part = broker_slice(frame->payload.body_fragment);
    if (frame->frame_type != AMQP_FRAME_BODY || part.length > broker->body_left) {
        return broken(broker, ret_error, "the broker sent a message with a wrong body");
    }
    broker->body_left -= part.length;
    if (broker->read_state == READ_DELIVERY_BODY) {
        if (broker->body_left == 0 && broker->body.length == 0) {
            broker->body_slice = part; /* the usual case: one frame, no copy */
        } else {
            buffer_append_slice(&broker->body, part);
        }
        if (broker->body.failed) {
            return broken(broker, ret_error, "no memory for the body of a message");
        }
    }
    if (broker->body_left == 0) {
        message_is_complete(broker, ret_event);
    }
    return OUTCOME_OK;
}

static enum outcome read_method(struct broker *broker, const amqp_method_t *method,
                                struct broker_event *ret_event, struct error *ret_error)
{
    switch (method->id) {
    case AMQP_BASIC_ACK_METHOD: {
        const amqp_basic_ack_t *ack = method->decoded;
        ret_event->type = BROKER_EVENT_ACK;
        ret_event->tag = ack->delivery_tag;
        ret_event->multiple = ack->multiple != 0;
        return OUTCOME_OK;
    }
    case AMQP_BASIC_NACK_METHOD: {
        const amqp_basic_nack_t *nack = method->decoded;
        ret_event->type = BROKER_EVENT_NACK;
        ret_event->tag = nack->delivery_tag;
        ret_event->multiple = nack->multiple != 0;
        return OUTCOME_OK;
    }
    case AMQP_BASIC_RETURN_METHOD:
        broker->read_state = READ_RETURN_HEADER;
        return OUTCOME_OK;
    case AMQP_BASIC_DELIVER_METHOD: {
        const amqp_basic_deliver_t *deliver = method->decoded;
        broker->delivery.tag = deliver->delivery_tag;
        broker->delivery.redelivered = deliver->redelivered != 0;
        broker->read_state = READ_DELIVERY_HEADER;
        return OUTCOME_OK;
    }
    case AMQP_BASIC_GET_OK_METHOD: {
        const amqp_basic_get_ok_t *got = method->decoded;
        broker->delivery.tag = got->delivery_tag;
        broker->delivery.redelivered = got->redelivered != 0;
        broker->read_state = READ_DELIVERY_HEADER;
        return OUTCOME_OK;
    }
    case AMQP_BASIC_GET_EMPTY_METHOD:
        ret_event->type = BROKER_EVENT_EMPTY;
        return OUTCOME_OK;
    case AMQP_BASIC_CANCEL_METHOD:
        ret_event->type = BROKER_EVENT_CANCELLED;
        return OUTCOME_OK;
    case AMQP_QUEUE_DECLARE_OK_METHOD:
        ret_event->type = BROKER_EVENT_DECLARED;
        return OUTCOME_OK;
    case AMQP_CONNECTION_BLOCKED_METHOD: {
        const amqp_connection_blocked_t *blocked = method->decoded;
        broker->blocked = true;
        ret_event->type = BROKER_EVENT_BLOCKED;
        ret_event->text = broker_slice(blocked->reason);
        return OUTCOME_OK;
    }
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
        broker->blocked = false;
        ret_event->type = BROKER_EVENT_UNBLOCKED;
        return OUTCOME_OK;
    case AMQP_CHANNEL_CLOSE_METHOD: {
        const amqp_channel_close_t *close = method->decoded;
        return closed_by_broker(broker, "channel", close->reply_code, close->reply_text, ret_error);
    }
    case AMQP_CONNECTION_CLOSE_METHOD: {
        const amqp_connection_close_t *close = method->decoded;
        return closed_by_broker(broker, "connection", close->reply_code, close->reply_text,
                                ret_error);
    }
    default: /* nothing that we asked for, and nothing that changes what we know */
        return OUTCOME_OK;
    }
}

static enum outcome read_frame(struct broker *broker, const amqp_frame_t *frame,
                               struct broker_event *ret_event, struct error *ret_error)
{
    if (frame->channel == 0 && frame->frame_type == AMQP_FRAME_METHOD) {
        return read_method(broker, &frame->payload.method, ret_event, ret_error);
    }
    switch (broker->read_state) {
    case READ_METHOD:
        if (frame->frame_type != AMQP_FRAME_METHOD) {
            return broken(broker, ret_error, "the broker sent a frame that belongs to nothing");
        }
        return read_method(broker, &frame->payload.method, ret_event, ret_error);
    case READ_RETURN_HEADER:
    case READ_DELIVERY_HEADER:
        return read_header(broker, frame, ret_event, ret_error);
    case READ_RETURN_BODY:
    case READ_DELIVERY_BODY:
        return read_body(broker, frame, ret_event, ret_error);
    }
    return broken(broker, ret_error, "the reader lost its place");
}

enum outcome broker_read(struct broker *broker, struct broker_event *ret_event,
                         struct error *ret_error)
{
    ret_event->type = BROKER_EVENT_NONE;
    if (broker_unsent_bytes(broker) > 0) {
        /* The library may send a heartbeat while it reads: never into the middle of our frame. */
        return OUTCOME_OK;
    }
    if (broker->read_state == READ_METHOD) {
        if (broker->body.capacity > BROKER_KEPT_BYTES_MAX) {
            buffer_done(&broker->body);
            buffer_init(&broker->body, BROKER_BODY_BYTES_MAX);
        }
        amqp_maybe_release_buffers(broker->connection);
    }
    struct timeval no_wait = {0};
    while (ret_event->type == BROKER_EVENT_NONE) {
        amqp_frame_t frame;
        int status = amqp_simple_wait_frame_noblock(broker->connection, &frame, &no_wait);
        if (status == AMQP_STATUS_TIMEOUT) {
            return OUTCOME_OK;
        }
        if (status != AMQP_STATUS_OK) {
            broker->healthy = false;
            return error_set(ret_error, OUTCOME_BROKEN, "read from the broker: %s",
                             amqp_error_string2(status));
        }
        enum outcome outcome = read_frame(broker, &frame, ret_event, ret_error);
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
    }
    return OUTCOME_OK;
}
