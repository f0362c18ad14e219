/* One function for each phase of a deletion. */
#include "user-service/delete_user.h"

#include "common/base/json_text.h"
#include "common/base/utf8.h"

#include <stdlib.h>

enum {
    ID_MEMBER_BYTES = 16,
    ESCAPE_BYTES_MAX = 6, /* what one byte of the id can become in JSON */
};

void delete_user_init(struct delete_user *delete_user, struct acceptor *acceptor)
{
    *delete_user = (struct delete_user){
        .acceptor = acceptor,
        .endpoint = {.done = "deleted",
                     .invalid = "this can be no user's id: see errors",
                     .replies = delete_user->replies},
    };
}

/* Returns the body of the message, owned; NULL where there is no memory. */
static char *make_body(struct slice id, size_t *ret_length)
{
    struct buffer json;
    buffer_init(&json, ID_MEMBER_BYTES + ESCAPE_BYTES_MAX * id.length);
    buffer_append_text(&json, "{\"id\":\"");
    json_text_append_escaped(id, &json);
    buffer_append_text(&json, "\"}");
    char *body = buffer_take(&json, ret_length);
    buffer_done(&json);
    return body;
}

/* An id is one that a user can have where the user that has only this id is valid. */
static bool check_id(const struct asker *asker, struct slice id, struct slice body)
{
    static const struct user_rules rules = {.strict = true};
    struct user_problems problems = {.count = 0};
    struct user user = {0};
    if (!utf8_is_valid(id)) {
        problems = (struct user_problems){.items[0] = {.pointer = "/id", .detail = "is not UTF-8"},
                                          .count = 1};
        reply_invalid(asker, &problems);
        return false;
    }
    switch (user_parse(body, &rules, &user, &problems)) {
    case USER_OK:
        user_done(&user);
        return true;
    case USER_MALFORMED:
    case USER_INVALID:
        reply_invalid(asker, &problems);
        return false;
    case USER_NO_MEMORY:
        reply_refused(asker, EVENT_OVERLOADED);
        return false;
    }
    return false;
}

/* Takes the body. */
static void accept_deletion(struct delete_user *delete_user, const struct asker *asker, char *body,
                            size_t body_length)
{
    struct event *event = acceptor_begin(delete_user->acceptor, asker, EVENT_USER_DELETED);
    if (event == NULL) {
        free(body);
        return;
    }
    event->body = body;
    event->body_length = body_length;
    acceptor_accept(delete_user->acceptor, event);
}

void delete_user_handle(struct http_request *request, struct delete_user *delete_user)
{
    const struct asker asker = {.request = request, .endpoint = &delete_user->endpoint};
    if (!acceptor_admits(delete_user->acceptor, &asker)) {
        return;
    }
    struct slice id = http_request_path_part(request);
    size_t body_length = 0;
    char *body = make_body(id, &body_length);
    if (body == NULL) {
        reply_refused(&asker, EVENT_OVERLOADED);
    } else if (check_id(&asker, id, (struct slice){body, body_length})) {
        accept_deletion(delete_user, &asker, body, body_length);
        body = NULL;
    }
    free(body);
}

#define ROW(...) METRIC_ROW(struct delete_user, __VA_ARGS__)
METRIC_TABLE(append_metrics, struct delete_user, DELETE_USER_METRICS(ROW))

void delete_user_append_metrics(const struct delete_user *delete_user, struct buffer *text)
{
    append_metrics(text, delete_user);
}
