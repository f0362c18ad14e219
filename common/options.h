/* Options from one table: default < file (--config, INI) < environment < command line.
 *
 * The table says for each option where in the settings struct its value lives. Every program also
 * has --help, --version, --check-config and --config FILE. In the environment an option is PREFIX_
 * plus its name in upper case with '_' for '-'. The file has `name = value` lines, in no section.
 * An unknown key, a bad value or a value out of range is an error that names the source (file and
 * line, variable, or flag), the option, and what is allowed; the value of a secret is never shown.
 */
#pragma once

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_type {
    OPTION_TEXT,     /* char *, owned by the settings */
    OPTION_CHOICE,   /* int: index into choices */
    OPTION_INTEGER,  /* int64_t in [minimum, maximum] */
    OPTION_DURATION, /* int64_t milliseconds in [minimum, maximum]: 500ms, 5s, 2m, 1h */
    OPTION_SIZE,     /* int64_t bytes in [minimum, maximum]: 65536, 64KiB, 1MiB, 1GiB */
    OPTION_FLAG,     /* bool, true where it is given; takes no value; always command_line_only */
};

struct option_row {
    const char *name;       /* "confirm-timeout" */
    const char *value_name; /* "DURATION", for the help */
    enum option_type type;
    size_t offset;            /* offsetof() in the settings struct */
    const char *default_text; /* parsed like any other value; NULL: a NULL text */
    int64_t minimum, maximum;
    const char *choices;     /* "quorum|classic" */
    const char *environment; /* a second variable name, or NULL; PREFIX_NAME wins over it */
    bool secret;             /* may hold a password: never printed; and given on the command line it
                              * is overwritten in argv after parsing */
    bool command_line_only;  /* neither in the file nor in the environment */
    const char *help;        /* one line */
};

struct options_program {
    const char *name;               /* "user-service" */
    const char *environment_prefix; /* "USER_SERVICE" */
    const char *summary;            /* the first line of the help */
    const char *operands;           /* what may stand beside the options, for the usage line; NULL:
                                     * nothing */
    const struct option_row *rows;
    size_t count;
};

enum options_action {
    OPTIONS_RUN,
    OPTIONS_EXIT,         /* --help or --version was printed to standard output */
    OPTIONS_CHECK_CONFIG, /* everything was read and is valid: say so and exit 0 */
};

/* What stood beside the options: into argv, the array owned (free()). */
struct options_operands {
    char **items;
    size_t count;
};

/* Fills the zeroed `settings`, and `ret_operands`, which is NULL for a program without any. On
 * failure (OUTCOME_INVALID) the settings hold nothing to free. Main thread only. */
MUST_CHECK enum outcome options_load(const struct options_program *program, int argc, char **argv,
                                     void *settings, struct options_operands *ret_operands,
                                     enum options_action *ret_action, struct error *ret_error);

/* Frees the texts; safe on zeroed settings. Secrets are wiped first. */
void options_done(const struct options_program *program, void *settings);

/* Prints the help: one block for each row with its default, variable and range. */
void options_print_help(const struct options_program *program);
