/* The session-service: wires its parts together, waits for a signal, takes them apart. */
#include "session-service/consumer.h"
#include "session-service/routes.h"
#include "session-service/settings.h"

#include "common/broker.h"
#include "common/clock.h"
#include "common/log.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_OK = 0, EXIT_RUN_TIME = 1, EXIT_CONFIGURATION = 2, BODY_BYTES_MAX = 1024 };

/* Static, so that a connection attempt that must be left behind can still read it. */
static struct settings settings;

struct service {
    struct consumer_status status;
    struct consumer *consumer;
    struct routes routes;
    struct http_server *server;
};

/* Threads inherit the mask, so only sigwait() sees these. */
static void block_signals(sigset_t *ret_signals)
{
    sigemptyset(ret_signals);
    sigaddset(ret_signals, SIGTERM);
    sigaddset(ret_signals, SIGINT);
    sigaddset(ret_signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, ret_signals, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int say(enum outcome outcome, const struct error *error)
{
    fprintf(stderr, "%s: %s\n", settings_program.name, error->text);
    return outcome == OUTCOME_INVALID ? EXIT_CONFIGURATION : EXIT_RUN_TIME;
}

static enum outcome service_start(struct service *service, struct error *ret_error)
{
    consumer_status_init(&service->status);
    enum outcome outcome =
        consumer_create(&settings, &service->status, &service->consumer, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    service->routes = (struct routes){.consumer = service->consumer, .status = &service->status};
    const struct http_server_options options = {
        .listen = settings.common.listen,
        .body_bytes_max = BODY_BYTES_MAX,
        .connections_max = (unsigned)settings.common.connection_limit,
        .connections_per_address_max = (unsigned)settings.common.address_connection_limit,
        .idle_timeout_s = (unsigned)((settings.common.idle_timeout_ms + 999) / 1000),
        .routes = routes_table,
        .route_count = routes_count,
        .context = &service->routes,
        .wake_descriptor = -1,
        .drain_timeout_ms = (uint64_t)settings.common.drain_timeout_ms,
    };
    outcome = http_server_create(&options, &service->server, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    service->routes.server = service->server;
    outcome = http_server_start(service->server, ret_error);
    return outcome != OUTCOME_OK ? outcome : consumer_start(service->consumer, ret_error);
}

static int wait_for_signal(const sigset_t *signals)
{
    int number = 0;
    do {
        sigwait(signals, &number);
    } while (number == SIGHUP);
    return number;
}

/* False where a thread did not end in time: then nothing may be freed. */
static bool service_drain(struct service *service)
{
    uint64_t deadline_ms = clock_monotonic_ms() + (uint64_t)settings.common.drain_timeout_ms;
    consumer_begin_stop(service->consumer);
    http_server_begin_drain(service->server);
    bool stopped = consumer_wait(service->consumer, (uint64_t)settings.common.drain_timeout_ms);
    uint64_t now_ms = clock_monotonic_ms();
    return http_server_wait(service->server, now_ms < deadline_ms ? deadline_ms - now_ms : 0) &&
           stopped;
}

static void service_free(struct service *service)
{
    http_server_free(service->server);
    consumer_free(service->consumer);
    consumer_status_done(&service->status);
}

int main(int argc, char **argv)
{
    sigset_t signals;
    block_signals(&signals);
    struct error error;
    enum options_action action = OPTIONS_RUN;
    enum outcome outcome = options_load(&settings_program, argc, argv, &settings, &action, &error);
    if (outcome == OUTCOME_OK && action == OPTIONS_EXIT) {
        return EXIT_OK;
    }
    if (outcome == OUTCOME_OK) {
        outcome = common_settings_check(&settings.common, &error);
    }
    if (outcome != OUTCOME_OK) {
        return say(outcome, &error);
    }
    if (action == OPTIONS_CHECK_CONFIG) {
        puts("configuration is valid");
        return EXIT_OK;
    }
    log_init(settings_program.name, (enum log_format)settings.common.log_format,
             (enum log_level)settings.common.log_level, STDERR_FILENO);

    static struct service service;
    outcome = service_start(&service, &error);
    if (outcome != OUTCOME_OK) {
        return say(outcome, &error);
    }
    log_at(LOG_LEVEL_INFO, "service.started", log_string("version", PROJECT_VERSION),
           log_string("listen", settings.common.listen), log_string("queue", settings.common.queue),
           log_string("queue_type",
                      settings.common.queue_type == BROKER_QUEUE_QUORUM ? "quorum" : "classic"));
    int number = wait_for_signal(&signals);
    log_at(LOG_LEVEL_INFO, "service.draining",
           log_string("signal", number == SIGTERM ? "SIGTERM" : "SIGINT"));
    bool drained = service_drain(&service);
    log_at(LOG_LEVEL_INFO, "service.stopped");
    if (drained) {
        service_free(&service);
    }
    return EXIT_OK;
}
