/* What became of a delivery, and the one log line that says so. */
#pragma once

#include "session-service/event_handlers.h"

#include "common/base/buffer.h"
#include "common/service/common_settings.h"

/* What happens to a delivery. */
enum verdict {
    VERDICT_ACK,         /* its effect is complete: settle it */
    VERDICT_DEAD_LETTER, /* it can never be handled: settle it when its copy is confirmed */
};

struct handled {
    enum verdict verdict;
    bool bare;
    bool duplicate;
    bool outdated; /* what is known of the user is newer, and stays */
    bool session_opened;
    int64_t ahead_ms;   /* so far the named time is ahead, so that arrival decided; else 0 */
    const char *reason; /* DEAD_LETTER: a literal, for machines */
    char detail[256];   /* DEAD_LETTER: for a person; never a member's value */
};

/* All borrowed. */
struct event_line {
    const struct message *message;
    const struct event_handler *handler; /* NULL: no handler has the type, and it is dead */
    const struct user_event *event;      /* NULL: the message was not looked into */
    const struct handled *handled;
    bool redelivered;
};

/* Appends the line; `scratch` is the caller's memory for what is shown of the user. False: no
 * memory, and nothing is appended. */
MUST_CHECK bool event_line_append(const struct event_line *line, enum log_payload payload,
                                  struct buffer *scratch, struct buffer *lines);
