/* What each verb of the command thinks of a letter. One thread. */
#pragma once

#include "session-service/dead_letter_walk.h"

/* The daemon's options come first, so that its table is a part of the command's. */
struct command_settings {
    struct settings service;
    bool json, all, dry_run, force;
    int64_t limit, after, rate;
};

struct command;
struct dead_letter_view;

struct verb {
    const char *name;
    bool takes_ids;
    enum dead_letter_action (*judge)(struct command *command, const struct dead_letter_view *view);
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

/* Keeps the first failure to print, and then stops. */
void dead_letter_note_print(struct command *command, bool printed);

/* The walk's judge; `context` is the command. Prints what the verb has to say. */
enum dead_letter_action dead_letter_judge(void *context, const struct message *message,
                                          uint64_t position);
