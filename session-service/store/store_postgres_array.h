/* Values in PostgreSQL's binary format, as parameters of statements. Pure.
 *
 * An array is how a statement is given many rows: one array for each column, which unnest() makes
 * rows of. */
#pragma once

#include "common/base/buffer.h"

enum postgres_type { POSTGRES_BYTEA = 17, POSTGRES_INT8 = 20, POSTGRES_TEXT = 25 };

struct postgres_array {
    struct buffer bytes;
    int32_t count;
};

/* Freed with buffer_done(&array->bytes), which is safe on a zeroed struct. */
void postgres_array_init(struct postgres_array *array);
/* Forgets the elements, and begins an array of that type. */
void postgres_array_begin(struct postgres_array *array, enum postgres_type type);
void postgres_array_add(struct postgres_array *array, struct slice element);
void postgres_array_add_integer(struct postgres_array *array, int64_t element);
void postgres_array_add_null(struct postgres_array *array);
/* Borrows: valid until the next change. No memory: array->bytes.failed. */
struct slice postgres_array_end(struct postgres_array *array);

enum { POSTGRES_INTEGER_BYTES = 8 };

void postgres_write_integer(int64_t value, char ret_bytes[POSTGRES_INTEGER_BYTES]);
/* 0 where the bytes are no integer. */
int64_t postgres_read_integer(struct slice bytes);
