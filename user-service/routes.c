/* One function for each path. */
#include "user-service/routes.h"

#include "common/http/http_common_routes.h"

#include <stdio.h>

#define INIT_ENDPOINT(argument, name, method, path, done_text, invalid_text, ...)                  \
    routes->name = (struct endpoint){                                                              \
        .done = (done_text), .invalid = (invalid_text), .replies = routes->replies.name};

void routes_init(struct routes *routes, const struct settings *settings,
                 struct publisher *publisher, struct outbox *outbox, struct key_writer *key_writer)
{
    routes->outbox = outbox;
    acceptor_init(&routes->acceptor, settings, publisher, key_writer);
    ENDPOINTS(INIT_ENDPOINT, )
}

void routes_done(struct routes *routes)
{
    acceptor_done(&routes->acceptor);
}

static void get_users(struct http_request *request, void *context)
{
    (void)context;
    http_reply_text(request, "application/json",
                    "{\"success\":true,\"message\":\"users base route\"}\n");
}

/* What there is no room for costs nothing: the endpoint does not look at the request. */
static void handle_at(struct http_request *request, struct routes *routes,
                      const struct endpoint *endpoint,
                      void (*handle)(struct acceptor *acceptor, const struct asker *asker))
{
    const struct asker asker = {.request = request, .endpoint = endpoint};
    if (acceptor_admits(&routes->acceptor, &asker)) {
        handle(&routes->acceptor, &asker);
    }
}

#define HANDLE_AT_ENDPOINT(argument, name, ...)                                                    \
    static void handle_##name(struct http_request *request, void *context)                         \
    {                                                                                              \
        struct routes *routes = context;                                                           \
        handle_at(request, routes, &routes->name, name##_handle);                                  \
    }
ENDPOINTS(HANDLE_AT_ENDPOINT, )

static bool loops_make_progress(const struct routes *routes, struct error *ret_reason)
{
    struct key_writer *key_writer = routes->acceptor.key_writer;
    return worker_makes_progress(publisher_worker(routes->acceptor.publisher), ret_reason) &&
           worker_makes_progress(http_server_worker(routes->server), ret_reason) &&
           (routes->outbox == NULL ||
            worker_makes_progress(outbox_worker(routes->outbox), ret_reason)) &&
           (key_writer == NULL || worker_makes_progress(key_writer_worker(key_writer), ret_reason));
}

static bool files_are_in_place(const struct routes *routes, struct error *ret_reason)
{
    struct key_writer *key_writer = routes->acceptor.key_writer;
    return (routes->outbox == NULL || outbox_is_in_place(routes->outbox, ret_reason)) &&
           (key_writer == NULL || key_writer_is_in_place(key_writer, ret_reason));
}

bool routes_is_ready(void *context, struct error *ret_reason)
{
    struct routes *routes = context;
    if (http_server_is_draining(routes->server)) {
        error_set(ret_reason, OUTCOME_OK, "draining");
        return false;
    }
    if (!loops_make_progress(routes, ret_reason)) {
        return false;
    }
    if (!files_are_in_place(routes, ret_reason)) {
        return false;
    }
    if (publisher_get_state(routes->acceptor.publisher, ret_reason) == PUBLISHER_CONNECTED) {
        ret_reason->text[0] = '\0';
        return true;
    }
    struct error trouble;
    if (routes->outbox == NULL || outbox_has_room(routes->outbox, &trouble)) {
        return routes->outbox != NULL;
    }
    error_join(ret_reason, "; and ", trouble.text);
    return false;
}

static void get_readyz(struct http_request *request, void *context)
{
    enum { PREFIX_BYTES = 32 };
    struct error reason = {.text = ""};
    struct error warning;
    char text[ERROR_TEXT_BYTES + PREFIX_BYTES];
    bool is_ready = routes_is_ready(context, &reason);
    bool is_degraded = is_ready && reason.text[0] != '\0';
    (void)snprintf(text, sizeof(text), "%s%s", is_degraded ? "saves go to the outbox: " : "",
                   reason.text);
    publisher_warning(((struct routes *)context)->acceptor.publisher, &warning);
    http_reply_readiness(request, is_ready, text, warning.text);
}

#define ROW(...) METRIC_ROW(struct routes_metrics, __VA_ARGS__)
METRIC_TABLE(append_own_metrics, struct routes_metrics, ROUTES_METRICS(ROW))

#undef ROW
#define ROW(...) METRIC_ROW(struct endpoint_metrics, __VA_ARGS__)
METRIC_TABLE(append_endpoint_metrics, struct endpoint_metrics, ENDPOINT_METRICS(ROW))

static void get_metrics(struct http_request *request, void *context)
{
    struct routes *routes = context;
    struct publisher *publisher = routes->acceptor.publisher;
    struct buffer text;
    buffer_init(&text, HTTP_METRICS_BYTES_MAX);

    append_endpoint_metrics(&text, &routes->replies);
    acceptor_append_metrics(&routes->acceptor, &text);
    publisher_append_metrics(publisher, &text);
    if (routes->outbox != NULL) {
        outbox_append_metrics(routes->outbox, &text);
    }
    const struct routes_metrics own = {.attempts = {publisher_connect_attempts(publisher)}};
    append_own_metrics(&text, &own);
    http_reply_metrics(request, routes->server, &text);
}

#define ROUTE_TO_ENDPOINT(argument, name, its_method, its_path, ...)                               \
    {.method = (its_method), .path = (its_path), .handle = handle_##name},

const struct http_route routes_table[] = {
    ENDPOINTS(ROUTE_TO_ENDPOINT, ){.method = "GET", .path = "/users", .handle = get_users},
    {.method = "GET", .path = "/healthz", .handle = http_get_healthz},
    {.method = "GET", .path = "/readyz", .handle = get_readyz},
    {.method = "GET", .path = "/metrics", .handle = get_metrics},
};
const size_t routes_count = sizeof(routes_table) / sizeof(routes_table[0]);

void routes_on_wake(void *context)
{
    struct routes *routes = context;
    acceptor_take_completed(&routes->acceptor);
}

void routes_on_turn(void *context)
{
    struct routes *routes = context;
    acceptor_submit(&routes->acceptor);
    acceptor_give_up_late(&routes->acceptor);
}
