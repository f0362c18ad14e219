/* Replies of the routes that every service has. */
#include "common/http/http_status.h"

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

void http_reply_not_ready(struct http_request *request, const char *reason)
{
    http_request_reply_problem(request, 503, "not-ready", "Not Ready", reason);
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
