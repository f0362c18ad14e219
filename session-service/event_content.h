/* Whether a message says that its body is plain JSON. Pure.
 *
 * What says nothing of another form is taken: no content type or an empty one, application/json,
 * and text/plain and application/octet-stream, which common clients send for any body; parameters
 * and case do not matter. As a content encoding nothing, an empty one, "identity", and "utf-8" or
 * "utf8", which some clients put there. Every other media type names another form, every other
 * encoding a compression, and the attributes of a CloudEvent among the headers an envelope. The
 * body is not asked. */
#pragma once

#include "common/amqp/message.h"
#include "common/base/error.h"

#include <stdbool.h>

struct event_content_problem {
    const char *what;   /* a literal, for a person */
    struct slice value; /* borrows the message */
};

/* False: `ret_problem` says what names another form. */
MUST_CHECK bool event_content_is_json(const struct message *message,
                                      struct event_content_problem *ret_problem);
