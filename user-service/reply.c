/* Outcomes to statuses and bodies. */
#include "user-service/reply.h"

#include "common/base/json_text.h"

#include <stdio.h>
#include <stdlib.h>

enum { REPLY_BYTES_MAX = 64 * 1024 * 1024, DETAIL_BYTES = 192 };

struct refusal {
    const char *reason;
    const char *detail; /* without what was not done */
};

static const struct refusal refusals[EVENT_OUTCOMES] = {
    [EVENT_CONFIRMED] = {"confirmed", ""},
    [EVENT_DISCONNECTED] = {"disconnected", "there is no connection to the broker"},
    [EVENT_BLOCKED] = {"blocked", "the broker takes no messages at present"},
    [EVENT_NACKED] = {"nacked", "the broker refused the message"},
    [EVENT_UNROUTABLE] = {"unroutable", "the queue is missing, or is not bound to the exchange"},
    [EVENT_OVERLOADED] = {"overloaded", "too many saves are waiting"},
    [EVENT_DRAINING] = {"draining", "the service is stopping"},
    [EVENT_UNKNOWN] = {"unknown", ""},
    [EVENT_STORED] = {"stored", ""},
    [EVENT_OUTBOX_FULL] = {"outbox-full", "the outbox is full"},
    [EVENT_OUTBOX_DISPLACED] = {"outbox-displaced",
                                "the files of the outbox were removed or replaced"},
    [EVENT_OUTBOX_UNAVAILABLE] = {"outbox-unavailable", "the outbox cannot write to its file"},
    [EVENT_NO_MEMORY] = {"out-of-memory", "there is no memory for it now"},
    [EVENT_NO_ID] = {"no-id", "the system gives no random bytes for an id"},
    [EVENT_KEYS_UNAVAILABLE] = {"keys-unavailable",
                                "the Idempotency-Key cannot be written to disk"},
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
    reply->problem = name;
    reply->body =
        http_problem_body(reply->status, name, title, detail, members, &reply->body_length);
    http_request_reply(request, reply);
}

static void count(const struct asker *asker, size_t outcome)
{
    metric_add(&asker->endpoint->replies[outcome], 1);
}

static void reply_accepted(const struct event *event)
{
    bool is_stored = event->outcome == EVENT_STORED;
    struct buffer body;
    buffer_init(&body, REPLY_BYTES_MAX);
    (void)buffer_reserve(&body, event->body_length + 2 * event->message_id_length + 64);
    buffer_append_text(&body, "{\"success\":true,\"data\":");
    buffer_append(&body, event->body, event->body_length);
    buffer_append_text(&body, ",\"id\":");
    append_string(&body, (struct slice){event->message_id, event->message_id_length});
    buffer_append_text(&body, is_stored ? ",\"stored\":\"outbox\"}\n" : "}\n");
    struct http_reply reply = {.status = is_stored ? 202 : 200, .content_type = "application/json"};
    count(&event->asker, event->outcome);
    reply_with(event->asker.request, &reply, &body);
}

void reply_to_unknown_event(const struct event *event)
{
    struct http_reply reply = {.status = 504};
    char detail[DETAIL_BYTES];
    struct buffer members;
    buffer_init(&members, REPLY_BYTES_MAX);
    buffer_append_text(&members, ",\"outcome\":\"unknown\",\"id\":");
    append_string(&members, (struct slice){event->message_id, event->message_id_length});
    size_t length = 0;
    char *text = buffer_take(&members, &length);
    snprintf(detail, sizeof(detail),
             "it was not confirmed in time; the user may have been %s: send it again with this id "
             "as the Idempotency-Key",
             event->asker.endpoint->done);
    count(&event->asker, EVENT_UNKNOWN);
    reply_problem_with(event->asker.request, &reply, "unknown-outcome", "Gateway Timeout", detail,
                       text == NULL ? "" : text);
    free(text);
}

static void refuse(const struct asker *asker, enum event_outcome outcome, const char *why)
{
    char members[64], detail[DETAIL_BYTES];
    struct http_reply reply = {
        .status = 503, .reason = refusals[outcome].reason, .retry_after_s = REPLY_RETRY_AFTER_S};
    snprintf(members, sizeof(members), ",\"reason\":\"%s\"", reply.reason);
    snprintf(detail, sizeof(detail), "%s; not %s", why, asker->endpoint->done);
    count(asker, outcome);
    reply_problem_with(asker->request, &reply, "unavailable", "Service Unavailable", detail,
                       members);
}

void reply_refused(const struct asker *asker, enum event_outcome outcome)
{
    refuse(asker, outcome, refusals[outcome].detail);
}

void reply_too_many_bytes(const struct asker *asker)
{
    refuse(asker, EVENT_OVERLOADED,
           "with this one the saves that are waiting would have too many bytes");
}

/* Of one that the outbox refuses both are told: why the broker does not have it, too. */
static void refuse_event(const struct event *event)
{
    char both[DETAIL_BYTES];
    const char *detail = refusals[event->outcome].detail;
    if (event->outcome == EVENT_OUTBOX_FULL || event->outcome == EVENT_OUTBOX_UNAVAILABLE) {
        snprintf(both, sizeof(both), "%s, and %s", refusals[event->at_broker].detail, detail);
        detail = both;
    }
    refuse(&event->asker, event->outcome, detail);
}

void reply_to_event(const struct event *event)
{
    switch (event->outcome) {
    case EVENT_CONFIRMED:
    case EVENT_STORED:
        reply_accepted(event);
        return;
    case EVENT_UNKNOWN:
        reply_to_unknown_event(event);
        return;
    case EVENT_DISCONNECTED:
    case EVENT_BLOCKED:
    case EVENT_NACKED:
    case EVENT_UNROUTABLE:
    case EVENT_OVERLOADED:
    case EVENT_DRAINING:
    case EVENT_OUTBOX_FULL:
    case EVENT_OUTBOX_DISPLACED:
    case EVENT_KEYS_UNAVAILABLE:
    case EVENT_OUTBOX_UNAVAILABLE:
    case EVENT_NO_MEMORY:
    case EVENT_NO_ID:
        refuse_event(event);
        return;
    case EVENT_OUTCOMES:
        break;
    }
}

/* The request is at fault, and the reply has no members of its own. */
static void reply_fault(const struct asker *asker, unsigned status, const char *name,
                        const char *title, const char *detail)
{
    count(asker, REPLY_INVALID);
    http_request_reply_problem(asker->request, status, name, title, detail);
}

void reply_malformed(const struct asker *asker, const char *name, const char *detail)
{
    reply_fault(asker, 400, name, "Bad Request", detail);
}

void reply_key_reused(const struct asker *asker)
{
    char detail[DETAIL_BYTES];
    snprintf(detail, sizeof(detail), "another request was sent with this Idempotency-Key; not %s",
             asker->endpoint->done);
    reply_fault(asker, 422, "idempotency-key-reused", "Unprocessable Content", detail);
}

void reply_json_as_form(const struct asker *asker)
{
    reply_fault(asker, 415, "unsupported-media-type", "Unsupported Media Type",
                "this looks like JSON and was sent as a form: send it with the header "
                "Content-Type: application/json");
}

void reply_wrong_media_type(const struct asker *asker, const char *wanted)
{
    char detail[DETAIL_BYTES];
    snprintf(detail, sizeof(detail), "send %s, without Content-Encoding", wanted);
    reply_fault(asker, 415, "unsupported-media-type", "Unsupported Media Type", detail);
}

void reply_large_user(const struct asker *asker, size_t bytes, size_t bytes_max)
{
    char detail[DETAIL_BYTES];
    snprintf(detail, sizeof(detail),
             "as a message this user has %zu bytes; RabbitMQ takes at most %zu", bytes, bytes_max);
    reply_fault(asker, 413, "user-too-large", "Content Too Large", detail);
}

void reply_invalid(const struct asker *asker, const char *name,
                   const struct user_problems *problems)
{
    struct http_reply reply = {.status = 422, .pointer = problems->items[0].logged_pointer};
    struct buffer members;
    count(asker, REPLY_INVALID);
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
    reply_problem_with(asker->request, &reply, name, "Unprocessable Content",
                       asker->endpoint->invalid, text == NULL ? "" : text);
    free(text);
}
