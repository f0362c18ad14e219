/* Takes an input apart, and ends the process where a property does not hold.
 *
 * libFuzzer's clock is a signal: calls that wait go through TEMP_FAILURE_RETRY(). */
#pragma once

#include "common/base/slice.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct fuzz_input {
    const char *data;
    size_t left;
};

static inline struct fuzz_input fuzz_input_of(const uint8_t *data, size_t size)
{
    return (struct fuzz_input){(const char *)data, size};
}

/* What is missing at the end is zero, or empty. */
static inline unsigned take_byte(struct fuzz_input *input)
{
    if (input->left == 0) {
        return 0;
    }
    input->left--;
    return (unsigned char)*input->data++;
}

static inline struct slice take_slice(struct fuzz_input *input, size_t length)
{
    length = length < input->left ? length : input->left;
    struct slice slice = {input->data, length};
    input->data += length;
    input->left -= length;
    return slice;
}

/* A length of one byte, then the bytes. */
static inline struct slice take_short(struct fuzz_input *input)
{
    return take_slice(input, take_byte(input));
}

/* Up to the first byte `end`, which is taken too, or all that is left. */
static inline struct slice take_until(struct fuzz_input *input, char end)
{
    const char *found = input->left == 0 ? NULL : memchr(input->data, end, input->left);
    struct slice slice =
        take_slice(input, found == NULL ? input->left : (size_t)(found - input->data));
    (void)take_byte(input);
    return slice;
}

/* A copy in memory of its own, so that a read behind its end is seen. */
static inline struct slice copy_exactly(struct slice slice)
{
    char *copy = malloc(slice.length > 0 ? slice.length : 1);
    must(copy != NULL);
    if (slice.length > 0) {
        memcpy(copy, slice.data, slice.length);
    }
    return (struct slice){copy, slice.length};
}

static inline void free_copy(struct slice copy)
{
    free((void *)(uintptr_t)copy.data);
}
