/* Replies of the routes that every service has. */
#include "common/http_status.h"

#include "common/log.h"

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

void http_reply_metrics(struct http_request *request, const struct http_server *server,
                        struct buffer *text)
{
    struct metric_row server_rows[HTTP_METRIC_ROWS];
    http_server_metric_rows(server, server_rows);
    metrics_render(text, server_rows, HTTP_METRIC_ROWS);
    metric_counter lost_writes = log_lost_writes();
    const struct metric_row log_row = {
        "log_lost_writes_total", NULL,         "Log lines or batches that could not be written.",
        METRIC_COUNTER,          &lost_writes, 0};
    metrics_render(text, &log_row, 1);
    reply_taken(request, "text/plain; version=0.0.4", text);
}
