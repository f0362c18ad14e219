/* A reload (SIGHUP) reads the tokens again, and finds out which options have changed since the
 * start: those take force only with a restart. Main thread only. */
#pragma once

#include "common/http/http_server.h"
#include "common/service/common_settings.h"

enum { RELOAD_STATUS_BYTES = ERROR_TEXT_BYTES + 64 };

/* What is read, and how a start checks it. */
struct reload_source {
    const struct options_program *program;
    size_t settings_size, common_at;      /* where the common part is in the settings */
    const struct common_settings *common; /* of the settings that are in force */
    enum outcome (*check)(const void *settings, struct error *ret_error);
};

struct reload {
    struct reload_source source;
    int argc;
    char **argv;  /* borrowed; secrets are overwritten there, and so they are each time */
    void *loaded; /* settings: what the sources said at the start; owned; NULL: not to be known */
    struct auth_tokens *tokens; /* those in force, to compare with; owned; NULL: none */
    unsigned count;
    char status[RELOAD_STATUS_BYTES]; /* what became of the last one; "": there was none */
};

/* Reads the tokens that the settings name, NULL if they name none. Any thread. */
MUST_CHECK enum outcome reload_read_tokens(const struct common_settings *common,
                                           struct auth_tokens **ret_tokens,
                                           struct error *ret_error);

/* Remembers what the options and the tokens are now. To be called once the settings of the service
 * were loaded from these arguments and checked. After a failure call reload_done() too. */
MUST_CHECK enum outcome reload_init(struct reload *reload, const struct reload_source *source,
                                    int argc, char **argv, struct error *ret_error);

/* Does one: writes the log and reload->status. It fails where a start would refuse the options, and
 * then nothing is changed, and whoever had access keeps it. */
void reload_run(struct reload *reload, struct http_server *server);

void reload_done(struct reload *reload);
