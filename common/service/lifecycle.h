/* How a service begins and ends, the same for both: signals, configuration, the log, exit codes.
 * Main thread only. */
#pragma once

#include "common/http/http_server.h"
#include "common/service/common_settings.h"
#include "common/threads/worker.h"

enum { EXIT_OK = 0, EXIT_RUN_TIME = 1, EXIT_CONFIGURATION = 2 };

/* No core, files of our own for nobody else, and no death by a signal that asks for nothing, such
 * as that of a reader that has left. lifecycle_run() does it too. */
void lifecycle_protect_process(void);

/* Says on standard error why the service cannot run. Returns the exit code. */
int lifecycle_fail(const struct options_program *program, enum outcome outcome,
                   const struct error *error);

/* http_server_create() with what the common settings say; `options` has the rest. */
MUST_CHECK enum outcome lifecycle_create_server(const struct common_settings *common,
                                                const struct http_server_options *options,
                                                struct http_server **ret_server,
                                                struct error *ret_error);

enum { LIFECYCLE_WORKERS_MAX = 4 };

/* What the main thread watches while the others work. */
struct lifecycle_watch {
    struct http_server *server;
    /* Each takes a turn at least once a second: the watchdog is fed while all do. */
    const struct worker *workers[LIFECYCLE_WORKERS_MAX];
    size_t worker_count;
    /* Whether the service is ready, and why not; or ready with a reason: degraded. */
    bool (*is_ready)(void *context, struct error *ret_reason);
    void *context;
};

struct lifecycle_service {
    const struct options_program *program;
    void *settings;                       /* of the program: written before start() */
    const struct common_settings *common; /* the common part of the settings */
    enum outcome (*start)(struct lifecycle_watch *ret_watch, struct error *ret_error);
    /* False where a thread did not end in time: then nothing may be freed. */
    bool (*drain)(void);
    void (*free)(void);
};

/* main() of a service. Blocks the signals that it waits for (threads inherit that), reads and
 * checks the settings, starts the log and the service, tells the service manager how the service
 * is, reads the tokens again on SIGHUP, and drains at SIGTERM, SIGINT or SIGQUIT; another one of
 * them ends the process at once. Returns the exit code. */
MUST_CHECK int lifecycle_run(const struct lifecycle_service *service, int argc, char **argv);
