/* The state directory is the folder for what must outlive the daemon. One process at a time holds
 * it. */
#pragma once

#include "common/base/error.h"
#include "common/base/named_file.h"

#include <stdbool.h>

enum { STATE_DIRECTORY_PATH_BYTES = 1024 };

struct state_directory {
    char path[STATE_DIRECTORY_PATH_BYTES];
    bool is_awaited;        /* another process was found to hold it: nothing is created any more */
    int lock_descriptor;    /* held until the process ends, however it ends */
    struct named_file lock; /* while it stands under its name, no other process gets hold of it */
};

/* Chooses the folder: `option` if it is not NULL, else the first of $STATE_DIRECTORY (systemd),
 * else /var/lib/`service`. INVALID: its path is too long. */
MUST_CHECK enum outcome state_directory_choose(const char *option, const char *service,
                                               struct state_directory *ret_directory,
                                               struct error *ret_error);

/* Creates the folder if it is missing (not its parents), and holds it. INVALID: another process
 * holds it (the text names that process), or it cannot be used. */
MUST_CHECK enum outcome state_directory_hold(struct state_directory *directory,
                                             struct error *ret_error);

/* Does the same, but where another process holds it, it returns OK and *ret_is_held is false;
 * `ret_error` names that process. From then on the folder is not created: who has moved it away
 * does not want another one. */
MUST_CHECK enum outcome state_directory_try(struct state_directory *directory, bool *ret_is_held,
                                            struct error *ret_error);

void state_directory_release(struct state_directory *directory);
