/* POST /users/save: reads a user, as JSON or as a form. One function for each phase. */
#include "user-service/endpoints.h"

#include "common/base/json_canonical.h"
#include "common/http/form.h"
#include "common/user/user_shard.h"

/* A form is at most as large as a body; as JSON each byte may become six. */
enum {
    FORM_GROWTH = 8,
    ID_MEMBER_BYTES = 64,
    /* RabbitMQ's max_message_size since 4.0. A larger message ends the channel; from the outbox it
     * would do so each time, and whatever was saved after it would wait for ever. */
    MESSAGE_BODY_BYTES_MAX = 16 * 1024 * 1024,
};

/* Of the user's value: other white space, or another order of the members, is no other user. */
static bool derive_user_id(struct slice key, const struct user *user,
                           char user_id[MESSAGE_ID_TEXT_BYTES])
{
    struct buffer text;
    buffer_init(&text, JSON_CANONICAL_GROWTH * user->text.length);
    bool is_whole = json_canonical_append(user->text, &text);
    if (is_whole) {
        message_id_derive(key, buffer_slice(&text), user_id);
    }
    buffer_done(&text);
    return is_whole;
}

/* A user without an id gets one, and at each repetition the same: the message must be the same, or
 * it would be another one under a known id. Who got no answer repeats with the id of the message as
 * the Idempotency-Key, also where the first request had none. */
static bool choose_user_id(const struct user *user, const struct event *event,
                           char user_id[MESSAGE_ID_TEXT_BYTES])
{
    struct slice message_id = {event->message_id, event->message_id_length};
    return message_id_pair(message_id, user_id) || derive_user_id(message_id, user, user_id);
}

static bool choose_shard(const struct user *user, const char *assigned_id, size_t shards,
                         struct event *event)
{
    size_t shard = 0;
    struct error error;
    if (shards < 2) {
        return true; /* without a call, in every save */
    }
    if (user_shard_of(user, assigned_id, (struct slice){event->body, event->body_length}, shards,
                      &shard, &error) != OUTCOME_OK) {
        return false;
    }
    event->shard = (uint8_t)shard;
    return true;
}

/* Puts the user's JSON into the event, with an id of its own where the client gave none. */
static bool write_body(const struct user *user, size_t shards, struct event *event)
{
    char user_id[MESSAGE_ID_TEXT_BYTES];
    struct buffer text;
    buffer_init(&text, user->text.length + ID_MEMBER_BYTES);
    (void)buffer_reserve(&text, user->text.length + ID_MEMBER_BYTES);
    const char *assigned_id = user->has_id ? NULL : user_id;
    if (user->has_id || choose_user_id(user, event, user_id)) {
        user_append_text(user, assigned_id, &text);
        event->body = buffer_take(&text, &event->body_length);
    }
    buffer_done(&text);
    if (event->body == NULL || !choose_shard(user, assigned_id, shards, event)) {
        reply_refused(&event->asker, EVENT_NO_MEMORY);
        return false;
    }
    if (event->body_length > MESSAGE_BODY_BYTES_MAX) {
        reply_large_user(&event->asker, event->body_length, MESSAGE_BODY_BYTES_MAX);
        return false;
    }
    return true;
}

static void save_json(struct acceptor *acceptor, const struct asker *asker, struct slice json)
{
    const struct settings *settings = acceptor->settings;
    const struct user_rules rules = {.strict = settings->common.user_check == USER_CHECK_STRICT,
                                     .required_members = settings->required_members,
                                     .refused_members = settings->refused_members};
    struct user user = {0};
    if (!endpoint_parse_user(asker, json, &rules, &user)) {
        return;
    }
    struct event *event = acceptor_begin(acceptor, asker, EVENT_USER_SAVED);
    if (event != NULL && write_body(&user, (size_t)settings->common.shards, event)) {
        acceptor_accept(acceptor, event);
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

static void save_form(struct acceptor *acceptor, const struct asker *asker)
{
    struct buffer json;
    struct error error;
    buffer_init(&json, FORM_GROWTH * (size_t)acceptor->settings->max_body_bytes);
    switch (form_to_json(http_request_body(asker->request), &json, &error)) {
    case OUTCOME_OK:
        save_json(acceptor, asker, buffer_slice(&json));
        break;
    case OUTCOME_INVALID:
        reply_malformed(asker, "malformed-form", error.text);
        break;
    case OUTCOME_BUSY:
    case OUTCOME_TRANSIENT:
    case OUTCOME_BROKEN:
        reply_refused(asker, EVENT_NO_MEMORY);
        break;
    }
    buffer_done(&json);
}

void save_user_handle(struct acceptor *acceptor, const struct asker *asker)
{
    struct slice body = http_request_body(asker->request);
    switch (endpoint_media_type(asker->request)) {
    case MEDIA_JSON:
        save_json(acceptor, asker, body);
        return;
    case MEDIA_FORM:
        if (looks_like_json(body)) {
            reply_json_as_form(asker);
            return;
        }
        save_form(acceptor, asker);
        return;
    case MEDIA_OTHER:
        reply_wrong_media_type(asker, "application/json or application/x-www-form-urlencoded");
        return;
    }
}
