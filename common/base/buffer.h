/* A growable run of bytes with an upper bound. The first append that does not fit (bound or memory)
 * latches `failed` and changes nothing; later appends do nothing, so a writer checks once at the
 * end. One thread at a time. */
#pragma once

#include "common/base/error.h"
#include "common/base/slice.h"

#include <stdint.h>

struct buffer {
    char *data;
    size_t length;
    size_t capacity;
    size_t limit; /* bytes */
    bool failed;
};

void buffer_init(struct buffer *buffer, size_t limit_bytes);

/* Frees the bytes. It is safe on a zeroed struct and when repeated. */
void buffer_done(struct buffer *buffer);

/* Forgets content and failure, keeps the memory. */
void buffer_clear(struct buffer *buffer);

/* Makes room for `extra_bytes` more. If it returns false, it latches `failed`. */
bool buffer_reserve(struct buffer *buffer, size_t extra_bytes);

void buffer_append(struct buffer *buffer, const void *data, size_t length);
void buffer_append_byte(struct buffer *buffer, char byte);
void buffer_append_slice(struct buffer *buffer, struct slice slice);
void buffer_append_text(struct buffer *buffer, const char *text);
void buffer_append_format(struct buffer *buffer, const char *format, ...) PRINTF_LIKE(2, 3);

/* Borrows: valid until the next change. */
struct slice buffer_slice(const struct buffer *buffer);

/* Returns the bytes owned by the caller (free()), terminated with a NUL that is not counted in
 * *ret_length, and leaves the buffer empty. NULL on failure (latched or memory). */
MUST_CHECK char *buffer_take(struct buffer *buffer, size_t *ret_length);
