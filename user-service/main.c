/* The user-service: wires its parts together, waits for a signal, takes them apart. */
#include "common/base/digest.h"
#include "common/service/lifecycle.h"
#include "common/service/state_directory.h"
#include "user-service/routes.h"

enum { LAST_REPLIES_WAIT_MS = 2000 };

/* Static, so that a connection attempt that must be left behind can still read it. */
static struct settings settings;
static struct state_directory directory = {.lock_descriptor = -1};

struct service {
    struct outbox *outbox; /* NULL: off */
    struct publisher *publisher;
    struct routes routes;
    struct http_server *server;
};

static enum outcome open_outbox(struct service *service, struct error *ret_error)
{
    enum outcome outcome =
        state_directory_choose(settings.state_dir, settings_program.name, &directory, ret_error);
    if (settings.outbox == OUTBOX_OFF) {
        if (outcome == OUTCOME_OK) {
            outbox_tell_left_behind(&directory);
        }
        return OUTCOME_OK;
    }
    if (outcome == OUTCOME_OK) {
        outcome = state_directory_hold(&directory, ret_error);
    }
    return outcome != OUTCOME_OK
               ? outcome
               : outbox_create(&settings, directory.path, &service->outbox, ret_error);
}

static enum outcome service_start(struct service *service, struct error *ret_error)
{
    enum outcome outcome = digest_init(ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = open_outbox(service, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        struct handover *outbox = service->outbox == NULL ? NULL : outbox_arriving(service->outbox);
        outcome = publisher_create(&settings, outbox, &service->publisher, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    struct auth_tokens *tokens = NULL;
    outcome = lifecycle_read_tokens(&settings.common, &tokens, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    routes_init(&service->routes, &settings, service->publisher, service->outbox);
    const struct http_server_options options = {
        .listen = settings.common.listen,
        .tokens = tokens,
        .body_bytes_max = (size_t)settings.body_bytes_max,
        .connections_max = (unsigned)settings.common.connection_limit,
        .connections_per_address_max = (unsigned)settings.common.address_connection_limit,
        .idle_timeout_ms = (uint64_t)settings.common.idle_timeout_ms,
        .request_timeout_ms = (uint64_t)settings.common.request_timeout_ms,
        .reply_timeout_ms = (uint64_t)settings.common.reply_timeout_ms,
        .receiving_bytes_max = (size_t)settings.receive_bytes_max,
        .routes = routes_table,
        .route_count = routes_count,
        .context = &service->routes,
        .wake_descriptor = publisher_completed(service->publisher)->wake_descriptor,
        .on_wake = routes_on_wake,
        .on_turn = routes_on_turn,
        .drain_timeout_ms = (uint64_t)settings.common.drain_timeout_ms,
    };
    outcome = http_server_create(&options, &service->server, ret_error);
    if (outcome != OUTCOME_OK) {
        auth_tokens_free(tokens);
        return outcome;
    }
    service->routes.server = service->server;
    outcome = publisher_start(service->publisher, ret_error);
    if (outcome == OUTCOME_OK && service->outbox != NULL) {
        outcome = outbox_start(service->outbox, service->publisher, ret_error);
    }
    return outcome == OUTCOME_OK ? http_server_start(service->server, ret_error) : outcome;
}

/* Every accepted request is answered: what is confirmed in time with success, the rest when the
 * publisher stops, from the outbox or honestly. */
static bool service_drain(struct service *service)
{
    if (service->outbox != NULL) {
        outbox_begin_stop(service->outbox);
    }
    http_server_begin_drain(service->server);
    bool ended = http_server_wait(service->server, (uint64_t)settings.common.drain_timeout_ms);
    publisher_stop(service->publisher);
    if (service->outbox != NULL) {
        outbox_stop(service->outbox);
    }
    return ended || http_server_wait(service->server, LAST_REPLIES_WAIT_MS);
}

static void service_free(struct service *service)
{
    http_server_free(service->server);
    routes_done(&service->routes);
    outbox_free(service->outbox);
    publisher_free(service->publisher);
    state_directory_release(&directory);
}

int main(int argc, char **argv)
{
    int exit_code = EXIT_OK;
    if (!lifecycle_begin(&settings_program, argc, argv, &settings, &settings.common, &exit_code)) {
        return exit_code;
    }
    static struct service service;
    struct error error;
    enum outcome outcome = service_start(&service, &error);
    if (outcome != OUTCOME_OK) {
        return lifecycle_fail(&settings_program, outcome, &error);
    }
    lifecycle_log_started(&settings.common, service.server);
    const struct lifecycle_watch watch = {
        .common = &settings.common,
        .server = service.server,
        .loops = {{"http", http_server_turns(service.server)},
                  {"publisher", publisher_turns(service.publisher)},
                  {"outbox", service.outbox == NULL ? NULL : outbox_turns(service.outbox)}},
        .loop_count = service.outbox == NULL ? 2 : 3,
        .is_ready = routes_is_ready,
        .context = &service.routes,
    };
    lifecycle_wait_for_stop(&watch);
    bool drained = service_drain(&service);
    if (drained) {
        service_free(&service);
    }
    return lifecycle_end(drained);
}
