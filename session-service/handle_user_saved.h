/* Handles one delivered user: judges it and writes its log line. Knows nothing of AMQP. */
#pragma once

#include "common/common_settings.h"
#include "session-service/verdict.h"

struct user_saved_handler {
    struct user_rules rules;
    size_t message_bytes_max;
    enum log_payload payload;
    struct buffer user_json; /* scratch */
};

void user_saved_handler_init(struct user_saved_handler *handler, const struct user_rules *rules,
                             size_t message_bytes_max, enum log_payload payload);
void user_saved_handler_done(struct user_saved_handler *handler);

struct handled {
    enum verdict verdict;
    bool bare;
    const char *reason; /* DEAD_LETTER: a literal, for machines */
    char detail[256];   /* DEAD_LETTER: for a person; never a member's value */
};

/* Appends the delivery's one log line to `lines`. Where there is no memory for the line the verdict
 * is VERDICT_PAUSE and `lines` is as it was. One thread at a time. */
void user_saved_handle(struct user_saved_handler *handler, const struct message *message,
                       bool redelivered, struct buffer *lines, struct handled *ret_handled);
