/* One function for each path. */
#include "session-service/routes.h"

#include "common/http_status.h"

bool routes_is_ready(void *context, struct error *ret_reason)
{
    struct routes *routes = context;
    if (http_server_is_draining(routes->server)) {
        error_set(ret_reason, OUTCOME_OK, "draining");
        return false;
    }
    return consumer_is_ready(routes->consumer, ret_reason);
}

static void get_readyz(struct http_request *request, void *context)
{
    struct error reason;
    if (!routes_is_ready(context, &reason)) {
        http_reply_not_ready(request, reason.text);
    } else {
        http_reply_text(request, "application/json", "{\"status\":\"ready\"}\n");
    }
}

static void get_metrics(struct http_request *request, void *context)
{
    struct routes *routes = context;
    struct buffer text;
    buffer_init(&text, HTTP_METRICS_BYTES_MAX);

    struct metric_row consumer_rows[CONSUMER_METRIC_ROWS];
    consumer_status_metric_rows(routes->status, consumer_rows);
    metrics_render(&text, consumer_rows, CONSUMER_METRIC_ROWS);

    metric_counter consumer_attempts = consumer_connect_attempts(routes->consumer);
    metric_counter dead_letter_attempts = consumer_dead_letter_attempts(routes->consumer);
    const char *name = "broker_connect_attempts_total";
    const struct metric_row attempt_rows[] = {
        {name, "connection=\"consumer\"", "Attempts to connect, failed ones included.",
         METRIC_COUNTER, &consumer_attempts, 0},
        {name, "connection=\"dead-letters\"", "", METRIC_COUNTER, &dead_letter_attempts, 0},
    };
    metrics_render(&text, attempt_rows, 2);

    http_reply_metrics(request, routes->server, &text);
}

static void get_sessions(struct http_request *request, void *context)
{
    sessions_list(request, ((struct routes *)context)->sessions);
}

static void get_session(struct http_request *request, void *context)
{
    sessions_get(request, ((struct routes *)context)->sessions);
}

static void delete_session(struct http_request *request, void *context)
{
    sessions_end(request, ((struct routes *)context)->sessions);
}

static void get_user(struct http_request *request, void *context)
{
    sessions_get_user(request, ((struct routes *)context)->sessions);
}

void routes_on_wake(void *context)
{
    sessions_reply_completed(((struct routes *)context)->sessions);
}

const struct http_route routes_table[] = {
    {.method = "GET", .path = "/healthz", .handle = http_get_healthz, .open = true},
    {.method = "GET", .path = "/readyz", .handle = get_readyz},
    {.method = "GET", .path = "/metrics", .handle = get_metrics},
    {.method = "GET", .path = "/sessions", .handle = get_sessions},
    {.method = "GET", .path = "/sessions/", .handle = get_session},
    {.method = "DELETE", .path = "/sessions/", .handle = delete_session},
    {.method = "GET", .path = "/users/", .handle = get_user},
};
const size_t routes_count = sizeof(routes_table) / sizeof(routes_table[0]);
