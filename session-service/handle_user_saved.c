/* From a message to a verdict and a log line. */
#include "session-service/handle_user_saved.h"

#include "common/log.h"

enum { FIELDS_MAX = 8, USER_JSON_GROWTH_MAX = 8, USER_JSON_SPARE_BYTES = 65536 };

struct line {
    struct log_field fields[FIELDS_MAX];
    size_t count;
};

void user_saved_handler_init(struct user_saved_handler *handler, const struct user_rules *rules,
                             size_t message_bytes_max, enum log_payload payload)
{
    *handler = (struct user_saved_handler){
        .rules = *rules, .message_bytes_max = message_bytes_max, .payload = payload};
    /* Masking and escaping lengthen a text by less than this, so only memory can run out. */
    buffer_init(&handler->user_json,
                USER_JSON_GROWTH_MAX * message_bytes_max + USER_JSON_SPARE_BYTES);
}

void user_saved_handler_done(struct user_saved_handler *handler)
{
    buffer_done(&handler->user_json);
}

static void add(struct line *line, struct log_field field)
{
    line->fields[line->count++] = field;
}

static void add_user_id(const struct user_saved_handler *handler, const struct user *user,
                        char scratch[24], struct line *line)
{
    struct slice id;
    if (!user_id_text(user, scratch, &id)) {
        return;
    }
    /* Some systems know their users by an address: that is personal like any other. */
    if (handler->payload != LOG_PAYLOAD_FULL && memchr(id.data, '@', id.length) != NULL) {
        id = slice_of("***");
    }
    add(line, log_text("user_id", id));
}

static bool add_user(struct user_saved_handler *handler, const struct user *user, struct line *line)
{
    buffer_clear(&handler->user_json);
    switch (handler->payload) {
    case LOG_PAYLOAD_NONE:
        return true;
    case LOG_PAYLOAD_REDACTED:
        user_append_redacted(user, &handler->user_json);
        break;
    case LOG_PAYLOAD_FULL:
        user_append_text(user, NULL, &handler->user_json);
        break;
    }
    add(line, log_json("user", buffer_slice(&handler->user_json)));
    return !handler->user_json.failed;
}

/* False: no memory, nothing appended. */
static bool append_line(struct buffer *lines, enum log_level level, const char *event,
                        const struct line *line)
{
    size_t length_before = lines->length;
    log_append(lines, level, event, line->fields, line->count);
    if (lines->failed) {
        lines->length = length_before;
        lines->failed = false;
        return false;
    }
    return true;
}

static bool log_saved(struct user_saved_handler *handler, const struct message *message,
                      bool redelivered, const struct user_event *event, struct buffer *lines)
{
    if (!log_enabled(LOG_LEVEL_INFO)) {
        return true;
    }
    struct line line = {.count = 0};
    char scratch[24];
    if (event->kind == USER_EVENT_BARE) {
        add(&line, log_string("outcome", "bare"));
    } else {
        add(&line, log_text("message_id", message->message_id));
        add(&line, log_string("outcome", "handled"));
    }
    add_user_id(handler, &event->user, scratch, &line);
    add(&line, log_boolean("redelivered", redelivered));
    if (!add_user(handler, &event->user, &line)) {
        return false;
    }
    if (event->saved_at_ms >= 0) {
        add(&line, log_integer("saved_at_ms", event->saved_at_ms));
    }
    return append_line(lines, LOG_LEVEL_INFO, "user.saved", &line);
}

static bool log_dead(const struct message *message, const struct user_event *event,
                     struct buffer *lines)
{
    struct line line = {.count = 0};
    if (message->message_id.length > 0) {
        add(&line, log_text("message_id", message->message_id));
    }
    add(&line, log_string("outcome", "dead"));
    add(&line, log_string("reason", event->reason));
    add(&line, log_string("detail", event->detail));
    add(&line, log_integer("body_bytes", (int64_t)message->body.length));
    return append_line(lines, LOG_LEVEL_WARNING, "user.dead_lettered", &line);
}

void user_saved_handle(struct user_saved_handler *handler, const struct message *message,
                       bool redelivered, struct buffer *lines, struct handled *ret_handled)
{
    struct user_event event;
    user_event_decode(message, &handler->rules, handler->message_bytes_max, &event);
    *ret_handled = (struct handled){
        .verdict = verdict_of(event.kind),
        .bare = event.kind == USER_EVENT_BARE,
    };
    bool logged = true;
    switch (ret_handled->verdict) {
    case VERDICT_ACK:
        logged = log_saved(handler, message, redelivered, &event, lines);
        break;
    case VERDICT_DEAD_LETTER:
        ret_handled->reason = event.reason;
        memcpy(ret_handled->detail, event.detail, sizeof(ret_handled->detail));
        logged = log_dead(message, &event, lines);
        break;
    case VERDICT_PAUSE:
        break;
    }
    if (!logged) {
        ret_handled->verdict = VERDICT_PAUSE;
    }
    user_event_done(&event);
}
