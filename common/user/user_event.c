/* The queue's contract: a saved user as a message, and a delivered message as an event. */
#include "common/user/user_event.h"

#include "common/base/utf8.h"

#include <stdio.h>

enum { PROBLEMS_TOLD_MAX = 3, MS_PER_S = 1000 };

#define TYPE_NAME(argument, type, symbol, name, meaning) {name, sizeof(name) - 1},
static const struct slice type_names[EVENT_TYPES] = {USER_EVENT_TYPES(TYPE_NAME, )};

struct slice event_type_name(enum event_type type)
{
    return type_names[type];
}

bool event_type_find(struct slice name, enum event_type *ret_type)
{
    for (size_t i = 0; i < EVENT_TYPES; i++) {
        if (slice_equal(name, type_names[i])) {
            *ret_type = (enum event_type)i;
            return true;
        }
    }
    return false;
}

bool user_event_id_is_valid(struct slice message_id)
{
    if (message_id.length == 0 || message_id.length > USER_EVENT_ID_BYTES_MAX) {
        return false;
    }
    for (size_t i = 0; i < message_id.length; i++) {
        if (message_id.data[i] < 0x20 || message_id.data[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

void user_event_encode(struct slice type, struct slice body, struct slice message_id,
                       uint64_t saved_at_ms, struct slice traceparent, struct message *ret_message)
{
    /* To clear the headers that are not used, too, would cost more than all of this. */
    memset(ret_message, 0, offsetof(struct message, headers));
    ret_message->body = body;
    ret_message->message_id = message_id;
    ret_message->content_type = slice_of(USER_EVENT_CONTENT_TYPE);
    ret_message->type = type;
    ret_message->app_id = slice_of(USER_EVENT_APP_ID);
    ret_message->timestamp_s = saved_at_ms / MS_PER_S;
    ret_message->persistent = true;
    ret_message->headers[0] = (struct message_header){.name = slice_of(USER_EVENT_HEADER_SAVED_AT),
                                                      .type = MESSAGE_HEADER_INTEGER,
                                                      .integer = (int64_t)saved_at_ms};
    ret_message->header_count = 1;
    if (traceparent.length > 0) {
        ret_message->headers[ret_message->header_count++] =
            (struct message_header){.name = slice_of(USER_EVENT_HEADER_TRACEPARENT),
                                    .type = MESSAGE_HEADER_TEXT,
                                    .text = traceparent};
    }
}

/* The timestamp says nothing about the order: it is in whole seconds, and any program may set it.
 */
static int64_t saved_at_of(const struct message *message)
{
    const struct message_header *header =
        message_find_header(message, USER_EVENT_HEADER_SAVED_AT, MESSAGE_HEADER_INTEGER);
    return header != NULL && header->integer > 0 ? header->integer : -1;
}

static size_t cut_length(const char *text, size_t bytes_max)
{
    return utf8_cut_length(slice_of(text), bytes_max);
}

static void set_detail(struct user_event *event, const struct user_problems *problems)
{
    /* Longer than the detail, so that the cut is made between two characters. */
    char text[PROBLEMS_TOLD_MAX *
              (USER_LOGGED_POINTER_BYTES + sizeof(problems->items[0].detail) + sizeof("; : "))];
    size_t length = 0;
    text[0] = '\0';
    for (size_t i = 0; i < problems->count && i < PROBLEMS_TOLD_MAX; i++) {
        const char *pointer = problems->items[i].logged_pointer;
        int added = snprintf(text + length, sizeof(text) - length, "%s%s%s%s", i == 0 ? "" : "; ",
                             pointer, pointer[0] == '\0' ? "" : ": ", problems->items[i].detail);
        length += (size_t)added;
    }
    length = cut_length(text, sizeof(event->detail) - 1);
    memcpy(event->detail, text, length);
    event->detail[length] = '\0';
}

static void set_impossible(struct user_event *event, const char *reason)
{
    event->kind = USER_EVENT_IMPOSSIBLE;
    event->reason = reason;
}

static void check_size(struct user_event *event, size_t body_bytes, size_t max_body_bytes)
{
    if (body_bytes > max_body_bytes) {
        set_impossible(event, "too-large");
        (void)snprintf(event->detail, sizeof(event->detail),
                       "the body has %zu bytes; at most %zu are accepted", body_bytes,
                       max_body_bytes);
    }
}

static void read_body(struct user_event *event, struct slice body, user_event_parse *parse,
                      const struct user_rules *rules)
{
    /* To clear these 3 KiB would cost more than all else here; `count` says what is set of them. */
    struct user_problems problems __attribute__((uninitialized));
    problems.count = 0;
    switch (parse(body, event->kind == USER_EVENT_BARE, rules, &event->user, &problems)) {
    case USER_OK:
        return;
    case USER_NO_MEMORY:
        event->kind = USER_EVENT_NO_MEMORY;
        return;
    case USER_MALFORMED:
        set_impossible(event, "not-json");
        break;
    case USER_NOT_AN_OBJECT:
        set_impossible(event, "not-an-object");
        break;
    case USER_NUMBER_OUT_OF_RANGE:
        set_impossible(event, "number-out-of-range");
        break;
    case USER_NOT_PORTABLE:
    case USER_INVALID:
        set_impossible(event, "invalid-user");
        break;
    }
    set_detail(event, &problems);
}

void user_event_decode(const struct message *message, user_event_parse *parse,
                       const struct user_rules *rules, size_t max_body_bytes,
                       struct user_event *ret_event)
{
    *ret_event = (struct user_event){
        .kind = message->message_id.length == 0 ? USER_EVENT_BARE : USER_EVENT_IDENTIFIED,
        .saved_at_ms = saved_at_of(message),
    };
    if (ret_event->kind == USER_EVENT_IDENTIFIED && !user_event_id_is_valid(message->message_id)) {
        set_impossible(ret_event, "invalid-message-id");
        (void)snprintf(ret_event->detail, sizeof(ret_event->detail),
                       "the message id must be 1 to %d printable ASCII characters",
                       (int)USER_EVENT_ID_BYTES_MAX);
        return;
    }
    check_size(ret_event, message->body.length, max_body_bytes);
    if (ret_event->kind != USER_EVENT_IMPOSSIBLE) {
        read_body(ret_event, message->body, parse, rules);
    }
}

void user_event_done(struct user_event *event)
{
    user_done(&event->user);
}
