/* Replies of the routes that every service has. */
#include "common/http/http_common_routes.h"

#include "common/base/json_text.h"
#include "common/log/log.h"

#include <string.h>

static void reply_taken(struct http_request *request, const char *content_type, struct buffer *text)
{
    struct http_reply reply = {.status = 200, .content_type = content_type};
    reply.body = buffer_take(text, &reply.body_length);
    buffer_done(text);
    if (reply.body == NULL) {
        http_request_reply_problem(request, 503, "unavailable", "Service Unavailable",
                                   "no memory for the reply");
        return;
    }
    http_request_reply(request, &reply);
}

void http_reply_text(struct http_request *request, const char *content_type, const char *text)
{
    struct buffer copy;
    buffer_init(&copy, strlen(text));
    buffer_append_text(&copy, text);
    reply_taken(request, content_type, &copy);
}

void http_get_healthz(struct http_request *request, void *context)
{
    (void)context;
    http_reply_text(request, "application/json", "{\"status\":\"ok\"}\n");
}

static void append_member(struct buffer *body, const char *name, const char *text)
{
    if (text[0] != '\0') {
        buffer_append_format(body, ",\"%s\":\"", name);
        json_text_append_escaped(slice_of(text), body);
        buffer_append_byte(body, '"');
    }
}

static void reply_ready(struct http_request *request, const char *status, const char *reason,
                        const char *warning)
{
    bool says_why = http_request_is_trusted(request);
    struct buffer body;
    buffer_init(&body, 16 * ERROR_TEXT_BYTES);
    buffer_append_format(&body, "{\"status\":\"%s\"", status);
    append_member(&body, "detail", says_why ? reason : "");
    append_member(&body, "warning", says_why ? warning : "");
    buffer_append_text(&body, "}\n");
    reply_taken(request, "application/json", &body);
}

void http_reply_readiness(struct http_request *request, bool is_ready, const char *reason,
                          const char *warning)
{
    bool says_why = http_request_is_trusted(request);
    if (is_ready) {
        reply_ready(request, reason[0] == '\0' ? "ready" : "degraded", reason, warning);
        return;
    }
    http_request_reply_problem(
        request, 503, "not-ready", "Not Ready",
        says_why ? reason : "the service is not ready; who shows a token is told why");
}

void http_reply_standby(struct http_request *request, const char *reason, const char *warning)
{
    reply_ready(request, "standby", reason, warning);
}

#define ROW(...) METRIC_ROW(struct log_metrics, __VA_ARGS__)
METRIC_TABLE(append_log_metrics, struct log_metrics, LOG_METRICS(ROW))

void http_reply_metrics(struct http_request *request, const struct http_server *server,
                        struct buffer *text)
{
    const struct log_metrics log = {.lost_writes = log_lost_writes()};
    http_server_append_metrics(server, text);
    append_log_metrics(text, &log);
    reply_taken(request, "text/plain; version=0.0.4", text);
}
