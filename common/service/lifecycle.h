/* How a service begins and ends, the same for both: signals, configuration, the log, exit codes.
 * Main thread only. */
#pragma once

#include "common/http/http_server.h"
#include "common/service/common_settings.h"

enum { EXIT_OK = 0, EXIT_RUN_TIME = 1, EXIT_CONFIGURATION = 2 };

/* No core, and no death by a reader that has left. lifecycle_begin() does it too. */
void lifecycle_protect_process(void);

/* Blocks the signals that lifecycle_wait_for_stop() waits for (threads inherit that), reads the
 * options into `settings`, checks them and starts the log. `common` is the common part of
 * `settings`. Returns true where the service is to run; else *ret_exit_code is what main() returns,
 * and what there is to say has been said. */
MUST_CHECK bool lifecycle_begin(const struct options_program *program, int argc, char **argv,
                                void *settings, const struct common_settings *common,
                                int *ret_exit_code);

/* Says on standard error why the service cannot run. Returns the exit code. */
int lifecycle_fail(const struct options_program *program, enum outcome outcome,
                   const struct error *error);

void lifecycle_log_started(const struct common_settings *common, const struct http_server *server);

/* Reads --auth-token-file; NULL in *ret_tokens where there is none. */
MUST_CHECK enum outcome lifecycle_read_tokens(const struct common_settings *common,
                                              struct auth_tokens **ret_tokens,
                                              struct error *ret_error);

enum { LIFECYCLE_LOOPS_MAX = 4 };

/* What the main thread watches while the others work. */
struct lifecycle_watch {
    const struct common_settings *common;
    struct http_server *server;
    /* Each loop counts its turns, at least one a second: the watchdog is fed while all do. */
    struct lifecycle_loop {
        const char *name;
        const atomic_uint_least64_t *turns;
    } loops[LIFECYCLE_LOOPS_MAX];
    size_t loop_count;
    /* Whether the service is ready, and why not; or ready with a reason: degraded. */
    bool (*is_ready)(void *context, struct error *ret_reason);
    void *context;
};

/* Tells the service manager that the service serves, keeps it informed, reads the tokens again on
 * SIGHUP, and returns at SIGTERM or SIGINT. */
void lifecycle_wait_for_stop(const struct lifecycle_watch *watch);

/* Logs the end. `drained`: everything ended in time. Returns the exit code. */
int lifecycle_end(bool drained);
