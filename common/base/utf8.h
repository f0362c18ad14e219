/* UTF-8: validate, walk, count, cut. Pure; any thread. Source: Unicode 15, table 3-7. */
#pragma once

#include "common/base/slice.h"

#include <stdint.h>

/* False also for overlong forms, surrogates and code points over U+10FFFF; NUL is valid. */
bool utf8_is_valid(struct slice text);

/* Decodes the character at `position` (below the length) of valid UTF-8 and moves past it. */
uint32_t utf8_next(struct slice text, size_t *position);

/* Bytes of the first character of valid UTF-8; 0 for an empty text. */
size_t utf8_first_length(struct slice text);

/* Characters (code points) of valid UTF-8. */
size_t utf8_count(struct slice text);

/* The length of the longest start of valid UTF-8 that has at most `bytes_max` bytes and ends
 * between two characters. */
size_t utf8_cut_length(struct slice text, size_t bytes_max);

/* C0 (tab and newline too), DEL and C1. */
static inline bool utf8_is_control(uint32_t character)
{
    return character < 0x20 || (character >= 0x7f && character < 0xa0);
}
