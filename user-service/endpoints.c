/* What endpoints share: the media type, the rules for users, and ids in paths. */
#include "user-service/endpoints.h"

#include "common/base/charset.h"
#include "common/base/json_text.h"
#include "common/base/utf8.h"
#include "common/user/user_shard.h"

#include <stdlib.h>
#include <strings.h>

enum {
    ID_MEMBER_BYTES = 16,
    ESCAPE_BYTES_MAX = 6, /* what one byte of the id can become in JSON */
};

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

enum media_type endpoint_media_type(const struct http_request *request)
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

bool endpoint_parse_user(const struct asker *asker, struct slice json,
                         const struct user_rules *rules, struct user *ret_user)
{
    /* To clear these 3 KiB would be 3% of what a save costs; `count` says what is set. */
    struct user_problems problems __attribute__((uninitialized));
    problems.count = 0;
    switch (user_parse(json, rules, ret_user, &problems)) {
    case USER_OK:
        return true;
    case USER_MALFORMED:
        /* What is JSON whatever its charset says is taken: many clients name one that they do not
         * use. */
        if (!charset_is_utf8(http_request_header(asker->request, "Content-Type"))) {
            reply_wrong_media_type(asker, "JSON in UTF-8");
            return false;
        }
        reply_malformed(asker, "malformed-json", problems.items[0].detail);
        return false;
    case USER_NOT_PORTABLE:
        reply_malformed(asker, "malformed-json", problems.items[0].detail);
        return false;
    case USER_NOT_AN_OBJECT:
        reply_invalid(asker, "not-an-object", &problems);
        return false;
    case USER_NUMBER_OUT_OF_RANGE:
        reply_invalid(asker, "number-out-of-range", &problems);
        return false;
    case USER_INVALID:
        reply_invalid(asker, "invalid-user", &problems);
        return false;
    case USER_NO_MEMORY:
        reply_refused(asker, EVENT_NO_MEMORY);
        return false;
    }
    return false;
}

/* Returns the body of the message, owned; NULL where there is no memory. */
static char *make_body(struct slice id, struct slice members, size_t *ret_length)
{
    struct buffer json;
    buffer_init(&json, ID_MEMBER_BYTES + ESCAPE_BYTES_MAX * id.length + members.length);
    buffer_append_text(&json, "{\"id\":\"");
    json_text_append_escaped(id, &json);
    buffer_append_byte(&json, '"');
    buffer_append_slice(&json, members);
    buffer_append_byte(&json, '}');
    char *body = buffer_take(&json, ret_length);
    buffer_done(&json);
    return body;
}

static bool check_body(const struct asker *asker, struct slice id, struct slice body)
{
    static const struct user_rules rules = {.strict = true};
    struct user user = {0};
    if (!utf8_is_valid(id)) {
        const struct user_problems problems = {
            .items[0] = {.pointer = "/id", .logged_pointer = "/id", .detail = "is not UTF-8"},
            .count = 1};
        reply_invalid(asker, "invalid-user", &problems);
        return false;
    }
    bool is_valid = endpoint_parse_user(asker, body, &rules, &user);
    user_done(&user);
    return is_valid;
}

void endpoint_accept_for_path(struct acceptor *acceptor, const struct asker *asker,
                              enum event_type type, struct slice members)
{
    struct slice id = http_request_path_part(asker->request);
    size_t body_length = 0;
    size_t shard = 0;
    size_t shards = (size_t)acceptor->settings->common.shards;
    struct error error;
    char *body = make_body(id, members, &body_length);
    if (body == NULL ||
        (shards > 1 && user_shard_of_key(id, shards, &shard, &error) != OUTCOME_OK)) {
        reply_refused(asker, EVENT_NO_MEMORY);
    } else if (check_body(asker, id, (struct slice){body, body_length})) {
        struct event *event = acceptor_begin(acceptor, asker, type);
        if (event != NULL) {
            event->body = body;
            event->body_length = body_length;
            event->shard = (uint8_t)shard;
            acceptor_accept(acceptor, event);
            return;
        }
    }
    free(body);
}
