/* A daemon's folder for what must outlive it, held by one process at a time. */
#pragma once

#include "common/base/error.h"

enum { STATE_DIRECTORY_PATH_BYTES = 1024 };

struct state_directory {
    char path[STATE_DIRECTORY_PATH_BYTES];
    int lock_descriptor; /* held until the process ends, however it ends */
};

/* The folder to use: `option` where it is not NULL, else the first of $STATE_DIRECTORY (systemd),
 * else /var/lib/`service`. INVALID: too long. */
MUST_CHECK enum outcome state_directory_choose(const char *option, const char *service,
                                               struct state_directory *ret_directory,
                                               struct error *ret_error);

/* Creates the folder where it is missing (not its parents), and holds it. INVALID: another process
 * holds it, which is named, or it cannot be used. */
MUST_CHECK enum outcome state_directory_hold(struct state_directory *directory,
                                             struct error *ret_error);

void state_directory_release(struct state_directory *directory);
