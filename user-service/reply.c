/* Outcomes to statuses and bodies. */
#include "user-service/reply.h"

#include "common/json_text.h"

#include <stdio.h>
#include <stdlib.h>

enum { REPLY_BYTES_MAX = 64 * 1024 * 1024 };

struct refusal {
    const char *reason;
    const char *detail;
};

static const struct refusal refusals[EVENT_OUTCOMES] = {
    [EVENT_CONFIRMED] = {"confirmed", ""},
    [EVENT_DISCONNECTED] = {"disconnected", "there is no connection to the broker; not saved"},
    [EVENT_BLOCKED] = {"blocked", "the broker takes no messages at present; not saved"},
    [EVENT_NACKED] = {"nacked", "the broker refused the message; not saved"},
    [EVENT_UNROUTABLE] = {"unroutable", "the queue is missing and is being declared; not saved"},
    [EVENT_OVERLOADED] = {"overloaded", "too many saves are waiting; not saved"},
    [EVENT_DRAINING] = {"draining", "the service is stopping; not saved"},
    [EVENT_UNKNOWN] = {"unknown", ""},
    [EVENT_STORED] = {"stored", ""},
    [EVENT_OUTBOX_FULL] = {"outbox-full", "the broker cannot be reached and the outbox takes no "
                                          "more; not saved"},
};

static void append_string(struct buffer *json, struct slice text)
{
    buffer_append_byte(json, '"');
    json_text_append_escaped(text, json);
    buffer_append_byte(json, '"');
}

static void reply_with(struct http_request *request, struct http_reply *reply, struct buffer *body)
{
    reply->body = buffer_take(body, &reply->body_length);
    buffer_done(body);
    if (reply->body == NULL) {
        http_request_reply_problem(request, 500, "out-of-memory", "Internal Server Error",
                                   "no memory for the reply: the outcome is unknown, send it again "
                                   "with the same Idempotency-Key");
        return;
    }
    http_request_reply(request, reply);
}

static void reply_problem_with(struct http_request *request, struct http_reply *reply,
                               const char *name, const char *title, const char *detail,
                               const char *members)
{
    reply->content_type = "application/problem+json";
    reply->body =
        http_problem_body(reply->status, name, title, detail, members, &reply->body_length);
    http_request_reply(request, reply);
}

static void reply_accepted(struct http_request *request, const struct event *save)
{
    bool is_stored = save->outcome == EVENT_STORED;
    struct buffer body;
    buffer_init(&body, REPLY_BYTES_MAX);
    (void)buffer_reserve(&body, save->body_length + 2 * save->message_id_length + 64);
    buffer_append_text(&body, "{\"success\":true,\"data\":");
    buffer_append(&body, save->body, save->body_length);
    buffer_append_text(&body, ",\"id\":");
    append_string(&body, (struct slice){save->message_id, save->message_id_length});
    buffer_append_text(&body, is_stored ? ",\"stored\":\"outbox\"}\n" : "}\n");
    struct http_reply reply = {.status = is_stored ? 202 : 200, .content_type = "application/json"};
    reply_with(request, &reply, &body);
}

void reply_to_unknown_save(struct http_request *request, const struct event *save,
                           struct reply_metrics *metrics)
{
    struct http_reply reply = {.status = 504};
    struct buffer members;
    metric_add(&metrics->saves[EVENT_UNKNOWN], 1);
    buffer_init(&members, REPLY_BYTES_MAX);
    buffer_append_text(&members, ",\"outcome\":\"unknown\",\"id\":");
    append_string(&members, (struct slice){save->message_id, save->message_id_length});
    size_t length = 0;
    char *text = buffer_take(&members, &length);
    reply_problem_with(request, &reply, "unknown-outcome", "Gateway Timeout",
                       "it was not confirmed in time; the user may have been saved: send it again "
                       "with this id as the Idempotency-Key",
                       text == NULL ? "" : text);
    free(text);
}

void reply_refused(struct http_request *request, enum event_outcome outcome,
                   struct reply_metrics *metrics)
{
    char members[64];
    struct http_reply reply = {.status = 503, .retry_after_s = REPLY_RETRY_AFTER_S};
    metric_add(&metrics->saves[outcome], 1);
    snprintf(members, sizeof(members), ",\"reason\":\"%s\"", refusals[outcome].reason);
    reply_problem_with(request, &reply, "unavailable", "Service Unavailable",
                       refusals[outcome].detail, members);
}

void reply_to_save(struct http_request *request, const struct event *save,
                   struct reply_metrics *metrics)
{
    switch (save->outcome) {
    case EVENT_CONFIRMED:
    case EVENT_STORED:
        metric_add(&metrics->saves[save->outcome], 1);
        reply_accepted(request, save);
        return;
    case EVENT_UNKNOWN:
        reply_to_unknown_save(request, save, metrics);
        return;
    case EVENT_DISCONNECTED:
    case EVENT_BLOCKED:
    case EVENT_NACKED:
    case EVENT_UNROUTABLE:
    case EVENT_OVERLOADED:
    case EVENT_DRAINING:
    case EVENT_OUTBOX_FULL:
        reply_refused(request, save->outcome, metrics);
        return;
    case EVENT_OUTCOMES:
        break;
    }
}

void reply_malformed(struct http_request *request, const char *name, const char *detail,
                     struct reply_metrics *metrics)
{
    metric_add(&metrics->saves[REPLY_INVALID], 1);
    http_request_reply_problem(request, 400, name, "Bad Request", detail);
}

void reply_key_reused(struct http_request *request, struct reply_metrics *metrics)
{
    metric_add(&metrics->saves[REPLY_INVALID], 1);
    http_request_reply_problem(request, 422, "idempotency-key-reused", "Unprocessable Content",
                               "another user was sent with this Idempotency-Key; not saved");
}

void reply_wrong_media_type(struct http_request *request, struct reply_metrics *metrics)
{
    metric_add(&metrics->saves[REPLY_INVALID], 1);
    http_request_reply_problem(
        request, 415, "unsupported-media-type", "Unsupported Media Type",
        "send application/json or application/x-www-form-urlencoded, without Content-Encoding");
}

void reply_large_user(struct http_request *request, size_t bytes, size_t bytes_max,
                      struct reply_metrics *metrics)
{
    char detail[128];
    snprintf(detail, sizeof(detail),
             "as a message this user has %zu bytes; RabbitMQ takes at most %zu", bytes, bytes_max);
    metric_add(&metrics->saves[REPLY_INVALID], 1);
    http_request_reply_problem(request, 413, "user-too-large", "Content Too Large", detail);
}

void reply_invalid_user(struct http_request *request, const struct user_problems *problems,
                        struct reply_metrics *metrics)
{
    struct http_reply reply = {.status = 422};
    struct buffer members;
    metric_add(&metrics->saves[REPLY_INVALID], 1);
    buffer_init(&members, REPLY_BYTES_MAX);
    buffer_append_text(&members, ",\"errors\":[");
    for (size_t i = 0; i < problems->count; i++) {
        buffer_append_text(&members, i == 0 ? "{\"pointer\":" : ",{\"pointer\":");
        append_string(&members, slice_of(problems->items[i].pointer));
        buffer_append_text(&members, ",\"detail\":");
        append_string(&members, slice_of(problems->items[i].detail));
        buffer_append_byte(&members, '}');
    }
    buffer_append_byte(&members, ']');
    size_t length = 0;
    char *text = buffer_take(&members, &length);
    reply_problem_with(request, &reply, "invalid-user", "Unprocessable Content",
                       "this is not a user: see errors", text == NULL ? "" : text);
    free(text);
}

#define ROW(...) METRIC_ROW(struct reply_metrics, __VA_ARGS__)
METRIC_TABLE(append_metrics, struct reply_metrics, REPLY_METRICS(ROW))

void reply_append_metrics(const struct reply_metrics *metrics, struct buffer *text)
{
    append_metrics(text, metrics);
}
