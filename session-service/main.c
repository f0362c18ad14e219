/* The session-service: wires its parts together, waits for a signal, takes them apart. */
#include "common/base/clock.h"
#include "common/base/digest.h"
#include "common/service/lifecycle.h"
#include "session-service/consumer.h"
#include "session-service/dead_letters_command/dead_letters_command.h"
#include "session-service/log_events.h"
#include "session-service/migrate_store_command.h"
#include "session-service/routes.h"
#include "session-service/schema_command.h"
#include "session-service/settings.h"

#include <string.h>

enum { BODY_BYTES_MAX = 1024, LAST_REPLIES_WAIT_MS = 2000 };

/* Static, so that a connection attempt that must be left behind can still read it. */
static struct settings settings;
static struct state_directory directory;

static struct consumer_status status;
static struct store *store;
static struct sessions *sessions;
static struct consumer *consumer;
static struct routes routes;
static struct http_server *server;

static enum outcome choose_directory(const struct settings *wanted,
                                     struct state_directory *ret_directory, struct error *ret_error)
{
    return state_directory_choose(wanted->state_dir, settings_program.name, ret_directory,
                                  ret_error);
}

static struct store_options store_options(const struct settings *wanted)
{
    return (struct store_options){
        .directory = directory.path,
        .lock = &directory.lock,
        .url = wanted->store,
        .password_file = wanted->store_password_file,
        .partitions = wanted->inbox_partitions,
        .session_ttl_ms = wanted->session_ttl_ms,
        .inbox_retention_ms = wanted->inbox_retention_ms,
        .clock_tolerance_ms = wanted->clock_tolerance_ms,
    };
}

/* Fails where the store is none that this build knows, or the path of the state directory cannot be
 * used. */
static enum outcome check(const void *wanted, struct error *ret_error)
{
    struct state_directory unused;
    const struct store_options options = store_options(wanted);
    enum outcome outcome = store_check(&options, ret_error);
    return outcome == OUTCOME_OK ? choose_directory(wanted, &unused, ret_error) : outcome;
}

/* What only a person can mend ends the start; everything else the consumer waits for. Where another
 * process has the directory, the file is that one's. */
static enum outcome open_store(struct error *ret_error)
{
    bool is_held = false;
    struct error holder;
    enum outcome outcome = state_directory_try(&directory, &is_held, &holder);
    if (outcome != OUTCOME_OK) {
        *ret_error = holder;
        return outcome;
    }
    const struct store_options options = store_options(&settings);
    outcome = store_create(&options, &store, ret_error);
    if (outcome == OUTCOME_OK && !is_held) {
        /* Before the first request comes: none may read the file. */
        consumer_status_stand_by(&status, &holder, false);
    }
    if (outcome != OUTCOME_OK || !is_held) {
        return outcome;
    }
    outcome = store_open(store, ret_error);
    if (outcome == OUTCOME_OK || outcome == OUTCOME_INVALID) {
        return outcome;
    }
    log_at(&event_store_unavailable, log_string("error", ret_error->text));
    return OUTCOME_OK;
}

static enum outcome create(struct error *ret_error)
{
    consumer_status_init(&status);
    enum outcome outcome = digest_init(ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = choose_directory(&settings, &directory, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = open_store(ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = sessions_create(store, &sessions, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = consumer_create(&settings, &directory, store, &status, &consumer, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    const struct http_server_options options = {
        .max_body_bytes = BODY_BYTES_MAX,
        .routes = routes_table,
        .route_count = routes_count,
        .context = &routes,
        .on_wake = routes_on_wake,
    };
    outcome = lifecycle_create_server(&settings.common, &options, &server, ret_error);
    routes = (struct routes){consumer, &status, sessions, server};
    return outcome;
}

static enum outcome start(struct lifecycle_watch *ret_watch, struct error *ret_error)
{
    enum outcome outcome = create(ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    *ret_watch = (struct lifecycle_watch){
        .server = server,
        .workers = {http_server_worker(server), consumer_worker(consumer),
                    sessions_worker(sessions)},
        .worker_count = 3,
        .is_ready = routes_is_ready,
        .stands_by = routes_stand_by,
        .context = &routes,
    };
    outcome = sessions_start(sessions, http_server_worker(server), ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = http_server_start(server, ret_error);
    }
    return outcome != OUTCOME_OK ? outcome : consumer_start(consumer, ret_error);
}

static bool drain(void)
{
    struct worker *http = http_server_worker(server);
    uint64_t drain_ms = (uint64_t)settings.common.drain_timeout_ms;
    uint64_t deadline_ms =
        clock_monotonic_ms() + (uint64_t)settings.common.drain_delay_ms + drain_ms;
    worker_stop(consumer_worker(consumer));
    worker_stop(http);
    bool stopped = worker_join(consumer_worker(consumer), drain_ms, NULL);
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t left_ms = now_ms < deadline_ms ? deadline_ms - now_ms : 0;
    if (!worker_join(http, left_ms + LAST_REPLIES_WAIT_MS, NULL)) {
        return false;
    }
    return worker_end_unless_stuck(sessions_worker(sessions)) && stopped;
}

static void free_all(void)
{
    http_server_free(server);
    consumer_free(consumer);
    sessions_free(sessions);
    store_free(store);
    state_directory_release(&directory);
    consumer_status_done(&status);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "dead-letters") == 0) {
        return dead_letters_command(argc - 1, argv + 1);
    }
    if (argc > 1 && strcmp(argv[1], "migrate-store") == 0) {
        return migrate_store_command(argc - 1, argv + 1);
    }
    if (argc > 1 && strcmp(argv[1], "schema") == 0) {
        return schema_command(argc - 1, argv + 1);
    }
    const struct lifecycle_service service = {.program = &settings_program,
                                              .settings = &settings,
                                              .settings_size = sizeof(settings),
                                              .common = &settings.common,
                                              .check = check,
                                              .start = start,
                                              .drain = drain,
                                              .free = free_all};
    return lifecycle_run(&service, argc, argv);
}
