/* The table of handlers, and what a message must be before one of them reads its body. */
#include "session-service/event_handlers.h"

#include "session-service/event_content.h"

#include "common/base/charset.h"
#include "common/base/utf8.h"

#include <stdio.h>
#include <string.h>

enum { VALUE_BYTES_SHOWN_MAX = 128, VALUE_BYTES_MAX = 8 * SHORT_STRING_BYTES_MAX };

#define ROW(argument, type, symbol, ...) [type] = &handle_##symbol,
static const struct event_handler *const handlers[EVENT_TYPES] = {USER_EVENT_TYPES(ROW, )};

const struct event_handler *event_handlers_find(struct slice type)
{
    enum event_type found = EVENT_USER_SAVED;
    return type.length == 0 || event_type_find(type, &found) ? handlers[found] : NULL;
}

/* The value is a sender's: it is escaped, and cut where it is long. */
static void refuse(struct user_event *event, const char *reason, const char *what,
                   struct slice value, const char *why)
{
    struct buffer shown;
    buffer_init(&shown, VALUE_BYTES_MAX);
    log_append_shown(&shown, value);
    struct slice text = buffer_slice(&shown);
    size_t length = utf8_cut_length(text, VALUE_BYTES_SHOWN_MAX);
    *event = (struct user_event){
        .kind = shown.failed ? USER_EVENT_NO_MEMORY : USER_EVENT_IMPOSSIBLE,
        .reason = reason,
    };
    (void)snprintf(event->detail, sizeof(event->detail), "%s \"%.*s%s\" %s", what, (int)length,
                   text.data, length < text.length ? "..." : "", why);
    buffer_done(&shown);
}

static bool is_not_json(const struct user_event *event)
{
    return event->kind == USER_EVENT_IMPOSSIBLE && strcmp(event->reason, "not-json") == 0;
}

/* What is JSON whatever its charset says is taken: many clients name one that they do not use. */
const struct event_handler *event_handlers_decode(const struct message *message,
                                                  const struct user_rules *rules,
                                                  size_t max_body_bytes,
                                                  struct user_event *ret_event)
{
    const struct event_handler *handler = event_handlers_find(message->type);
    struct event_content_problem problem;
    if (handler == NULL) {
        refuse(ret_event, "unknown-type", "the type", message->type, "has no handler");
    } else if (!event_content_is_json(message, &problem)) {
        refuse(ret_event, "unsupported-content", problem.what, problem.value,
               "names something else than plain JSON");
    } else {
        user_event_decode(message, handler->parse, rules, max_body_bytes, ret_event);
        if (is_not_json(ret_event) && !charset_is_utf8(message->content_type)) {
            refuse(ret_event, "unsupported-content", "the content type", message->content_type,
                   "names another encoding than UTF-8");
        }
    }
    return handler;
}
