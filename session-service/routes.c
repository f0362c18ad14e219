/* One function for each path. */
#include "session-service/routes.h"

#include "common/http/http_common_routes.h"

bool routes_is_ready(void *context, struct error *ret_reason)
{
    struct routes *routes = context;
    if (http_server_is_draining(routes->server)) {
        error_set(ret_reason, OUTCOME_OK, "draining");
        return false;
    }
    return worker_makes_progress(consumer_worker(routes->consumer), ret_reason) &&
           worker_makes_progress(sessions_worker(routes->sessions), ret_reason) &&
           worker_makes_progress(http_server_worker(routes->server), ret_reason) &&
           consumer_is_ready(routes->consumer, ret_reason);
}

bool routes_stand_by(void *context)
{
    return consumer_status_stands_by(((struct routes *)context)->status);
}

static void get_readyz(struct http_request *request, void *context)
{
    struct error reason = {.text = ""};
    struct error warning;
    bool is_ready = routes_is_ready(context, &reason);
    consumer_warning(((struct routes *)context)->consumer, &warning);
    if (is_ready && reason.text[0] != '\0') {
        http_reply_standby(request, reason.text, warning.text);
    } else {
        http_reply_readiness(request, is_ready, reason.text, warning.text);
    }
}

#define ROW(...) METRIC_ROW(struct routes_metrics, __VA_ARGS__)
METRIC_TABLE(append_own_metrics, struct routes_metrics, ROUTES_METRICS(ROW))

static void get_metrics(struct http_request *request, void *context)
{
    struct routes *routes = context;
    struct buffer text;
    buffer_init(&text, HTTP_METRICS_BYTES_MAX);

    const struct routes_metrics own = {
        .attempts = {
            [CONNECTION_CONSUMER] = consumer_connect_attempts(routes->consumer),
            [CONNECTION_DEAD_LETTERS] = consumer_dead_letter_attempts(routes->consumer),
        }};
    consumer_status_append_metrics(routes->status, &text);
    append_own_metrics(&text, &own);
    http_reply_metrics(request, routes->server, &text);
}

/* The file is the other process's until that one has ended. */
static bool has_store(struct http_request *request, const struct routes *routes)
{
    if (consumer_status_has_store(routes->status)) {
        return true;
    }
    http_request_reply_problem(request, 503, "store-unavailable", "Service Unavailable",
                               "this session-service stands by: another process has the store");
    return false;
}

static void get_sessions(struct http_request *request, void *context)
{
    struct routes *routes = context;
    if (has_store(request, routes)) {
        sessions_list(request, routes->sessions);
    }
}

static void ask(struct http_request *request, struct routes *routes, enum question question)
{
    if (has_store(request, routes)) {
        sessions_ask(request, routes->sessions, question);
    }
}

static void get_session(struct http_request *request, void *context)
{
    ask(request, context, ASK_SESSION);
}

static void delete_session(struct http_request *request, void *context)
{
    ask(request, context, ASK_END_SESSION);
}

static void get_user(struct http_request *request, void *context)
{
    ask(request, context, ASK_USER);
}

void routes_on_wake(void *context)
{
    sessions_reply(((struct routes *)context)->sessions);
}

const struct http_route routes_table[] = {
    {.method = "GET", .path = "/healthz", .handle = http_get_healthz},
    {.method = "GET", .path = "/readyz", .handle = get_readyz},
    {.method = "GET", .path = "/metrics", .handle = get_metrics},
    {.method = "GET", .path = "/sessions", .handle = get_sessions},
    {.method = "GET", .path = "/sessions/{id}", .handle = get_session},
    {.method = "DELETE", .path = "/sessions/{id}", .handle = delete_session},
    {.method = "GET", .path = "/users/{id}", .handle = get_user},
};
const size_t routes_count = sizeof(routes_table) / sizeof(routes_table[0]);
