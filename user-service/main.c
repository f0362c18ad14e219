/* The user-service: wires its parts together, waits for a signal, takes them apart. */
#include "common/base/digest.h"
#include "common/service/lifecycle.h"
#include "common/service/state_directory.h"
#include "user-service/log_events.h"
#include "user-service/routes.h"

enum { LAST_REPLIES_WAIT_MS = 2000, LAST_KEYS_WAIT_MS = 1000 };

/* Static, so that a connection attempt that must be left behind can still read it. */
static struct settings settings;
static struct state_directory directory = {.lock_descriptor = -1};

static struct outbox *outbox;         /* NULL: off */
static struct key_writer *key_writer; /* NULL: keys are in memory only */
static struct publisher *publisher;
static struct routes routes;
static struct http_server *server;

/* Fails where the path of the state directory cannot be used. Without an outbox the service needs
 * no directory: the path stays empty. */
static enum outcome choose_directory(const struct settings *wanted,
                                     struct state_directory *ret_directory, struct error *ret_error)
{
    enum outcome outcome =
        state_directory_choose(wanted->state_dir, settings_program.name, ret_directory, ret_error);
    return wanted->outbox == OUTBOX_OFF ? OUTCOME_OK : outcome;
}

static enum outcome check(const void *wanted, struct error *ret_error)
{
    struct state_directory unused;
    enum outcome outcome = settings_check(wanted, ret_error);
    return outcome == OUTCOME_OK ? choose_directory(wanted, &unused, ret_error) : outcome;
}

static enum outcome open_outbox(struct error *ret_error)
{
    if (settings.outbox == OUTBOX_OFF) {
        if (directory.path[0] != '\0') {
            outbox_log_left_behind(&directory);
        }
        return OUTCOME_OK;
    }
    enum outcome outcome = state_directory_hold(&directory, ret_error);
    return outcome != OUTCOME_OK ? outcome
                                 : outbox_create(&settings, &directory, &outbox, ret_error);
}

/* Without an outbox the service needs no directory, and says what it cannot do without one. */
static enum outcome create_key_writer(struct error *ret_error)
{
    struct error error = {.text = ""};
    if (settings.idempotency_keys == 0) {
        return OUTCOME_OK;
    }
    if (outbox == NULL && state_directory_hold(&directory, &error) != OUTCOME_OK) {
        log_at(&event_keys_in_memory, log_string("error", error.text));
        return OUTCOME_OK;
    }
    return key_writer_create(&directory, &key_writer, ret_error);
}

static enum outcome create(struct error *ret_error)
{
    enum outcome outcome = digest_init(ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = choose_directory(&settings, &directory, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = open_outbox(ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = create_key_writer(ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = publisher_create(&settings, outbox == NULL ? NULL : outbox_worker(outbox),
                                   &publisher, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    routes_init(&routes, &settings, publisher, outbox, key_writer);
    outcome = acceptor_restore(&routes.acceptor, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    const struct http_server_options options = {
        .max_body_bytes = (size_t)settings.max_body_bytes,
        .receiving_bytes_max = (size_t)settings.max_receive_bytes,
        .routes = routes_table,
        .route_count = routes_count,
        .context = &routes,
        .on_wake = routes_on_wake,
        .on_turn = routes_on_turn,
    };
    outcome = lifecycle_create_server(&settings.common, &options, &server, ret_error);
    routes.server = server;
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
        .workers = {http_server_worker(server), publisher_worker(publisher)},
        .worker_count = 2,
        .is_ready = routes_is_ready,
        .context = &routes,
    };
    outcome = publisher_start(publisher, http_server_worker(server), ret_error);
    if (outcome == OUTCOME_OK && outbox != NULL) {
        ret_watch->workers[ret_watch->worker_count++] = outbox_worker(outbox);
        outcome = outbox_start(outbox, publisher, ret_error);
    }
    if (outcome == OUTCOME_OK && key_writer != NULL) {
        ret_watch->workers[ret_watch->worker_count++] = key_writer_worker(key_writer);
        outcome = key_writer_start(key_writer, publisher, ret_error);
    }
    return outcome == OUTCOME_OK ? http_server_start(server, ret_error) : outcome;
}

/* What it has goes to the publisher. A disk that hangs does not keep that from ending. */
static void stop_key_writer(void)
{
    worker_stop(key_writer_worker(key_writer));
    (void)!worker_join(key_writer_worker(key_writer), LAST_KEYS_WAIT_MS, NULL);
}

/* Nobody waits for a disk that hangs: whoever was answered with success does not depend on it. */
static bool end_writers(void)
{
    bool keys_ended = key_writer == NULL || worker_end_unless_stuck(key_writer_worker(key_writer));
    return (outbox == NULL || worker_end_unless_stuck(outbox_worker(outbox))) && keys_ended;
}

/* Every accepted request is answered: what is confirmed in time with success, the rest when the
 * publisher stops, from the outbox or honestly. */
static bool drain(void)
{
    struct worker *http = http_server_worker(server);
    if (outbox != NULL) {
        outbox_end_forwarding(outbox);
    }
    worker_stop(http);
    uint64_t longest_ms =
        (uint64_t)settings.common.drain_delay_ms + (uint64_t)settings.common.drain_timeout_ms;
    bool ended = worker_join(http, longest_ms, NULL);
    if (key_writer != NULL) {
        stop_key_writer();
    }
    worker_end(publisher_worker(publisher));
    bool have_written = end_writers();
    return (ended || worker_join(http, LAST_REPLIES_WAIT_MS, NULL)) && have_written;
}

static void free_all(void)
{
    routes_done(&routes);
    http_server_free(server);
    outbox_free(outbox);
    key_writer_free(key_writer);
    publisher_free(publisher);
    state_directory_release(&directory);
}

int main(int argc, char **argv)
{
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
