/* One function for each phase of a save. */
#include "user-service/save_user.h"

#include "common/base/json_canonical.h"
#include "common/http/form.h"

#include <strings.h>

enum media_type { MEDIA_JSON, MEDIA_FORM, MEDIA_OTHER };

/* A form is at most as large as a body; as JSON each byte may become six. */
enum {
    FORM_GROWTH = 8,
    ID_MEMBER_BYTES = 64,
    CANONICAL_GROWTH = 2, /* a comma behind each element */
    /* RabbitMQ's max_message_size since 4.0. A larger message ends the channel; from the outbox it
     * would do so each time, and whatever was saved after it would wait for ever. */
    MESSAGE_BODY_BYTES_MAX = 16 * 1024 * 1024,
};

void save_user_init(struct save_user *save_user, const struct settings *settings,
                    struct acceptor *acceptor)
{
    *save_user = (struct save_user){
        .acceptor = acceptor,
        .body_bytes_max = (size_t)settings->body_bytes_max,
        .rules = {.strict = settings->common.user_check == USER_CHECK_STRICT,
                  .required_members = settings->required_members,
                  .refused_members = settings->refused_members},
        .endpoint = {.done = "saved",
                     .invalid = "this is not a user: see errors",
                     .replies = save_user->replies},
    };
}

static bool media_type_is(struct slice value, const char *type)
{
    size_t length = strlen(type);
    if (value.length < length || strncasecmp(value.data, type, length) != 0) {
        return false;
    }
    return value.length == length || strchr("; \t", value.data[length]) != NULL;
}

/* By its suffix a type says that its content is JSON (RFC 6839). That of a CloudEvent is its
 * envelope, whose id is no user's. */
static bool is_json(struct slice type)
{
    static const char suffix[] = "+json";
    if (media_type_is(type, "application/json")) {
        return true;
    }
    size_t length = 0;
    while (length < type.length && strchr("; \t", type.data[length]) == NULL) {
        length++;
    }
    return length > sizeof(suffix) && memchr(type.data, '/', length) != NULL &&
           strncasecmp(type.data + length - (sizeof(suffix) - 1), suffix, sizeof(suffix) - 1) ==
               0 &&
           !media_type_is(type, "application/cloudevents+json") &&
           !media_type_is(type, "application/cloudevents-batch+json");
}

static enum media_type media_type_of(const struct http_request *request)
{
    struct slice type = http_request_header(request, "Content-Type");
    struct slice coding = http_request_header(request, "Content-Encoding");
    if (coding.length > 0 && !media_type_is(coding, "identity")) {
        return MEDIA_OTHER;
    }
    if (is_json(type)) {
        return MEDIA_JSON;
    }
    return media_type_is(type, "application/x-www-form-urlencoded") ? MEDIA_FORM : MEDIA_OTHER;
}

/* Of the user's value: other white space, or another order of the members, is no other user. */
static bool derive_user_id(struct slice key, const struct user *user,
                           char user_id[MESSAGE_ID_TEXT_BYTES])
{
    struct buffer text;
    buffer_init(&text, CANONICAL_GROWTH * user->text.length);
    bool is_whole = json_canonical_append(user->text, &text);
    if (is_whole) {
        message_id_derive(key, buffer_slice(&text), user_id);
    }
    buffer_done(&text);
    return is_whole;
}

/* A user without an id gets one. With an Idempotency-Key it is the same at each repetition: the
 * message must be the same, or it would be another one under a known id. */
static bool choose_user_id(struct save_user *save_user, const struct user *user,
                           const struct event *event, char user_id[MESSAGE_ID_TEXT_BYTES])
{
    if (event->has_key) {
        return derive_user_id((struct slice){event->message_id, event->message_id_length}, user,
                              user_id);
    }
    struct error error;
    return message_id_generate(&save_user->acceptor->ids, event->occurred_at_ms, user_id, &error) ==
           OUTCOME_OK;
}

/* Puts the user's JSON into the event, with an id of its own where the client gave none. */
static bool write_body(struct save_user *save_user, const struct user *user, struct event *event)
{
    char user_id[MESSAGE_ID_TEXT_BYTES];
    struct buffer text;
    buffer_init(&text, user->text.length + ID_MEMBER_BYTES);
    (void)buffer_reserve(&text, user->text.length + ID_MEMBER_BYTES);
    if (user->has_id || choose_user_id(save_user, user, event, user_id)) {
        user_append_text(user, user->has_id ? NULL : user_id, &text);
        event->body = buffer_take(&text, &event->body_length);
    }
    buffer_done(&text);
    if (event->body == NULL) {
        reply_refused(&event->asker, EVENT_OVERLOADED);
        return false;
    }
    if (event->body_length > MESSAGE_BODY_BYTES_MAX) {
        reply_large_user(&event->asker, event->body_length, MESSAGE_BODY_BYTES_MAX);
        return false;
    }
    return true;
}

static bool parse_user(struct save_user *save_user, const struct asker *asker, struct slice json,
                       struct user *ret_user)
{
    /* To clear these 3 KiB would be 3% of what a save costs; `count` says what is set. */
    struct user_problems problems __attribute__((uninitialized));
    problems.count = 0;
    switch (user_parse(json, &save_user->rules, ret_user, &problems)) {
    case USER_OK:
        return true;
    case USER_MALFORMED:
        reply_malformed(asker, "malformed-json", problems.items[0].detail);
        return false;
    case USER_INVALID:
        reply_invalid(asker, &problems);
        return false;
    case USER_NO_MEMORY:
        reply_refused(asker, EVENT_OVERLOADED);
        return false;
    }
    return false;
}

static void save_json(struct save_user *save_user, const struct asker *asker, struct slice json)
{
    struct user user = {0};
    if (!parse_user(save_user, asker, json, &user)) {
        return;
    }
    struct event *event = acceptor_begin(save_user->acceptor, asker, EVENT_USER_SAVED);
    if (event != NULL && write_body(save_user, &user, event)) {
        acceptor_accept(save_user->acceptor, event);
        event = NULL;
    }
    event_free(event);
    user_done(&user);
}

/* curl -d '{...}' sends a form. Braces are encoded in a real one. */
static bool looks_like_json(struct slice form)
{
    static const char around[] = " \t\r\n\xef\xbb\xbf"; /* white space, and a byte order mark */
    while (form.length > 0 && strchr(around, form.data[0]) != NULL) {
        form = (struct slice){form.data + 1, form.length - 1};
    }
    while (form.length > 0 && strchr(around, form.data[form.length - 1]) != NULL) {
        form.length--;
    }
    return form.length > 1 && ((form.data[0] == '{' && form.data[form.length - 1] == '}') ||
                               (form.data[0] == '[' && form.data[form.length - 1] == ']'));
}

static void save_form(struct save_user *save_user, const struct asker *asker)
{
    struct buffer json;
    struct error error;
    buffer_init(&json, FORM_GROWTH * save_user->body_bytes_max);
    switch (form_to_json(http_request_body(asker->request), &json, &error)) {
    case OUTCOME_OK:
        save_json(save_user, asker, buffer_slice(&json));
        break;
    case OUTCOME_INVALID:
        reply_malformed(asker, "malformed-form", error.text);
        break;
    case OUTCOME_BUSY:
    case OUTCOME_TRANSIENT:
    case OUTCOME_BROKEN:
        reply_refused(asker, EVENT_OVERLOADED);
        break;
    }
    buffer_done(&json);
}

void save_user_handle(struct http_request *request, struct save_user *save_user)
{
    const struct asker asker = {.request = request, .endpoint = &save_user->endpoint};
    if (!acceptor_admits(save_user->acceptor, &asker)) {
        return;
    }
    switch (media_type_of(request)) {
    case MEDIA_JSON:
        save_json(save_user, &asker, http_request_body(request));
        return;
    case MEDIA_FORM:
        if (looks_like_json(http_request_body(request))) {
            reply_json_as_form(&asker);
            return;
        }
        save_form(save_user, &asker);
        return;
    case MEDIA_OTHER:
        reply_wrong_media_type(&asker);
        return;
    }
}

#define ROW(...) METRIC_ROW(struct save_user, __VA_ARGS__)
METRIC_TABLE(append_metrics, struct save_user, SAVE_USER_METRICS(ROW))

void save_user_append_metrics(const struct save_user *save_user, struct buffer *text)
{
    append_metrics(text, save_user);
}
