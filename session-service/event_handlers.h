/* The events that are handled: each type of the list in common/user/user_event.h has its handler,
 * which is `handle_<name>` in handle_<name>.c. */
#pragma once

#include "session-service/store/store.h"

#include "common/log/log.h"
#include "common/user/user_event.h"

struct event_handler {
    enum event_type type;
    const struct log_event *logged_as;
    bool logs_user; /* the log line shows the body, as --log-payload says */
    user_event_parse *parse;
    enum store_change change;
};

#define EVENT_HANDLER_DECLARE(argument, type, symbol, ...)                                         \
    extern const struct event_handler handle_##symbol;
USER_EVENT_TYPES(EVENT_HANDLER_DECLARE, )

/* The handler of a type, NULL where there is none; an empty type is a saved user. */
const struct event_handler *event_handlers_find(struct slice type);

/* Decodes a message as its type says, and returns the handler of that type; a message without a
 * type is a saved user. NULL: no handler has the type, and the event is impossible. */
const struct event_handler *event_handlers_decode(const struct message *message,
                                                  const struct user_rules *rules,
                                                  size_t max_body_bytes,
                                                  struct user_event *ret_event);
