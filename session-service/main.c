/* The session-service: wires its parts together, waits for a signal, takes them apart. */
#include "common/base/clock.h"
#include "common/base/digest.h"
#include "common/service/lifecycle.h"
#include "common/service/state_directory.h"
#include "session-service/consumer.h"
#include "session-service/dead_letters_command/dead_letters_command.h"
#include "session-service/log_events.h"
#include "session-service/routes.h"
#include "session-service/settings.h"

#include <string.h>

enum { BODY_BYTES_MAX = 1024, LAST_REPLIES_WAIT_MS = 2000 };

/* Static, so that a connection attempt that must be left behind can still read it. */
static struct settings settings;
static struct state_directory directory;

struct service {
    struct consumer_status status;
    struct store *store;
    struct sessions *sessions;
    struct consumer *consumer;
    struct routes routes;
    struct http_server *server;
};

/* What only a person can mend ends the start; everything else the consumer waits for. */
static enum outcome open_store(struct service *service, struct error *ret_error)
{
    enum outcome outcome =
        state_directory_choose(settings.state_dir, settings_program.name, &directory, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = state_directory_hold(&directory, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        const struct store_options options = {
            .directory = directory.path,
            .session_ttl_ms = settings.session_ttl_ms,
            .inbox_retention_ms = settings.inbox_retention_ms,
        };
        outcome = store_create(&options, &service->store, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    outcome = store_open(service->store, ret_error);
    if (outcome == OUTCOME_OK || outcome == OUTCOME_INVALID) {
        return outcome;
    }
    log_at(&event_store_unavailable, log_string("error", ret_error->text));
    return OUTCOME_OK;
}

static enum outcome service_start(struct service *service, struct error *ret_error)
{
    consumer_status_init(&service->status);
    enum outcome outcome = digest_init(ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = open_store(service, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = sessions_create(service->store, &service->sessions, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = consumer_create(&settings, service->store, &service->status, &service->consumer,
                                  ret_error);
    }
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    struct auth_tokens *tokens = NULL;
    outcome = lifecycle_read_tokens(&settings.common, &tokens, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    service->routes = (struct routes){
        .consumer = service->consumer, .status = &service->status, .sessions = service->sessions};
    const struct http_server_options options = {
        .listen = settings.common.listen,
        .tokens = tokens,
        .body_bytes_max = BODY_BYTES_MAX,
        .connections_max = (unsigned)settings.common.connection_limit,
        .connections_per_address_max = (unsigned)settings.common.address_connection_limit,
        .idle_timeout_ms = (uint64_t)settings.common.idle_timeout_ms,
        .request_timeout_ms = (uint64_t)settings.common.request_timeout_ms,
        .reply_timeout_ms = (uint64_t)settings.common.reply_timeout_ms,
        .routes = routes_table,
        .route_count = routes_count,
        .context = &service->routes,
        .wake_descriptor = sessions_wake_descriptor(service->sessions),
        .on_wake = routes_on_wake,
        .drain_timeout_ms = (uint64_t)settings.common.drain_timeout_ms,
    };
    outcome = http_server_create(&options, &service->server, ret_error);
    if (outcome != OUTCOME_OK) {
        auth_tokens_free(tokens);
        return outcome;
    }
    service->routes.server = service->server;
    outcome = sessions_start(service->sessions, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = http_server_start(service->server, ret_error);
    }
    return outcome != OUTCOME_OK ? outcome : consumer_start(service->consumer, ret_error);
}

/* False where a thread did not end in time: then nothing may be freed. */
static bool service_drain(struct service *service)
{
    uint64_t deadline_ms = clock_monotonic_ms() + (uint64_t)settings.common.drain_timeout_ms;
    consumer_begin_stop(service->consumer);
    http_server_begin_drain(service->server);
    bool stopped = consumer_wait(service->consumer, (uint64_t)settings.common.drain_timeout_ms);
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t left_ms = now_ms < deadline_ms ? deadline_ms - now_ms : 0;
    if (!http_server_wait(service->server, left_ms + LAST_REPLIES_WAIT_MS)) {
        return false;
    }
    sessions_stop(service->sessions);
    return stopped;
}

static void service_free(struct service *service)
{
    http_server_free(service->server);
    consumer_free(service->consumer);
    sessions_free(service->sessions);
    store_free(service->store);
    state_directory_release(&directory);
    consumer_status_done(&service->status);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "dead-letters") == 0) {
        return dead_letters_command(argc - 1, argv + 1);
    }
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
                  {"consumer", consumer_turns(service.consumer)},
                  {"sessions", sessions_turns(service.sessions)}},
        .loop_count = 3,
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
