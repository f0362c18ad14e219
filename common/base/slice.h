/* A borrowed run of bytes: pointer and length, not terminated. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
    const char *data;
    size_t length;
};

static inline struct slice slice_of(const char *text)
{
    return (struct slice){text, text == NULL ? 0 : strlen(text)};
}

static inline bool slice_equal(struct slice left, struct slice right)
{
    return left.length == right.length &&
           (left.length == 0 || memcmp(left.data, right.data, left.length) == 0);
}

/* Without a byte order mark at the beginning, and without the blanks and line ends around the rest:
 * what files and variables have beside their value. */
static inline struct slice slice_trimmed(struct slice text)
{
    static const char around[] = " \t\r\n\v\f";
    if (text.length >= 3 && memcmp(text.data, "\xef\xbb\xbf", 3) == 0) {
        text = (struct slice){text.data + 3, text.length - 3};
    }
    while (text.length > 0 && memchr(around, text.data[0], sizeof(around) - 1) != NULL) {
        text = (struct slice){text.data + 1, text.length - 1};
    }
    while (text.length > 0 &&
           memchr(around, text.data[text.length - 1], sizeof(around) - 1) != NULL) {
        text.length--;
    }
    return text;
}
