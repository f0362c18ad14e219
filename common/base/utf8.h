/* UTF-8: validate, walk, count, cut. Pure; any thread. Source: Unicode 15, table 3-7. */
#pragma once

#include "common/base/slice.h"

#include <stdint.h>

/* Returns false also for overlong forms, surrogates and code points over U+10FFFF. NUL is valid. */
bool utf8_is_valid(struct slice text);

/* Decodes the character at `position` (below the length) of valid UTF-8 and moves past it. */
uint32_t utf8_next(struct slice text, size_t *position);

/* Returns how many bytes the first character of valid UTF-8 has, 0 for an empty text. */
size_t utf8_first_length(struct slice text);

/* Counts the characters (code points) of valid UTF-8. */
size_t utf8_count(struct slice text);

/* Returns the length of the longest beginning of valid UTF-8 that has at most `bytes_max` bytes and
 * ends between two characters. */
size_t utf8_cut_length(struct slice text, size_t bytes_max);

/* Returns the length of the text without a last character that was cut off within. The rest need
 * not be valid. */
size_t utf8_whole_length(struct slice text);

/* Returns whether a character is one of C0 (tab and newline too), DEL and C1. */
static inline bool utf8_is_control(uint32_t character)
{
    return character < 0x20 || (character >= 0x7f && character < 0xa0);
}
