/* A reload (SIGHUP) reads the tokens again, and finds out which options have changed since the
 * start: those take force only with a restart. Main thread only. */
#pragma once

#include "common/http/http_server.h"
#include "common/service/common_settings.h"

enum { RELOAD_STATUS_BYTES = ERROR_TEXT_BYTES + 64 };

struct reload {
    const struct options_program *program;
    int argc;
    char **argv; /* borrowed; secrets are overwritten there, and so they are each time */
    size_t settings_size;
    void *loaded; /* settings: what the sources said at the start; owned; NULL: not to be known */
    struct auth_tokens *tokens; /* those in force, to compare with; owned; NULL: none */
    unsigned count;
    char status[RELOAD_STATUS_BYTES]; /* what became of the last one; "": there was none */
};

/* Reads the tokens that the settings name, NULL if they name none. Any thread. */
MUST_CHECK enum outcome reload_read_tokens(const struct common_settings *common,
                                           struct auth_tokens **ret_tokens,
                                           struct error *ret_error);

/* Remembers what the options and the tokens are now. To be called once the settings were loaded
 * from these arguments and checked. After a failure call reload_done() too. */
MUST_CHECK enum outcome reload_init(struct reload *reload, const struct options_program *program,
                                    int argc, char **argv, size_t settings_size,
                                    const struct common_settings *common, struct error *ret_error);

/* Does one: writes the log and reload->status. Where it fails nothing is changed, and whoever had
 * access keeps it. */
void reload_run(struct reload *reload, const struct common_settings *common,
                struct http_server *server);

void reload_done(struct reload *reload);
