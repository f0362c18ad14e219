/* Big-endian numbers, and the head that PostgreSQL's arrays have. */
#include "session-service/store/store_postgres_array.h"

enum {
    ARRAY_BYTES_MAX = 1024 * 1024 * 1024, /* more than a message of the protocol may have */
    COUNT_OFFSET = 12,                    /* dimensions, whether there are NULLs, type */
};

static void write_number(uint32_t value, char ret_bytes[4])
{
    for (int i = 0; i < 4; i++) {
        ret_bytes[i] = (char)(unsigned char)(value >> (24 - 8 * i));
    }
}

static void append_number(struct buffer *bytes, uint32_t value)
{
    char number[4];
    write_number(value, number);
    buffer_append(bytes, number, sizeof(number));
}

void postgres_array_init(struct postgres_array *array)
{
    buffer_init(&array->bytes, ARRAY_BYTES_MAX);
    array->count = 0;
}

void postgres_array_begin(struct postgres_array *array, enum postgres_type type)
{
    buffer_clear(&array->bytes);
    array->count = 0;
    append_number(&array->bytes, 1); /* one dimension */
    append_number(&array->bytes, 1); /* there may be NULLs */
    append_number(&array->bytes, type);
    append_number(&array->bytes, 0); /* elements: set at the end */
    append_number(&array->bytes, 1); /* the first one's index */
}

void postgres_array_add(struct postgres_array *array, struct slice element)
{
    append_number(&array->bytes, (uint32_t)element.length);
    buffer_append_slice(&array->bytes, element);
    array->count++;
}

void postgres_array_add_integer(struct postgres_array *array, int64_t element)
{
    char bytes[POSTGRES_INTEGER_BYTES];
    postgres_write_integer(element, bytes);
    postgres_array_add(array, (struct slice){bytes, sizeof(bytes)});
}

void postgres_array_add_null(struct postgres_array *array)
{
    append_number(&array->bytes, UINT32_MAX);
    array->count++;
}

struct slice postgres_array_end(struct postgres_array *array)
{
    if (!array->bytes.failed) {
        write_number((uint32_t)array->count, array->bytes.data + COUNT_OFFSET);
    }
    return buffer_slice(&array->bytes);
}

void postgres_write_integer(int64_t value, char ret_bytes[POSTGRES_INTEGER_BYTES])
{
    write_number((uint32_t)((uint64_t)value >> 32), ret_bytes);
    write_number((uint32_t)(uint64_t)value, ret_bytes + 4);
}

int64_t postgres_read_integer(struct slice bytes)
{
    uint64_t value = 0;
    if (bytes.length != POSTGRES_INTEGER_BYTES) {
        return 0;
    }
    for (size_t i = 0; i < bytes.length; i++) {
        value = value << 8 | (unsigned char)bytes.data[i];
    }
    return (int64_t)value;
}
