/* How a service begins and ends, the same for both: signals, configuration, the log, exit codes.
 * Main thread only. */
#pragma once

#include "common/common_settings.h"

enum { EXIT_OK = 0, EXIT_RUN_TIME = 1, EXIT_CONFIGURATION = 2 };

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

void lifecycle_log_started(const struct common_settings *common);

/* Waits for SIGTERM or SIGINT. SIGHUP does nothing yet: what is read again is read at each
 * connection. */
void lifecycle_wait_for_stop(void);

/* Logs the end. `drained`: everything ended in time. Returns the exit code. */
int lifecycle_end(bool drained);
