/* Decides whether a message says that its body is plain JSON. Pure.
 *
 * Content that does not name another format counts as JSON. As content type these are a missing or
 * empty one, application/json, text/plain and application/octet-stream; common clients send the
 * last two for any body. Parameters and case do not matter. As content encoding these are a missing
 * or empty one, "identity", "utf-8" and "utf8"; some clients send the last two. Every other media
 * type means another format. Every other encoding means a compression. Headers with the attributes
 * of a CloudEvent mean an envelope. The body itself is not examined. */
#pragma once

#include "common/amqp/message.h"
#include "common/base/error.h"

#include <stdbool.h>

struct event_content_problem {
    const char *what;   /* a literal, for a person */
    struct slice value; /* borrows the message */
};

/* False: `ret_problem` says what names another format. */
MUST_CHECK bool event_content_is_json(const struct message *message,
                                      struct event_content_problem *ret_problem);
