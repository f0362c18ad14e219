/* Signals, configuration, log and exit codes of a service. */
#include "common/service/lifecycle.h"

#include "common/amqp/broker.h"
#include "common/log/log_events.h"
#include "common/service/listen_unused.h"
#include "common/service/notify.h"
#include "common/service/reload.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    TICK_MS_MAX = 1000,
    /* What asks twice within this time asks once: timeout(1) signals its child and its group. */
    SAME_REQUEST_MS = 20,
    STRAYS_TOLD_MAX = 16,
    STARTED_FIELDS_MAX = 5,
    EXIT_BY_SIGNAL = 128,   /* as a shell says it */
    AFTER_DRAIN_MS = 20000, /* last replies, what is at hand is stored, threads end */
};

/* Those that ask the service to stop. */
static const struct stop_signal {
    int number;
    const char *name;
} stop_signals[] = {{SIGTERM, "SIGTERM"}, {SIGINT, "SIGINT"}, {SIGQUIT, "SIGQUIT"}};
enum { STOP_SIGNALS = sizeof(stop_signals) / sizeof(stop_signals[0]) };

/* Each of them would end the process, and means nothing here. SIGXFSZ is also an error of the write
 * that was too much, as on a full disk. */
static const int ignored_signals[] = {SIGPIPE,   SIGUSR1, SIGUSR2, SIGXFSZ, SIGALRM,
                                      SIGVTALRM, SIGPROF, SIGIO,   SIGPWR};

static void fill_stop_signals(sigset_t *ret_signals)
{
    sigemptyset(ret_signals);
    for (size_t i = 0; i < STOP_SIGNALS; i++) {
        sigaddset(ret_signals, stop_signals[i].number);
    }
}

static void fill_awaited_signals(sigset_t *ret_signals)
{
    fill_stop_signals(ret_signals);
    sigaddset(ret_signals, SIGHUP);
}

int lifecycle_fail(const struct options_program *program, enum outcome outcome,
                   const struct error *error)
{
    fprintf(stderr, "%s%s: %s\n", log_priority(LOG_LEVEL_ERROR, STDERR_FILENO), program->name,
            error->text);
    return outcome == OUTCOME_INVALID ? EXIT_CONFIGURATION : EXIT_RUN_TIME;
}

/* Where one is closed the next file or socket would get its number, and what is printed or logged.
 * What takes its place fails as the closed one would. */
static void hold_standard_descriptors(void)
{
    for (int number = STDIN_FILENO; number <= STDERR_FILENO; number++) {
        if (fcntl(number, F_GETFD) < 0 && errno == EBADF) {
            (void)open("/dev/null", number == STDIN_FILENO ? O_WRONLY : O_RDONLY);
        }
    }
}

void lifecycle_protect_process(void)
{
    /* Memory holds people's data: no core. Lowering always works. */
    const struct rlimit none = {0};
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)umask(S_IRWXG | S_IRWXO); /* so do the files, and whoever starts us may not care */
    for (size_t i = 0; i < sizeof(ignored_signals) / sizeof(ignored_signals[0]); i++) {
        signal(ignored_signals[i], SIG_IGN);
    }
    hold_standard_descriptors();
}

static void raise_limits(void)
{
    /* --connection-limit is worth what the operator has granted, not the shell's soft limit. What
     * cannot be raised shows when descriptors run out: then accepting waits. */
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

/* Before the log begins, for a check of the configuration; else a line of the log for each. */
static void warn_of_strays(const struct options_program *program, bool is_check)
{
    struct options_stray stray;
    size_t position = 0;
    for (int told = 0; told < STRAYS_TOLD_MAX && options_next_stray(program, &position, &stray);
         told++) {
        if (is_check) {
            fprintf(stderr,
                    "%s: warning: the variable %s belongs to no option; the nearest is %s (--%s)\n",
                    program->name, stray.name, stray.nearest_variable, stray.nearest);
        } else {
            log_at(&event_service_unknown_variable, log_string("variable", stray.name),
                   log_string("nearest", stray.nearest_variable),
                   log_string("option", stray.nearest));
        }
    }
}

/* Either may be so for a check that systemd runs, and then what it passes is certain. */
static void warn_of_check(const struct lifecycle_service *service)
{
    struct error why;
    if (listen_is_unused(service->program, service->common, &why) ||
        listen_would_be_unused(service->program, service->common, &why)) {
        fprintf(stderr, "%s: warning: %s\n", service->program->name, why.text);
    }
    warn_of_strays(service->program, true);
}

/* True where the service is to run; else *ret_exit_code says how the process ends. */
static bool begin(const struct lifecycle_service *service, int argc, char **argv,
                  int *ret_exit_code)
{
    sigset_t signals;
    fill_awaited_signals(&signals);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    lifecycle_protect_process();
    raise_limits();

    struct error error;
    enum options_action action = OPTIONS_RUN;
    enum outcome outcome =
        options_load(service->program, argc, argv, service->settings, NULL, &action, &error);
    if (outcome == OUTCOME_OK && action == OPTIONS_EXIT) {
        *ret_exit_code = EXIT_OK;
        return false;
    }
    if (outcome == OUTCOME_OK) {
        outcome = common_settings_check(service->common, &error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = service->check(service->settings, &error);
    }
    if (outcome != OUTCOME_OK) {
        *ret_exit_code = lifecycle_fail(service->program, outcome, &error);
        return false;
    }
    if (action == OPTIONS_CHECK_CONFIG) {
        warn_of_check(service);
        puts("configuration is valid");
        options_print_profile(service->program, service->settings);
        *ret_exit_code = EXIT_OK;
        return false;
    }
    broker_set_program(service->program->name);
    log_init(service->program->name, service->common->log_format, service->common->log_level,
             STDERR_FILENO);
    warn_of_strays(service->program, false);
    if (listen_is_unused(service->program, service->common, &error)) {
        log_at(&event_service_listen_unused, log_string("reason", error.text));
    }
    return true;
}

static void log_started(const struct lifecycle_service *service, const struct http_server *server)
{
    const struct common_settings *common = service->common;
    char address[HTTP_ADDRESSES_BYTES];
    http_server_address(server, address);
    struct log_field fields[STARTED_FIELDS_MAX] = {
        log_string("version", PROJECT_VERSION),
        log_string("listen", address),
        log_string("queue", common->queue),
        log_string("queue_type", common->queue_type == BROKER_QUEUE_QUORUM ? "quorum" : "classic"),
    };
    size_t count = STARTED_FIELDS_MAX - 1;
    struct buffer profile;
    buffer_init(&profile, OPTIONS_PROFILE_BYTES_MAX);
    if (options_append_profile(service->program, service->settings, &profile) && !profile.failed) {
        fields[count++] = log_text(service->program->profile->option, buffer_slice(&profile));
    }
    log_event(&event_service_started, fields, count);
    buffer_done(&profile);
}

enum outcome lifecycle_create_server(const struct common_settings *common,
                                     const struct http_server_options *options,
                                     struct http_server **ret_server, struct error *ret_error)
{
    struct http_server_options all = *options;
    all.listen = common->listen;
    all.open_paths = common->open_paths;
    all.cors_origins = common->cors_origin;
    all.connections_max = (unsigned)common->connection_limit;
    all.connections_per_address_max = (unsigned)common->address_connection_limit;
    all.idle_timeout_ms = (uint64_t)common->idle_timeout_ms;
    all.request_timeout_ms = (uint64_t)common->request_timeout_ms;
    all.reply_timeout_ms = (uint64_t)common->reply_timeout_ms;
    all.drain_delay_ms = (uint64_t)common->drain_delay_ms;
    all.drain_timeout_ms = (uint64_t)common->drain_timeout_ms;
    enum outcome outcome = reload_read_tokens(common, &all.tokens, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    outcome = http_server_create(&all, ret_server, ret_error);
    if (outcome != OUTCOME_OK) {
        auth_tokens_free(all.tokens);
    }
    return outcome;
}

struct watch_state {
    uint64_t seen[LIFECYCLE_WORKERS_MAX];
    uint64_t watchdog_ms;
    bool status_known, was_ready;
    unsigned reloads;
    struct error reason;
};

/* The manager is told that we live only by the work of every loop, never by this thread alone. */
static void feed_watchdog(const struct lifecycle_watch *watch, struct watch_state *state)
{
    uint64_t turns[LIFECYCLE_WORKERS_MAX];
    for (size_t i = 0; i < watch->worker_count; i++) {
        turns[i] = atomic_load(&watch->workers[i]->turns);
        if (turns[i] == state->seen[i]) {
            return;
        }
    }
    /* cppcheck-suppress uninitvar ; as many as the loop above has written */
    memcpy(state->seen, turns, watch->worker_count * sizeof(turns[0]));
    notify_alive();
}

/* Only where something has changed. */
static void show_status(const struct lifecycle_watch *watch, const struct reload *reload,
                        struct watch_state *state)
{
    struct error reason = {.text = ""};
    bool is_ready = watch->is_ready(watch->context, &reason);
    if (state->status_known && is_ready == state->was_ready && reload->count == state->reloads &&
        strcmp(reason.text, state->reason.text) == 0) {
        return;
    }
    state->status_known = true;
    state->was_ready = is_ready;
    state->reloads = reload->count;
    state->reason = reason;
    char text[NOTIFY_STATUS_BYTES];
    bool stands_by = watch->stands_by != NULL && watch->stands_by(watch->context);
    const char *verdict = !is_ready                ? "not ready: "
                          : reason.text[0] == '\0' ? "ready; connected to the broker"
                          : stands_by              ? "stand-by: "
                                                   : "degraded: ";
    (void)snprintf(text, sizeof(text), "%s%s%s%s", verdict, reason.text,
                   reload->count > 0 ? "; " : "", reload->status);
    notify_status(text);
}

/* Returns the signal, or -1 after the time of one tick. */
static int wait_for_signal(uint64_t watchdog_ms)
{
    sigset_t signals;
    fill_awaited_signals(&signals);
    if (!notify_is_wanted()) {
        return sigwaitinfo(&signals, NULL);
    }
    long tick_ms = TICK_MS_MAX;
    if (watchdog_ms > 0 && watchdog_ms / 4 < TICK_MS_MAX) {
        tick_ms = (long)watchdog_ms / 4 + 1;
    }
    const struct timespec tick = {.tv_sec = tick_ms / 1000, .tv_nsec = tick_ms % 1000 * 1000000};
    return sigtimedwait(&signals, NULL, &tick);
}

/* The parent is to see which signal it was. The first process of a container is not ended by a
 * signal that it has no handler for, and exits instead. */
void lifecycle_end_at_once(int number)
{
    (void)raise(number);
    _exit(EXIT_BY_SIGNAL + number);
}

/* Until now the signals were blocked. No other thread takes them: those inherited the mask. */
static void let_the_next_one_end(void)
{
    sigset_t signals;
    fill_stop_signals(&signals);
    const struct timespec same_request = {.tv_nsec = SAME_REQUEST_MS * 1000000L};
    (void)nanosleep(&same_request, NULL);
    const struct timespec now = {0};
    while (sigtimedwait(&signals, NULL, &now) > 0) {
    }
    struct sigaction action = {.sa_handler = lifecycle_end_at_once,
                               .sa_flags = (int)(SA_RESETHAND | SA_NODEFER)};
    for (size_t i = 0; i < STOP_SIGNALS; i++) {
        (void)sigaction(stop_signals[i].number, &action, NULL);
    }
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
}

static const char *stop_signal_name(int number)
{
    const struct stop_signal *found = stop_signals;
    while (found->number != number) {
        found++;
    }
    return found->name;
}

static void wait_for_stop(const struct lifecycle_watch *watch, const struct common_settings *common,
                          struct reload *reload)
{
    int number = 0;
    struct watch_state state = {.watchdog_ms = notify_watchdog_ms()};
    notify_ready();
    for (;;) {
        if (notify_is_wanted()) {
            show_status(watch, reload, &state);
            if (state.watchdog_ms > 0) {
                feed_watchdog(watch, &state);
            }
        }
        number = wait_for_signal(state.watchdog_ms);
        if (number == SIGHUP) {
            notify_reloading();
            reload_run(reload, watch->server);
            notify_ready();
        } else if (number > 0) {
            break;
        }
    }
    let_the_next_one_end();
    log_at(&event_service_draining, log_string("signal", stop_signal_name(number)));
    notify_stopping((uint64_t)common->drain_delay_ms + (uint64_t)common->drain_timeout_ms +
                    AFTER_DRAIN_MS);
    notify_status("draining");
}

/* What libraries free at the exit of a process, a thread that was left behind may still use. */
static int end_process(int exit_code)
{
    if (worker_any_is_left()) {
        _exit(exit_code);
    }
    return exit_code;
}

int lifecycle_run(const struct lifecycle_service *service, int argc, char **argv)
{
    int exit_code = EXIT_OK;
    if (!begin(service, argc, argv, &exit_code)) {
        return exit_code;
    }
    struct lifecycle_watch watch;
    struct reload reload;
    struct error error;
    const struct reload_source source = {
        .program = service->program,
        .settings_size = service->settings_size,
        .common_at = (size_t)((const char *)service->common - (const char *)service->settings),
        .common = service->common,
        .check = service->check,
    };
    enum outcome outcome = reload_init(&reload, &source, argc, argv, &error);
    if (outcome == OUTCOME_OK) {
        outcome = service->start(&watch, &error);
    }
    if (outcome != OUTCOME_OK) {
        reload_done(&reload);
        return end_process(lifecycle_fail(service->program, outcome, &error));
    }
    log_started(service, watch.server);
    wait_for_stop(&watch, service->common, &reload);
    reload_done(&reload);
    if (!service->drain()) {
        log_at(&event_service_drain_timeout,
               log_string("error", "not everything ended within --drain-timeout"));
        return end_process(EXIT_RUN_TIME);
    }
    service->free();
    log_event(&event_service_stopped, NULL, 0);
    return end_process(EXIT_OK);
}
