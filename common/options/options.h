/* Options from one table: default < profile < file (--config, INI) < environment < command line.
 *
 * One list of a program's options declares both the members of its settings struct and the rows of
 * its table, so that the two cannot differ:
 *
 *     #define SOME_OPTIONS(OPTION)                                                         \
 *         OPTION(prefetch, INTEGER(1, 2000), "prefetch", "500", "how many at once")
 *     struct settings {
 *         SOME_OPTIONS(OPTION_MEMBER)
 *     };
 *     #define ROW(...) OPTION_ROW(struct settings, __VA_ARGS__)
 *     static const struct option_row rows[] = {SOME_OPTIONS(ROW)};
 *
 * How to add an option: add one line to the list, which is
 *
 *     OPTION(member, kind, "name", default, "help", further fields of struct option_row)
 *
 * The kind decides the C type of the member and what is allowed:
 *
 *     TEXT("FILE")                         char *, owned by the settings
 *     CHOICE(enum mode, "MODE", "on|off")  the enum, its values in the order of the choices
 *     INTEGER(minimum, maximum)            int64_t
 *     DURATION(minimum, maximum)           int64_t milliseconds: 500ms, 5s, 2m, 1h
 *     SIZE(minimum, maximum)               int64_t bytes: 65536, 64KiB, 1MiB, 1GiB
 *     FLAG                                 bool, true where it is given; takes no value
 *
 * "FILE" and "MODE" stand for the value in the help. The default is a text that is parsed like any
 * other value; NULL leaves the member NULL or 0. The further fields are those that have no place
 * of their own in the line, such as `.secret = true`; most options need none. Then document the
 * option in the manual page and the sample file in docs/.
 *
 * What no row can check, such as the form of a text or two options that exclude each other, a
 * service checks after loading, also under --check-config: COMMON_OPTIONS in
 * common_settings_check(), its own options in check() in its main.c (struct lifecycle_service).
 * The options of session-service dead-letters are checked in dead_letters_command.c, those
 * of session-service migrate-store in migrate_store_command.c.
 *
 * Every program also has --help, --version, --check-config and --config FILE. In the environment an
 * option is PREFIX_ plus its name in upper case with '_' for '-'; blanks and line ends around the
 * value are no part of it. The file has `name = value` lines, in no section, none of them indented.
 * A text is UTF-8.
 *
 * Quotes around a value of the file or the environment are taken away. An unknown key, a bad value
 * or a value out of range is an error that names the source (file and line, variable, or flag), the
 * option, and what is allowed; the value of a secret is never shown.
 */
#pragma once

#include "common/base/buffer.h"
#include "common/base/static_check.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_type {
    OPTION_TEXT,
    OPTION_CHOICE,
    OPTION_INTEGER,
    OPTION_DURATION,
    OPTION_SIZE,
    OPTION_FLAG,
};

struct option_row {
    const char *name;       /* "confirm-timeout" */
    const char *value_name; /* "DURATION", for the help; NULL: a flag */
    enum option_type type;
    size_t offset;            /* in the settings struct; only OPTION_ROW() sets it */
    const char *default_text; /* parsed like any other value; NULL: a NULL text, or 0 */
    int64_t minimum, maximum; /* of numbers */
    const char *choices;      /* "quorum|classic" */
    const char *environment;  /* a second variable name, or NULL; PREFIX_NAME wins over it */
    bool secret;              /* may hold a password: never printed; and given on the command line
                               * it is overwritten in argv after parsing */
    bool command_line_only;   /* neither in the file nor in the environment */
    bool file_only;           /* another program's with which the file is shared: read there as that
                               * program reads it, and nowhere else; not in the help */
    const char *help;         /* one line */
};

/* What a line of the list becomes: a member, and a row. `member` of a row may be a path, such as
 * common.listen. */
#define OPTION_MEMBER(member, kind, ...) OPTION_C_TYPE_##kind member;
#define OPTION_ROW(settings, member, kind, option_name, option_default, option_help, ...)          \
    {.name = (option_name),                                                                        \
     .offset = OPTION_OFFSET(settings, member, OPTION_C_TYPE_##kind),                              \
     .default_text = (option_default),                                                             \
     .help = (option_help),                                                                        \
     OPTION_FIELDS_##kind,                                                                         \
     __VA_ARGS__},

#define OPTION_C_TYPE_TEXT(of_value) char *
#define OPTION_C_TYPE_CHOICE(type, of_value, of_choices) type
#define OPTION_C_TYPE_INTEGER(least, most) int64_t
#define OPTION_C_TYPE_DURATION(least, most) int64_t
#define OPTION_C_TYPE_SIZE(least, most) int64_t
#define OPTION_C_TYPE_FLAG bool

#define OPTION_FIELDS_TEXT(of_value) .type = OPTION_TEXT, .value_name = (of_value)
#define OPTION_FIELDS_CHOICE(c_type, of_value, of_choices)                                         \
    .type = OPTION_CHOICE, .value_name = (of_value),                                               \
    .choices = (of_choices) + STATIC_CHECK_TYPE((c_type *)0, unsigned *, "a choice is an enum")
#define OPTION_FIELDS_INTEGER(least, most)                                                         \
    .type = OPTION_INTEGER, .value_name = "N", .minimum = (least), .maximum = (most)
#define OPTION_FIELDS_DURATION(least, most)                                                        \
    .type = OPTION_DURATION, .value_name = "DURATION", .minimum = (least), .maximum = (most)
#define OPTION_FIELDS_SIZE(least, most)                                                            \
    .type = OPTION_SIZE, .value_name = "SIZE", .minimum = (least), .maximum = (most)
#define OPTION_FIELDS_FLAG .type = OPTION_FLAG, .command_line_only = true

/* The loader writes through the offset as the kind says, so a member of another type would be
 * overwritten together with its neighbour. */
#define OPTION_OFFSET(settings, member, c_type)                                                    \
    (offsetof(settings, member) + STATIC_CHECK_TYPE(&((settings *)0)->member,                      \
                                                    __typeof__(c_type) *,                          \
                                                    "the option's kind asks for another C type"))

/* Other defaults for some options. They are in force where `option`, a CHOICE, has this choice. An
 * option that is given in the file, the environment or the command line still wins over them,
 * wherever the choice is given. */
struct option_preset {
    const char *name; /* of an option of the program */
    const char *text; /* parsed like any other value */
};

struct options_profile {
    const char *option, *choice; /* "compat", "demo" */
    const struct option_preset *presets;
    size_t count;
};

struct options_program {
    const char *name;               /* "user-service" */
    const char *environment_prefix; /* "USER_SERVICE" */
    const char *summary;            /* the first line of the help */
    const char *explanation;        /* lines for the help, below the usage; NULL: none */
    const char *operands;           /* what may stand beside the options, for the usage line; NULL:
                                     * nothing */
    const struct option_row *rows;
    size_t count;
    const struct options_profile *profile; /* NULL: none */
};

enum { OPTION_VARIABLE_BYTES = 320, OPTIONS_PROFILE_BYTES_MAX = 64 * 1024 };

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

/* A variable that begins with the program's prefix and belongs to no option, and the option whose
 * own variable is most like it. */
struct options_stray {
    char name[OPTION_VARIABLE_BYTES];
    const char *nearest; /* borrowed from the row */
    char nearest_variable[OPTION_VARIABLE_BYTES];
};

/* Looks for the next one from *position on, which begins at 0. False: there are no more. One that
 * is empty, or that Kubernetes sets for a service of that name, is none. Main thread only. */
MUST_CHECK bool options_next_stray(const struct options_program *program, size_t *position,
                                   struct options_stray *ret_stray);

/* Returns the file of --config, into argv, where it is a pipe; else NULL. A pipe can be read once:
 * a second options_load() would find nothing there, or wait for ever. Main thread only. */
const char *options_find_pipe(const struct options_program *program, int argc, char **argv);

/* Writes the names of the options whose values differ, with commas between them and cut at `size`.
 * Returns how many they are. Both settings are loaded ones of the program. */
size_t options_list_differences(const struct options_program *program, const void *settings,
                                const void *others, char *ret_names, size_t size);

/* Frees the texts; safe on zeroed settings. Secrets are wiped first. */
void options_done(const struct options_program *program, void *settings);

/* Appends the options of the profile with the values that are in force: "a = 1; b = x". False, and
 * appends nothing: the profile was not chosen. */
bool options_append_profile(const struct options_program *program, const void *settings,
                            struct buffer *text);
/* Prints that to standard output, as a line; nothing where the profile was not chosen. */
void options_print_profile(const struct options_program *program, const void *settings);

/* Prints the help: one block for each row with its default, variable and range. */
void options_print_help(const struct options_program *program);
