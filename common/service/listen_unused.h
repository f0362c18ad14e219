/* Whether the option listen has an effect. Sockets that systemd passes are used instead of it, and
 * whoever has set it is to be told. */
#pragma once

#include "common/service/common_settings.h"

/* Returns true if listen was set to something else than the sockets that are passed, and writes
 * what is used instead. Before the service closes its sockets. */
MUST_CHECK bool listen_is_unused(const struct options_program *program,
                                 const struct common_settings *settings, struct error *ret_why);

/* The same of a start by systemd, for a process that is not started by it: looks for a file of the
 * unit PROGRAM.socket in the folders of systemd, or in those of $SYSTEMD_UNIT_PATH. */
MUST_CHECK bool listen_would_be_unused(const struct options_program *program,
                                       const struct common_settings *settings,
                                       struct error *ret_why);
