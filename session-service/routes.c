/* One function for each path. */
#include "session-service/routes.h"

#include "common/log.h"

#include <stdlib.h>

enum { METRICS_BYTES_MAX = 1024 * 1024, SERVICE_ROWS = 3 };

static void reply_text(struct http_request *request, const char *content_type, const char *text)
{
    struct http_reply reply = {
        .status = 200,
        .content_type = content_type,
        .body = strdup(text),
        .body_length = strlen(text),
    };
    if (reply.body == NULL) {
        http_request_reply_problem(request, 503, "unavailable", "Unavailable", "out of memory");
        return;
    }
    http_request_reply(request, &reply);
}

/* The process lives and its HTTP loop turns; that is all. */
static void get_healthz(struct http_request *request, void *context)
{
    (void)context;
    reply_text(request, "application/json", "{\"status\":\"ok\"}");
}

static void get_readyz(struct http_request *request, void *context)
{
    struct routes *routes = context;
    struct error reason;
    if (http_server_is_draining(routes->server)) {
        http_request_reply_problem(request, 503, "not-ready", "Not ready", "draining");
    } else if (!consumer_is_ready(routes->consumer, &reason)) {
        http_request_reply_problem(request, 503, "not-ready", "Not ready", reason.text);
    } else {
        reply_text(request, "application/json", "{\"status\":\"ready\"}");
    }
}

static void render_metrics(struct routes *routes, struct buffer *text)
{
    struct metric_row consumer_rows[CONSUMER_METRIC_ROWS];
    consumer_status_metric_rows(routes->status, consumer_rows);
    metrics_render(text, consumer_rows, CONSUMER_METRIC_ROWS);

    struct metric_row http_rows[HTTP_METRIC_ROWS];
    http_server_metric_rows(routes->server, http_rows);
    metrics_render(text, http_rows, HTTP_METRIC_ROWS);

    metric_counter consumer_attempts = consumer_connect_attempts(routes->consumer);
    metric_counter dead_letter_attempts = consumer_dead_letter_attempts(routes->consumer);
    metric_counter lost_writes = log_lost_writes();
    const char *attempts = "broker_connect_attempts_total";
    const struct metric_row service_rows[SERVICE_ROWS] = {
        {attempts, "connection=\"consumer\"", "Attempts to connect, failed ones included.",
         METRIC_COUNTER, &consumer_attempts, 0},
        {attempts, "connection=\"dead-letters\"", "", METRIC_COUNTER, &dead_letter_attempts, 0},
        {"log_lost_writes_total", NULL, "Log lines or batches that could not be written.",
         METRIC_COUNTER, &lost_writes, 0},
    };
    metrics_render(text, service_rows, SERVICE_ROWS);
}

static void get_metrics(struct http_request *request, void *context)
{
    struct buffer text;
    buffer_init(&text, METRICS_BYTES_MAX);
    render_metrics(context, &text);
    struct http_reply reply = {.status = 200, .content_type = "text/plain; version=0.0.4"};
    reply.body = buffer_take(&text, &reply.body_length);
    buffer_done(&text);
    if (reply.body == NULL) {
        http_request_reply_problem(request, 503, "unavailable", "Unavailable", "out of memory");
        return;
    }
    http_request_reply(request, &reply);
}

const struct http_route routes_table[] = {
    {"GET", "/healthz", get_healthz},
    {"GET", "/readyz", get_readyz},
    {"GET", "/metrics", get_metrics},
};
const size_t routes_count = sizeof(routes_table) / sizeof(routes_table[0]);
