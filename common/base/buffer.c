/* A growable run of bytes. Memory is always one byte larger than the capacity, for a NUL. */
#include "common/base/buffer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SMALLEST_CAPACITY = 256 };

void buffer_init(struct buffer *buffer, size_t limit_bytes)
{
    *buffer = (struct buffer){.limit = limit_bytes};
}

void buffer_done(struct buffer *buffer)
{
    free(buffer->data);
    buffer->data = NULL;
    buffer->length = 0;
    buffer->capacity = 0;
}

void buffer_clear(struct buffer *buffer)
{
    buffer->length = 0;
    buffer->failed = false;
}

static bool grow(struct buffer *buffer, size_t needed)
{
    size_t capacity = buffer->capacity > buffer->limit / 2 ? buffer->limit : buffer->capacity * 2;
    if (capacity < SMALLEST_CAPACITY) {
        capacity = SMALLEST_CAPACITY < buffer->limit ? SMALLEST_CAPACITY : buffer->limit;
    }
    if (capacity < needed) {
        capacity = needed;
    }
    char *data = capacity == SIZE_MAX ? NULL : realloc(buffer->data, capacity + 1);
    if (data == NULL) {
        return false;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

bool buffer_reserve(struct buffer *buffer, size_t extra_bytes)
{
    if (buffer->failed) {
        return false;
    }
    if (buffer->data != NULL && extra_bytes <= buffer->capacity - buffer->length) {
        return true;
    }
    if (extra_bytes > buffer->limit - buffer->length ||
        !grow(buffer, buffer->length + extra_bytes)) {
        buffer->failed = true;
        return false;
    }
    return true;
}

void buffer_append(struct buffer *buffer, const void *data, size_t length)
{
    if (length > 0 && buffer_reserve(buffer, length)) {
        memcpy(buffer->data + buffer->length, data, length);
        buffer->length += length;
    }
}

void buffer_append_byte(struct buffer *buffer, char byte)
{
    if (buffer_reserve(buffer, 1)) {
        buffer->data[buffer->length++] = byte;
    }
}

void buffer_append_slice(struct buffer *buffer, struct slice slice)
{
    buffer_append(buffer, slice.data, slice.length);
}

void buffer_append_text(struct buffer *buffer, const char *text)
{
    buffer_append(buffer, text, strlen(text));
}

static int format_at_end(struct buffer *buffer, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

static int format_at_end(struct buffer *buffer, const char *format, va_list arguments)
{
    return vsnprintf(buffer->data + buffer->length, buffer->capacity - buffer->length + 1, format,
                     arguments);
}

void buffer_append_format(struct buffer *buffer, const char *format, ...)
{
    if (!buffer_reserve(buffer, 0)) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    int length = format_at_end(buffer, format, arguments);
    va_end(arguments);
    if (length < 0) {
        buffer->failed = true;
        return;
    }
    if ((size_t)length > buffer->capacity - buffer->length) {
        if (!buffer_reserve(buffer, (size_t)length)) {
            return;
        }
        va_start(arguments, format);
        (void)format_at_end(buffer, format, arguments);
        va_end(arguments);
    }
    buffer->length += (size_t)length;
}

struct slice buffer_slice(const struct buffer *buffer)
{
    return (struct slice){buffer->data, buffer->length};
}

char *buffer_take(struct buffer *buffer, size_t *ret_length)
{
    if (!buffer_reserve(buffer, 0)) {
        return NULL;
    }
    char *data = buffer->data;
    data[buffer->length] = '\0';
    *ret_length = buffer->length;
    buffer_init(buffer, buffer->limit);
    return data;
}
