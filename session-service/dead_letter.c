/* One allocation for each letter. */
#include "session-service/dead_letter.h"

#include <stdio.h>
#include <stdlib.h>

static struct slice copy_bytes(char **at, struct slice source)
{
    struct slice copy = {*at, source.length};
    if (source.length > 0) {
        memcpy(*at, source.data, source.length);
        *at += source.length;
    }
    return copy;
}

static int64_t integer_or(const struct message *message, const char *name, int64_t otherwise)
{
    const struct message_header *header =
        message_find_header(message, name, MESSAGE_HEADER_INTEGER);
    return header != NULL ? header->integer : otherwise;
}

int64_t dead_letter_counted_deliveries(const struct message *message)
{
    int64_t count = integer_or(message, BROKER_HEADER_DELIVERY_COUNT, 0);
    return count > 0 ? count : 0;
}

int64_t dead_letter_earlier_deliveries(const struct message *message)
{
    int64_t count = dead_letter_counted_deliveries(message);
    int64_t moved = integer_or(message, EARLIER_DELIVERIES, 0);
    return moved > 0 && moved < INT64_MAX - count ? moved + count : count;
}

bool dead_letter_is_worn(const struct message *message)
{
    return dead_letter_counted_deliveries(message) >= DEAD_LETTER_DELIVERIES_MAX;
}

struct dead_letter *dead_letter_create(const struct broker_delivery *delivery, const char *reason,
                                       const char *detail, int64_t now_wall_ms)
{
    const struct message *message = &delivery->message;
    size_t size_bytes = sizeof(struct dead_letter) + message->message_id.length +
                        delivery->raw_properties.length + message->body.length;
    struct dead_letter *letter = malloc(size_bytes);
    if (letter == NULL) {
        return NULL;
    }
    int64_t count_before = integer_or(message, DEAD_LETTER_COUNT, 0);
    *letter = (struct dead_letter){
        .delivery_tag = delivery->tag,
        .reason = reason,
        .first_at_ms = integer_or(message, DEAD_LETTER_FIRST_AT, now_wall_ms),
        .last_at_ms = now_wall_ms,
        .count = count_before > 0 && count_before < INT64_MAX ? count_before + 1 : 1,
        .earlier_deliveries = dead_letter_earlier_deliveries(message),
        .consumer = delivery->consumer,
        .size_bytes = size_bytes,
    };
    size_t detail_length = strnlen(detail, DEAD_LETTER_DETAIL_BYTES - 1);
    memcpy(letter->detail, detail, detail_length);
    char *at = letter->bytes;
    letter->message_id = copy_bytes(&at, message->message_id);
    letter->raw_properties = copy_bytes(&at, delivery->raw_properties);
    letter->body = copy_bytes(&at, message->body);
    return letter;
}

void dead_letter_queue_name(const char *queue, char ret_name[DEAD_LETTER_QUEUE_BYTES])
{
    (void)snprintf(ret_name, DEAD_LETTER_QUEUE_BYTES, "%.250s.dead", queue);
}

static struct message_header text_header(const char *name, const char *text)
{
    return (struct message_header){
        .name = slice_of(name), .type = MESSAGE_HEADER_TEXT, .text = slice_of(text)};
}

static struct message_header integer_header(const char *name, int64_t value)
{
    return (struct message_header){
        .name = slice_of(name), .type = MESSAGE_HEADER_INTEGER, .integer = value};
}

void dead_letter_headers(const struct dead_letter *letter, const char *queue,
                         struct message_header headers[DEAD_LETTER_HEADERS])
{
    headers[0] = text_header(DEAD_LETTER_REASON, letter->reason);
    headers[1] = text_header(DEAD_LETTER_DETAIL, letter->detail);
    headers[2] = integer_header(DEAD_LETTER_FIRST_AT, letter->first_at_ms);
    headers[3] = integer_header(DEAD_LETTER_LAST_AT, letter->last_at_ms);
    headers[4] = integer_header(DEAD_LETTER_COUNT, letter->count);
    headers[5] = text_header(DEAD_LETTER_QUEUE, queue);
}
