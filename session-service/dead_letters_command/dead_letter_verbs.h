/* Decides what each verb of the command does with a letter, and prints it. One thread. */
#pragma once

#include "session-service/dead_letters_command/dead_letter_walk.h"

/* The options that only the command has. How to add one is said in
 * common/options/options.h. */
#define COMMAND_OPTIONS(OPTION)                                                                    \
    OPTION(json, FLAG, "json", NULL, "one JSON object on a line, for programs")                    \
    OPTION(limit, INTEGER(1, INT32_MAX), "limit", NULL,                                            \
           "list: so many letters at the most; 100 without it", .command_line_only = true)         \
    OPTION(after, INTEGER(1, INT32_MAX), "after", NULL,                                            \
           "list: the page after the first N letters", .command_line_only = true)                  \
    OPTION(all, FLAG, "all", NULL, "redrive: every letter that is there now")                      \
    OPTION(dry_run, FLAG, "dry-run", NULL, "redrive: only say what would be done")                 \
    OPTION(force, FLAG, "force", NULL, "redrive: also what will come back as it is now")           \
    OPTION(rate, INTEGER(1, 1000000), "rate", NULL,                                                \
           "redrive: so many letters in a second at the most", .command_line_only = true)

struct command_settings {
    struct settings service; /* of these only dead_letters_command.c's shared_options are used */
    COMMAND_OPTIONS(OPTION_MEMBER)
};

struct command;
struct dead_letter_view;

struct verb {
    const char *name;
    bool takes_ids;
    enum dead_letter_action (*decide)(struct command *command, const struct dead_letter_view *view);
};

enum verb_name { VERB_LIST, VERB_SHOW, VERB_REDRIVE, VERB_PURGE, VERBS };
extern const struct verb dead_letter_verbs[VERBS];

struct wanted {
    const char *id;
    bool found;
};

struct command {
    struct command_settings settings;
    const struct verb *verb;
    struct wanted *wanted;
    size_t wanted_count;
    bool has_heading; /* of the list */
    uint64_t left;    /* letters that were meant, and stay */
    bool unprinted;   /* standard output takes nothing more: `print_errno` says why */
    int print_errno;
    volatile sig_atomic_t stop;
};

/* Records whether printing succeeded. The first failure is kept, and stops the walk. */
void dead_letter_note_print(struct command *command, bool printed);

/* Is what the walk calls to decide about a letter; `context` is the command. Prints what the verb
 * prints. */
enum dead_letter_action dead_letter_decide(void *context, const struct message *message,
                                           uint64_t position);
