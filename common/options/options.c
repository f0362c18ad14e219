/* Options from one table: default < file < environment < command line. */
#include "common/options/options_internal.h"

#include "common/base/slice.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* getopt_long()'s values for the flags that are in no table; a row's is FLAG_ROWS + its index. */
enum { FLAG_HELP = 256, FLAG_VERSION, FLAG_CHECK_CONFIG, FLAG_CONFIG, FLAG_ROWS };
enum { FLAGS_BEFORE_ROWS = FLAG_ROWS - FLAG_HELP };

struct command_line {
    struct option *flags;
    char **values; /* one for each row, into argv; NULL: not given */
    bool *given;   /* one for each row: anywhere */
    struct options_operands operands;
    const char *config_path;
    bool print_help, print_version, check_config;
};

enum { OPERAND = 1 }; /* what getopt_long() calls them when asked to keep the order */

static char flag_given[] = "";

static void overwrite(char *secret)
{
    memset(secret, 'x', strlen(secret));
}

bool option_variable(const struct options_program *program, const char *name,
                     char ret_text[OPTION_SOURCE_BYTES])
{
    int length =
        snprintf(ret_text, OPTION_SOURCE_BYTES, "%s_%s", program->environment_prefix, name);
    if (length < 0 || length >= OPTION_SOURCE_BYTES) {
        return false;
    }
    for (char *c = ret_text; *c != '\0'; c++) {
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    }
    return true;
}

static struct option *create_flags(const struct options_program *program)
{
    struct option *flags = calloc(FLAGS_BEFORE_ROWS + program->count + 1, sizeof(*flags));
    if (flags == NULL) {
        return NULL;
    }
    flags[0] = (struct option){"help", no_argument, NULL, FLAG_HELP};
    flags[1] = (struct option){"version", no_argument, NULL, FLAG_VERSION};
    flags[2] = (struct option){"check-config", no_argument, NULL, FLAG_CHECK_CONFIG};
    flags[3] = (struct option){"config", required_argument, NULL, FLAG_CONFIG};
    struct option *flag = &flags[FLAGS_BEFORE_ROWS];
    for (size_t i = 0; i < program->count; i++) {
        const struct option_row *row = &program->rows[i];
        if (!row->file_only) {
            *flag++ = (struct option){row->name,
                                      row->type == OPTION_FLAG ? no_argument : required_argument,
                                      NULL, FLAG_ROWS + (int)i};
        }
    }
    return flags;
}

static const struct option *find_flag(const struct option *flags, const char *argument,
                                      size_t length)
{
    for (; flags->name != NULL; flags++) {
        if (strlen(flags->name) == length && memcmp(flags->name, argument, length) == 0) {
            return flags;
        }
    }
    return NULL;
}

/* What follows a '=' or a short flag is not shown: mistyped, it may still be a secret. */
static enum outcome refuse_flag(const struct option *flags, const char *argument,
                                struct error *ret_error)
{
    int shown = argument[1] == '-' ? (int)strcspn(argument, "=") : 2;
    const struct option *flag =
        shown > 2 ? find_flag(flags, argument + 2, (size_t)shown - 2) : NULL;
    if (flag == NULL) {
        return error_set(ret_error, OUTCOME_INVALID, "unknown option %.*s; see --help", shown,
                         argument);
    }
    return error_set(ret_error, OUTCOME_INVALID, "--%s %s", flag->name,
                     flag->has_arg == no_argument ? "takes no value" : "needs a value");
}

static void take_flag(const struct options_program *program, int flag, struct command_line *line)
{
    switch (flag) {
    case FLAG_HELP:
        line->print_help = true;
        break;
    case FLAG_VERSION:
        line->print_version = true;
        break;
    case FLAG_CHECK_CONFIG:
        line->check_config = true;
        break;
    case FLAG_CONFIG:
        line->config_path = optarg;
        break;
    default: {
        size_t row = (size_t)(flag - FLAG_ROWS);
        if (program->rows[row].secret && line->values[row] != NULL) {
            overwrite(line->values[row]);
        }
        line->values[row] = program->rows[row].type == OPTION_FLAG ? flag_given : optarg;
        break;
    }
    }
}

/* In a program without operands the first argument that is no option ends the options. */
static enum outcome take_operand(const struct options_program *program, int index, char *argument,
                                 struct command_line *line, struct error *ret_error)
{
    if (program->operands == NULL) {
        /* Not shown: it may be the end of a secret. */
        return error_set(ret_error, OUTCOME_INVALID, "argument %d belongs to no option; see --help",
                         index);
    }
    line->operands.items[line->operands.count++] = argument;
    return OUTCOME_OK;
}

/* To be followed by line_done(). */
static enum outcome line_init(struct command_line *line, const struct options_program *program,
                              int argc, struct error *ret_error)
{
    *line = (struct command_line){
        .flags = create_flags(program),
        .values = calloc(program->count + 1, sizeof(char *)),
        .given = calloc(program->count + 1, sizeof(bool)),
        .operands = {.items = calloc((size_t)argc + 1, sizeof(char *))},
    };
    bool has_memory = line->flags != NULL && line->values != NULL && line->given != NULL &&
                      line->operands.items != NULL;
    if (!has_memory) {
        (void)error_set(ret_error, OUTCOME_INVALID, "no memory");
        return OUTCOME_INVALID;
    }
    return OUTCOME_OK;
}

static void line_done(struct command_line *line)
{
    free(line->operands.items);
    free(line->given);
    free(line->values);
    free(line->flags);
}

static enum outcome parse_arguments(const struct options_program *program, int argc, char **argv,
                                    struct command_line *line, struct error *ret_error)
{
    const struct option *flags = line->flags;
    opterr = 0;
    optind = 0;
    for (;;) {
        int index = optind == 0 ? 1 : optind;
        int flag = getopt_long(argc, argv, program->operands == NULL ? "+:" : "-:", flags, NULL);
        if (flag == -1) {
            break;
        }
        if (flag == OPERAND) {
            enum outcome outcome = take_operand(program, index, optarg, line, ret_error);
            if (outcome != OUTCOME_OK) {
                return outcome;
            }
            continue;
        }
        const char *argument = argv[index];
        /* getopt_long() also takes the beginning of a name, which the next option may change. */
        bool is_exact =
            flag >= FLAG_HELP && find_flag(flags, argument + 2, strcspn(argument + 2, "=")) != NULL;
        if (!is_exact) {
            if (flag >= FLAG_ROWS && program->rows[flag - FLAG_ROWS].secret) {
                overwrite(optarg);
            }
            return refuse_flag(flags, argument, ret_error);
        }
        take_flag(program, flag, line);
    }
    enum outcome outcome = OUTCOME_OK;
    for (; outcome == OUTCOME_OK && optind < argc; optind++) {
        outcome = take_operand(program, optind, argv[optind], line, ret_error);
    }
    return outcome;
}

static enum outcome store_defaults(const struct options_program *program, void *settings,
                                   struct error *ret_error)
{
    for (size_t i = 0; i < program->count; i++) {
        const struct option_row *row = &program->rows[i];
        if (row->default_text != NULL) {
            enum outcome outcome =
                option_store(row, settings, row->default_text, "default", ret_error);
            if (outcome != OUTCOME_OK) {
                return outcome;
            }
        }
    }
    return OUTCOME_OK;
}

/* Empty where it is not set, or set to nothing but blanks or a pair of quotes. */
static struct slice read_variable(const char *name)
{
    struct slice value = slice_trimmed(slice_of(getenv(name)));
    bool is_empty = slice_equal(value, slice_of("\"\"")) || slice_equal(value, slice_of("''"));
    if (is_empty) {
        value.length = 0;
    }
    return value;
}

static enum outcome store_variable(const struct option_row *row, void *settings, struct slice value,
                                   const char *source, struct error *ret_error)
{
    char *copy = strndup(value.data, value.length);
    if (copy == NULL) {
        return error_set(ret_error, OUTCOME_INVALID, "%s: no memory", row->name);
    }
    enum outcome outcome = option_store_unquoted(row, settings, copy, source, ret_error);
    option_free_text(copy);
    return outcome;
}

static enum outcome store_environment(const struct options_program *program, void *settings,
                                      bool *given, struct error *ret_error)
{
    for (size_t i = 0; i < program->count; i++) {
        const struct option_row *row = &program->rows[i];
        char variable[OPTION_SOURCE_BYTES];
        const char *source = variable;
        struct slice value = {NULL, 0};
        if (row->command_line_only || row->file_only) {
            continue;
        }
        if (option_variable(program, row->name, variable)) {
            value = read_variable(variable);
        }
        if (value.length == 0 && row->environment != NULL) {
            source = row->environment;
            value = read_variable(source);
        }
        if (value.length > 0) {
            enum outcome outcome = store_variable(row, settings, value, source, ret_error);
            if (outcome != OUTCOME_OK) {
                return outcome;
            }
            given[i] = true;
        }
    }
    return OUTCOME_OK;
}

static enum outcome store_command_line(const struct options_program *program,
                                       const struct command_line *line, void *settings,
                                       struct error *ret_error)
{
    for (size_t i = 0; i < program->count; i++) {
        const struct option_row *row = &program->rows[i];
        if (line->values[i] != NULL) {
            enum outcome outcome =
                option_store(row, settings, line->values[i], "command line", ret_error);
            if (outcome != OUTCOME_OK) {
                return outcome;
            }
            line->given[i] = true;
        }
    }
    return OUTCOME_OK;
}

static enum outcome store_all(const struct options_program *program,
                              const struct command_line *line, void *settings,
                              struct error *ret_error)
{
    enum outcome outcome = store_defaults(program, settings, ret_error);
    if (outcome == OUTCOME_OK && line->config_path != NULL) {
        outcome = options_read_file(program, line->config_path, settings, line->given, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = store_environment(program, settings, line->given, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = store_command_line(program, line, settings, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = options_apply_profile(program, line->given, settings, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        options_done(program, settings);
    }
    return outcome;
}

static enum outcome print_and_exit(const struct options_program *program,
                                   const struct command_line *line, enum options_action *ret_action,
                                   struct error *ret_error)
{
    if (line->print_help) {
        options_print_help(program);
    } else {
        printf("%s %s\n", program->name, PROJECT_VERSION);
    }
    if (fflush(stdout) != 0) {
        return error_set_errno(ret_error, OUTCOME_INVALID, errno, "cannot write to the output");
    }
    *ret_action = OPTIONS_EXIT;
    return OUTCOME_OK;
}

static void wipe_arguments(const struct options_program *program, const struct command_line *line)
{
    for (size_t i = 0; i < program->count; i++) {
        if (program->rows[i].secret && line->values[i] != NULL) {
            overwrite(line->values[i]);
        }
    }
}

enum outcome options_load(const struct options_program *program, int argc, char **argv,
                          void *settings, struct options_operands *ret_operands,
                          enum options_action *ret_action, struct error *ret_error)
{
    struct command_line line;
    enum outcome outcome = line_init(&line, program, argc, ret_error);
    if (outcome != OUTCOME_OK) {
        goto done;
    }
    outcome = parse_arguments(program, argc, argv, &line, ret_error);
    if (outcome == OUTCOME_OK && (line.print_help || line.print_version)) {
        outcome = print_and_exit(program, &line, ret_action, ret_error);
    } else if (outcome == OUTCOME_OK) {
        outcome = store_all(program, &line, settings, ret_error);
        if (outcome == OUTCOME_OK) {
            *ret_action = line.check_config ? OPTIONS_CHECK_CONFIG : OPTIONS_RUN;
        }
    }
    wipe_arguments(program, &line);
    if (outcome == OUTCOME_OK && ret_operands != NULL) {
        *ret_operands = line.operands;
        line.operands.items = NULL;
    }
done:
    line_done(&line);
    return outcome;
}

const char *options_find_pipe(const struct options_program *program, int argc, char **argv)
{
    struct command_line line;
    struct stat status;
    bool is_pipe = line_init(&line, program, argc, NULL) == OUTCOME_OK &&
                   parse_arguments(program, argc, argv, &line, NULL) == OUTCOME_OK &&
                   line.config_path != NULL && stat(line.config_path, &status) == 0 &&
                   S_ISFIFO(status.st_mode);
    line_done(&line);
    return is_pipe ? line.config_path : NULL;
}

void options_done(const struct options_program *program, void *settings)
{
    for (size_t i = 0; i < program->count; i++) {
        if (program->rows[i].type == OPTION_TEXT) {
            void *slot = (char *)settings + program->rows[i].offset;
            char **text = slot;
            option_free_text(*text);
            *text = NULL;
        }
    }
}
