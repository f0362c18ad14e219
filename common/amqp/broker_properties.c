/* What a content header says. Tables are walked at their top level only: what is nested in them has
 * its length in front, and is passed over. */
#include "common/amqp/broker_internal.h"

static struct slice take_text(struct broker_cursor *cursor, unsigned flags, unsigned flag)
{
    return (flags & flag) != 0 ? broker_take_short_string(cursor) : (struct slice){"", 0};
}

static uint64_t take_integer(struct broker_cursor *cursor, unsigned flags, unsigned flag,
                             size_t bytes)
{
    return (flags & flag) != 0 ? broker_take_integer(cursor, bytes) : 0;
}

bool broker_properties_parse(struct slice raw, struct broker_properties *ret_properties)
{
    struct broker_cursor cursor = {raw.data, raw.length, false};
    struct broker_properties *found = ret_properties;
    unsigned flags = (unsigned)broker_take_integer(&cursor, 2);
    found->flags = (uint16_t)flags;
    found->content_type = take_text(&cursor, flags, AMQP_BASIC_CONTENT_TYPE_FLAG);
    found->content_encoding = take_text(&cursor, flags, AMQP_BASIC_CONTENT_ENCODING_FLAG);
    size_t headers_bytes = take_integer(&cursor, flags, AMQP_BASIC_HEADERS_FLAG, 4);
    found->headers = broker_take_bytes(&cursor, headers_bytes);
    found->delivery_mode = (uint8_t)take_integer(&cursor, flags, AMQP_BASIC_DELIVERY_MODE_FLAG, 1);
    found->priority = (uint8_t)take_integer(&cursor, flags, AMQP_BASIC_PRIORITY_FLAG, 1);
    found->correlation_id = take_text(&cursor, flags, AMQP_BASIC_CORRELATION_ID_FLAG);
    found->reply_to = take_text(&cursor, flags, AMQP_BASIC_REPLY_TO_FLAG);
    found->expiration = take_text(&cursor, flags, AMQP_BASIC_EXPIRATION_FLAG);
    found->message_id = take_text(&cursor, flags, AMQP_BASIC_MESSAGE_ID_FLAG);
    found->timestamp_s = take_integer(&cursor, flags, AMQP_BASIC_TIMESTAMP_FLAG, 8);
    found->type = take_text(&cursor, flags, AMQP_BASIC_TYPE_FLAG);
    found->user_id = take_text(&cursor, flags, AMQP_BASIC_USER_ID_FLAG);
    found->app_id = take_text(&cursor, flags, AMQP_BASIC_APP_ID_FLAG);
    found->cluster_id = take_text(&cursor, flags, AMQP_BASIC_CLUSTER_ID_FLAG);
    return !cursor.failed && (flags & 1) == 0; /* there is no second word of flags */
}

static bool take_value(struct broker_cursor *cursor, char kind, struct slice *ret_value)
{
    size_t length = 0;
    switch (kind) {
    case AMQP_FIELD_KIND_VOID:
        break;
    case AMQP_FIELD_KIND_BOOLEAN:
    case AMQP_FIELD_KIND_I8:
    case AMQP_FIELD_KIND_U8:
        length = 1;
        break;
    case AMQP_FIELD_KIND_I16:
    case AMQP_FIELD_KIND_U16:
        length = 2;
        break;
    case AMQP_FIELD_KIND_I32:
    case AMQP_FIELD_KIND_U32:
    case AMQP_FIELD_KIND_F32:
        length = 4;
        break;
    case AMQP_FIELD_KIND_DECIMAL:
        length = 5;
        break;
    case AMQP_FIELD_KIND_I64:
    case AMQP_FIELD_KIND_U64:
    case AMQP_FIELD_KIND_F64:
    case AMQP_FIELD_KIND_TIMESTAMP:
        length = 8;
        break;
    case AMQP_FIELD_KIND_UTF8:
    case AMQP_FIELD_KIND_BYTES:
    case AMQP_FIELD_KIND_ARRAY:
    case AMQP_FIELD_KIND_TABLE:
        length = (size_t)broker_take_integer(cursor, 4);
        break;
    default:
        cursor->failed = true; /* how long it is, nobody knows */
        break;
    }
    *ret_value = broker_take_bytes(cursor, length);
    return !cursor->failed;
}

bool broker_next_header(struct broker_cursor *cursor, struct broker_header *ret_header)
{
    if (cursor->left == 0) {
        return false;
    }
    const char *begin = cursor->at;
    ret_header->name = broker_take_short_string(cursor);
    ret_header->kind = (char)broker_take_integer(cursor, 1);
    if (!take_value(cursor, ret_header->kind, &ret_header->value)) {
        return false;
    }
    ret_header->whole = (struct slice){begin, (size_t)(cursor->at - begin)};
    return true;
}
