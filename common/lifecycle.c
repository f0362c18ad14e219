/* Signals, configuration, log and exit codes of a service. */
#include "common/lifecycle.h"

#include "common/broker.h"
#include "common/log.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static void stop_signals(sigset_t *ret_signals)
{
    sigemptyset(ret_signals);
    sigaddset(ret_signals, SIGTERM);
    sigaddset(ret_signals, SIGINT);
    sigaddset(ret_signals, SIGHUP);
}

int lifecycle_fail(const struct options_program *program, enum outcome outcome,
                   const struct error *error)
{
    fprintf(stderr, "%s: %s\n", program->name, error->text);
    return outcome == OUTCOME_INVALID ? EXIT_CONFIGURATION : EXIT_RUN_TIME;
}

bool lifecycle_begin(const struct options_program *program, int argc, char **argv, void *settings,
                     const struct common_settings *common, int *ret_exit_code)
{
    sigset_t signals;
    stop_signals(&signals);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN); /* a reader of the log or a client that left is an error, no death */

    struct error error;
    enum options_action action = OPTIONS_RUN;
    enum outcome outcome = options_load(program, argc, argv, settings, &action, &error);
    if (outcome == OUTCOME_OK && action == OPTIONS_EXIT) {
        *ret_exit_code = EXIT_OK;
        return false;
    }
    if (outcome == OUTCOME_OK) {
        outcome = common_settings_check(common, &error);
    }
    if (outcome != OUTCOME_OK) {
        *ret_exit_code = lifecycle_fail(program, outcome, &error);
        return false;
    }
    if (action == OPTIONS_CHECK_CONFIG) {
        puts("configuration is valid");
        *ret_exit_code = EXIT_OK;
        return false;
    }
    log_init(program->name, (enum log_format)common->log_format, (enum log_level)common->log_level,
             STDERR_FILENO);
    return true;
}

void lifecycle_log_started(const struct common_settings *common)
{
    log_at(
        LOG_LEVEL_INFO, "service.started", log_string("version", PROJECT_VERSION),
        log_string("listen", common->listen), log_string("queue", common->queue),
        log_string("queue_type", common->queue_type == BROKER_QUEUE_QUORUM ? "quorum" : "classic"));
}

void lifecycle_wait_for_stop(void)
{
    sigset_t signals;
    int number = 0;
    stop_signals(&signals);
    do {
        sigwait(&signals, &number);
    } while (number == SIGHUP);
    log_at(LOG_LEVEL_INFO, "service.draining",
           log_string("signal", number == SIGTERM ? "SIGTERM" : "SIGINT"));
}

int lifecycle_end(bool drained)
{
    if (!drained) {
        log_at(LOG_LEVEL_ERROR, "service.drain_timeout",
               log_string("error", "not everything ended within --drain-timeout"));
        return EXIT_RUN_TIME;
    }
    log_event(LOG_LEVEL_INFO, "service.stopped", NULL, 0);
    return EXIT_OK;
}
