/* An AMQP message as the services see it: a body, the properties they use and a few headers.
 * All slices are borrowed. Nothing of any library's types is in here. */
#pragma once

#include "common/base/slice.h"

#include <stdint.h>

enum { MESSAGE_HEADERS_MAX = 16, SHORT_STRING_BYTES_MAX = 255 };

enum message_header_type { MESSAGE_HEADER_TEXT, MESSAGE_HEADER_INTEGER };

struct message_header {
    struct slice name;
    enum message_header_type type;
    struct slice text;
    int64_t integer;
};

struct message {
    struct slice body;
    struct slice message_id;       /* empty: none */
    struct slice content_type;     /* empty: none */
    struct slice content_encoding; /* empty: none; it is read of a delivery, and never sent */
    struct slice type;             /* empty: none */
    struct slice app_id;           /* empty: none */
    uint64_t timestamp_s;          /* 0: none */
    bool persistent;
    size_t header_count;
    struct message_header headers[MESSAGE_HEADERS_MAX]; /* of a delivery: the first text and integer
                                                         * headers; others are not shown here */
};

/* Returns NULL if there is no header of that name and type. */
static inline const struct message_header *
message_find_header(const struct message *message, const char *name, enum message_header_type type)
{
    for (size_t i = 0; i < message->header_count; i++) {
        if (message->headers[i].type == type &&
            slice_equal(message->headers[i].name, slice_of(name))) {
            return &message->headers[i];
        }
    }
    return NULL;
}
