/* Which fields a line has, and what of a user is shown. */
#include "session-service/event_line.h"

#include "session-service/log_events.h"

enum { FIELDS_MAX = 8 };

struct fields {
    struct log_field items[FIELDS_MAX];
    size_t count;
};

static void add(struct fields *fields, struct log_field field)
{
    fields->items[fields->count++] = field;
}

static void add_user_id(const struct user *user, enum log_payload payload, char scratch[24],
                        struct fields *fields)
{
    struct slice id;
    if (!user_id_text(user, scratch, &id)) {
        return;
    }
    /* Some systems know their users by an address: that is personal like any other. */
    if (payload != LOG_PAYLOAD_FULL && memchr(id.data, '@', id.length) != NULL) {
        id = slice_of("***");
    }
    add(fields, log_text("user_id", id));
}

static bool add_user(const struct user *user, enum log_payload payload, struct buffer *scratch,
                     struct fields *fields)
{
    buffer_clear(scratch);
    switch (payload) {
    case LOG_PAYLOAD_NONE:
        return true;
    case LOG_PAYLOAD_REDACTED:
        user_append_redacted(user, scratch);
        break;
    case LOG_PAYLOAD_FULL:
        user_append_text(user, NULL, scratch);
        break;
    }
    add(fields, log_json("user", buffer_slice(scratch)));
    return !scratch->failed;
}

/* False: no memory, nothing appended. */
static bool append(struct buffer *lines, const struct log_event *event, const struct fields *fields)
{
    size_t length_before = lines->length;
    log_append(lines, event, fields->items, fields->count);
    if (lines->failed) {
        lines->length = length_before;
        lines->failed = false;
        return false;
    }
    return true;
}

static const char *outcome_name(const struct handled *handled)
{
    if (handled->duplicate) {
        return "duplicate";
    }
    if (handled->outdated) {
        return "outdated";
    }
    return handled->bare ? "bare" : "handled";
}

static bool append_handled(const struct event_line *line, enum log_payload payload,
                           struct buffer *scratch, struct buffer *lines)
{
    const struct log_event *logged_as = line->handler->logged_as;
    if (!log_enabled(logged_as->level)) {
        return true;
    }
    const struct user_event *event = line->event;
    struct fields fields = {.count = 0};
    char id[24];
    if (line->message->message_id.length > 0) {
        add(&fields, log_text("message_id", line->message->message_id));
    }
    add(&fields, log_string("outcome", outcome_name(line->handled)));
    if (event != NULL) {
        add_user_id(&event->user, payload, id, &fields);
    }
    add(&fields, log_boolean("redelivered", line->redelivered));
    if (event != NULL && line->handler->logs_user &&
        !add_user(&event->user, payload, scratch, &fields)) {
        return false;
    }
    if (event != NULL && event->saved_at_ms >= 0) {
        add(&fields, log_integer("saved_at_ms", event->saved_at_ms));
    }
    if (line->handled->ahead_ms > 0) {
        add(&fields, log_integer("ahead_ms", line->handled->ahead_ms));
    }
    return append(lines, logged_as, &fields);
}

static bool append_dead(const struct event_line *line, struct buffer *lines)
{
    struct fields fields = {.count = 0};
    if (line->message->message_id.length > 0) {
        add(&fields, log_text("message_id", line->message->message_id));
    }
    add(&fields, log_string("outcome", "dead"));
    add(&fields, log_string("reason", line->handled->reason));
    add(&fields, log_string("detail", line->handled->detail));
    add(&fields, log_integer("body_bytes", (int64_t)line->message->body.length));
    return append(lines, &event_user_dead_lettered, &fields);
}

bool event_line_append(const struct event_line *line, enum log_payload payload,
                       struct buffer *scratch, struct buffer *lines)
{
    switch (line->handled->verdict) {
    case VERDICT_ACK:
        return append_handled(line, payload, scratch, lines);
    case VERDICT_DEAD_LETTER:
        return append_dead(line, lines);
    }
    return true;
}
