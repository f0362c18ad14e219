/* The list of the events that are handled: one handler for each type of message.
 *
 * How to add an event: add its name to the list, and define `handle_<name>` in handle_<name>.c. */
#pragma once

#include "session-service/store/store.h"

#include "common/log/log.h"
#include "common/user/user_event.h"

#define EVENT_HANDLERS(HANDLER) HANDLER(user_saved) HANDLER(user_deleted)

struct event_handler {
    const char *type; /* of the message */
    const struct log_event *logged_as;
    bool logs_user; /* the log line shows the body, as --log-payload says */
    user_event_parse *parse;
    /* Runs in a transaction of the store. A failure is the store's. */
    enum outcome (*apply)(struct store *store, const struct store_event *event, int64_t now_ms,
                          struct store_effect *ret_effect, struct error *ret_error);
};

#define EVENT_HANDLER_DECLARE(name) extern const struct event_handler handle_##name;
EVENT_HANDLERS(EVENT_HANDLER_DECLARE)

/* Decodes a message as its type says, and returns the handler of that type; a message without a
 * type is a saved user. NULL: no handler has the type, and the event is impossible. */
const struct event_handler *event_handlers_decode(const struct message *message,
                                                  const struct user_rules *rules,
                                                  size_t body_bytes_max,
                                                  struct user_event *ret_event);
