/* The lifecycle is how both services begin and end: signals, configuration, the log, exit codes.
 * Main thread only. */
#pragma once

#include "common/http/http_server.h"
#include "common/service/common_settings.h"
#include "common/threads/worker.h"

enum { EXIT_OK = 0, EXIT_RUN_TIME = 1, EXIT_CONFIGURATION = 2 };

/* Disables core dumps, keeps the files of the process from other users, and ignores the signals
 * that would end the process although they ask for nothing, such as SIGPIPE. Opens /dev/null in
 * place of a closed standard descriptor. lifecycle_run() does it too. */
void lifecycle_protect_process(void);

/* Says on standard error why the service cannot run. Returns the exit code. */
int lifecycle_fail(const struct options_program *program, enum outcome outcome,
                   const struct error *error);

/* A handler, with SA_RESETHAND and SA_NODEFER, of a signal that is to end the process at once. */
void lifecycle_end_at_once(int number);

/* Calls http_server_create() with what the common settings say. `options` has the rest. */
MUST_CHECK enum outcome lifecycle_create_server(const struct common_settings *common,
                                                const struct http_server_options *options,
                                                struct http_server **ret_server,
                                                struct error *ret_error);

enum { LIFECYCLE_WORKERS_MAX = 4 };

/* What the main thread watches while the others work. */
struct lifecycle_watch {
    struct http_server *server;
    /* Each worker takes a turn at least once a second. The watchdog is fed while all of them do. */
    const struct worker *workers[LIFECYCLE_WORKERS_MAX];
    size_t worker_count;
    /* Returns whether the service is ready, and if not, why. True with a reason means degraded. */
    bool (*is_ready)(void *context, struct error *ret_reason);
    /* Returns whether a service that is ready only waits to take over from another one. May be
     * NULL: it never does. */
    bool (*stands_by)(void *context);
    void *context;
};

struct lifecycle_service {
    const struct options_program *program;
    void *settings; /* of the program: written before check() */
    size_t settings_size;
    const struct common_settings *common; /* the common part of the settings */
    /* What neither a row of the options nor common_settings_check() can check of the settings,
     * which are of the program, and may be others than those above. INVALID: what is wrong. It
     * changes nothing, because it runs for --check-config and for each reload too. */
    enum outcome (*check)(const void *settings, struct error *ret_error);
    enum outcome (*start)(struct lifecycle_watch *ret_watch, struct error *ret_error);
    /* Returns false if a thread did not end in time. Then nothing may be freed. */
    bool (*drain)(void);
    void (*free)(void);
};

/* The main() of a service. Blocks the signals that it waits for (threads inherit that), reads and
 * checks the settings, starts the log and the service, and reports the state of the service to the
 * service manager. Reads the tokens again on SIGHUP. Drains at SIGTERM, SIGINT or SIGQUIT; another
 * one of them ends the process at once. Returns the exit code. */
MUST_CHECK int lifecycle_run(const struct lifecycle_service *service, int argc, char **argv);
