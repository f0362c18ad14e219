/* Options and verbs of the command, and how each verb judges a letter. */
#include "session-service/dead_letters_command.h"

#include "session-service/dead_letter_print.h"
#include "session-service/dead_letter_walk.h"
#include "session-service/handle_user_saved.h"

#include "common/lifecycle.h"
#include "common/user_event.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXIT_NOT_ALL = 3, PAGE_LETTERS = 100, ROWS_MAX = 64 };

/* The daemon's options come first, so that its table is a part of the command's. */
struct command_settings {
    struct settings service;
    bool json, all, dry_run, force;
    int64_t limit, after, rate;
};

static const struct option_row own_rows[] = {
    {.name = "json",
     .type = OPTION_FLAG,
     .offset = offsetof(struct command_settings, json),
     .command_line_only = true,
     .help = "one JSON object on a line, for programs"},
    {.name = "limit",
     .value_name = "N",
     .type = OPTION_INTEGER,
     .offset = offsetof(struct command_settings, limit),
     .minimum = 1,
     .maximum = INT32_MAX,
     .command_line_only = true,
     .help = "list: so many letters at the most; 100 without it"},
    {.name = "after",
     .value_name = "N",
     .type = OPTION_INTEGER,
     .offset = offsetof(struct command_settings, after),
     .minimum = 1,
     .maximum = INT32_MAX,
     .command_line_only = true,
     .help = "list: the page after the first N letters"},
    {.name = "all",
     .type = OPTION_FLAG,
     .offset = offsetof(struct command_settings, all),
     .command_line_only = true,
     .help = "redrive: every letter that is there now"},
    {.name = "dry-run",
     .type = OPTION_FLAG,
     .offset = offsetof(struct command_settings, dry_run),
     .command_line_only = true,
     .help = "redrive: only say what would be done"},
    {.name = "force",
     .type = OPTION_FLAG,
     .offset = offsetof(struct command_settings, force),
     .command_line_only = true,
     .help = "redrive: also what will come back as it is now"},
    {.name = "rate",
     .value_name = "N",
     .type = OPTION_INTEGER,
     .offset = offsetof(struct command_settings, rate),
     .minimum = 1,
     .maximum = 1000000,
     .command_line_only = true,
     .help = "redrive: so many letters in a second at the most"},
};

enum verb_name { VERB_LIST, VERB_SHOW, VERB_REDRIVE, VERB_PURGE, VERBS };

struct command;

struct verb {
    const char *name;
    bool takes_ids;
    enum dead_letter_action (*judge)(struct command *command, const struct dead_letter_view *view);
};

struct wanted {
    const char *id;
    bool found;
};

struct command {
    struct command_settings settings;
    const struct verb *verb;
    struct wanted *wanted;
    size_t wanted_count;
    uint64_t left;  /* letters that were meant, and stay */
    bool unprinted; /* standard output takes nothing more: the first errno */
    int print_errno;
};

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static void note_print(struct command *command, bool printed)
{
    if (!printed && !command->unprinted) {
        command->unprinted = true;
        command->print_errno = errno;
        stop = 1;
    }
}

static bool is_wanted(struct command *command, const char *id)
{
    bool wanted = command->settings.all;
    for (size_t i = 0; i < command->wanted_count; i++) {
        if (strcmp(command->wanted[i].id, id) == 0) {
            command->wanted[i].found = wanted = true;
        }
    }
    return wanted;
}

static enum dead_letter_action judge_list(struct command *command,
                                          const struct dead_letter_view *view)
{
    if (view->position > (uint64_t)command->settings.after) {
        note_print(command, dead_letter_print_row(view, command->settings.json));
    }
    return DEAD_LETTER_LEAVE;
}

static enum dead_letter_action judge_show(struct command *command,
                                          const struct dead_letter_view *view)
{
    if (is_wanted(command, view->id)) {
        note_print(command, dead_letter_print_whole(view, command->settings.json));
    }
    return DEAD_LETTER_LEAVE;
}

static enum dead_letter_action judge_purge(struct command *command,
                                           const struct dead_letter_view *view)
{
    return is_wanted(command, view->id) ? DEAD_LETTER_REMOVE : DEAD_LETTER_LEAVE;
}

/* Says in `ret_why` what the session-service would do with the letter as it is configured here. */
static bool would_come_back(const struct command *command, const struct dead_letter_view *view,
                            char ret_why[256])
{
    const struct settings *settings = &command->settings.service;
    if (slice_equal(view->reason, slice_of("id-conflict"))) {
        (void)snprintf(ret_why, 256, "it would come back: another body was handled with its id");
        return true;
    }
    const struct user_rules rules = settings_user_rules(settings);
    struct user_event event;
    user_event_decode(view->message, &rules, (size_t)settings->max_message_bytes, &event);
    bool impossible = event.kind == USER_EVENT_IMPOSSIBLE;
    if (impossible) {
        (void)snprintf(ret_why, 256, "it would come back: %s: %.200s", event.reason, event.detail);
    } else {
        user_event_done(&event);
    }
    return impossible;
}

static enum dead_letter_action judge_redrive(struct command *command,
                                             const struct dead_letter_view *view)
{
    const struct command_settings *settings = &command->settings;
    if (!is_wanted(command, view->id)) {
        return DEAD_LETTER_LEAVE;
    }
    char why[256] = "";
    bool comes_back = would_come_back(command, view, why);
    if (comes_back && !settings->force) {
        command->left++;
        note_print(command, dead_letter_print_done(view, settings->json, "left", why));
        return DEAD_LETTER_LEAVE;
    }
    if (settings->dry_run) {
        note_print(command,
                   dead_letter_print_done(view, settings->json, "would be sent back", why));
        return DEAD_LETTER_LEAVE;
    }
    if (comes_back) {
        note_print(command, dead_letter_print_done(view, settings->json, "sending back", why));
    }
    return DEAD_LETTER_SEND_BACK;
}

static const struct verb verbs[VERBS] = {
    [VERB_LIST] = {"list", false, judge_list},
    [VERB_SHOW] = {"show", true, judge_show},
    [VERB_REDRIVE] = {"redrive", true, judge_redrive},
    [VERB_PURGE] = {"purge", true, judge_purge},
};

static enum dead_letter_action judge(void *context, const struct message *message,
                                     uint64_t position)
{
    struct command *command = context;
    char id[ATTEMPT_KEY_BYTES];
    struct error error;
    if (command->unprinted || user_saved_attempt_key(message, id, &error) != OUTCOME_OK) {
        return DEAD_LETTER_LEAVE;
    }
    struct dead_letter_view view;
    dead_letter_view_init(&view, message, position, id);
    return command->verb->judge(command, &view);
}

static void tell_progress(void *context, uint64_t seen, uint64_t total)
{
    const struct command *command = context;
    fprintf(stderr, "%s: %" PRIu64 " of %" PRIu64 " letters looked at\n", command->verb->name, seen,
            total);
}

/* A flag that a verb does not know must not be passed over: it may be what makes it harmless. */
static enum outcome check_flags(const struct command *command, struct error *ret_error)
{
    const struct command_settings *settings = &command->settings;
    const struct {
        const char *name;
        bool given;
        enum verb_name of;
    } flags[] = {
        {"limit", settings->limit != 0, VERB_LIST}, {"after", settings->after != 0, VERB_LIST},
        {"all", settings->all, VERB_REDRIVE},       {"dry-run", settings->dry_run, VERB_REDRIVE},
        {"force", settings->force, VERB_REDRIVE},   {"rate", settings->rate != 0, VERB_REDRIVE},
    };
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (flags[i].given && command->verb != &verbs[flags[i].of]) {
            return error_set(ret_error, OUTCOME_INVALID, "%s takes no --%s", command->verb->name,
                             flags[i].name);
        }
    }
    return OUTCOME_OK;
}

static enum outcome take_operands(struct command *command, const struct options_operands *operands,
                                  struct error *ret_error)
{
    static const char needed[] = "list, show ID..., redrive [ID...] or purge ID... is needed; see "
                                 "--help";
    for (size_t i = 0; operands->count > 0 && i < VERBS; i++) {
        if (strcmp(operands->items[0], verbs[i].name) == 0) {
            command->verb = &verbs[i];
        }
    }
    if (command->verb == NULL) {
        return error_set(ret_error, OUTCOME_INVALID, "%s", needed);
    }
    command->wanted_count = operands->count - 1;
    if (!command->verb->takes_ids && command->wanted_count > 0) {
        return error_set(ret_error, OUTCOME_INVALID, "%s takes no ids", command->verb->name);
    }
    if (command->verb->takes_ids && !command->settings.all && command->wanted_count == 0) {
        return error_set(ret_error, OUTCOME_INVALID, "%s needs at least one id%s",
                         command->verb->name,
                         command->verb == &verbs[VERB_REDRIVE] ? ", or --all" : "");
    }
    if (command->settings.all && command->wanted_count > 0) {
        return error_set(ret_error, OUTCOME_INVALID, "--all and ids contradict each other");
    }
    command->wanted = calloc(command->wanted_count + 1, sizeof(*command->wanted));
    if (command->wanted == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory");
    }
    for (size_t i = 0; i < command->wanted_count; i++) {
        command->wanted[i].id = operands->items[i + 1];
    }
    return check_flags(command, ret_error);
}

static void tell_list(const struct command *command, const struct dead_letter_walk_result *result)
{
    if (result->total == 0) {
        fprintf(stderr, "no dead letters\n");
    } else if (result->seen < result->total) {
        fprintf(stderr,
                "%" PRIu64 " of %" PRIu64 " dead letters; for the next page: --after %" PRIu64 "\n",
                result->seen - (uint64_t)command->settings.after, result->total, result->seen);
    }
}

static void tell_summary(struct command *command, const struct dead_letter_walk_result *result)
{
    if (!command->settings.json) {
        printf("%" PRIu64 " sent back, %" PRIu64 " purged, %" PRIu64 " left, of %" PRIu64
               " dead letters\n",
               result->sent_back, result->removed, command->left, result->total);
    } else {
        printf("{\"sent_back\":%" PRIu64 ",\"purged\":%" PRIu64 ",\"left\":%" PRIu64
               ",\"total\":%" PRIu64 "}\n",
               result->sent_back, result->removed, command->left, result->total);
    }
}

/* After a walk that went to its end. */
static bool tell_missing(const struct command *command)
{
    bool all_found = true;
    for (size_t i = 0; i < command->wanted_count; i++) {
        if (!command->wanted[i].found) {
            fprintf(stderr, "no dead letter has the id %s\n", command->wanted[i].id);
            all_found = false;
        }
    }
    return all_found;
}

static int finish(struct command *command, const struct options_program *program,
                  const struct dead_letter_walk_result *result, enum outcome outcome,
                  const struct error *error)
{
    if (command->verb == &verbs[VERB_LIST]) {
        tell_list(command, result);
    } else if (command->verb != &verbs[VERB_SHOW]) {
        tell_summary(command, result);
    }
    if (outcome != OUTCOME_OK) {
        return lifecycle_fail(program, outcome, error);
    }
    if (fflush(stdout) != 0 || command->unprinted) {
        struct error unwritten;
        error_set_errno(&unwritten, OUTCOME_TRANSIENT,
                        command->unprinted ? command->print_errno : errno,
                        "cannot write to standard output");
        return lifecycle_fail(program, OUTCOME_TRANSIENT, &unwritten);
    }
    if (stop != 0) {
        fprintf(stderr, "interrupted: the rest is as it was\n");
        return EXIT_NOT_ALL;
    }
    bool all_found = tell_missing(command);
    return all_found && command->left == 0 ? EXIT_OK : EXIT_NOT_ALL;
}

static int run(struct command *command, const struct options_program *program)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t blocked;
    sigset_t while_waiting;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &blocked, &while_waiting);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);

    const struct command_settings *settings = &command->settings;
    bool lists = command->verb == &verbs[VERB_LIST];
    const struct dead_letter_walk_options options = {
        .settings = &settings->service,
        .letters_max = lists ? (uint64_t)settings->after +
                                   (uint64_t)(settings->limit > 0 ? settings->limit : PAGE_LETTERS)
                             : 0,
        .rate = (uint64_t)settings->rate,
        .stop = &stop,
        .signals_while_waiting = &while_waiting,
        .judge = judge,
        .tell_progress = tell_progress,
        .context = command,
    };
    if (lists && !settings->json) {
        note_print(command, dead_letter_print_heading());
    }
    struct dead_letter_walk_result result;
    struct error error;
    enum outcome outcome = dead_letter_walk(&options, &result, &error);
    return finish(command, program, &result, outcome, &error);
}

int dead_letters_command(int argc, char **argv)
{
    static struct option_row rows[ROWS_MAX];
    const size_t own_count = sizeof(own_rows) / sizeof(own_rows[0]);
    const struct options_program program = {
        .name = "session-service dead-letters",
        .environment_prefix = settings_program.environment_prefix,
        .summary = "Lists, shows, sends back and removes the messages that were put aside.",
        .operands = "list | show ID... | redrive [ID...] | purge ID...",
        .rows = rows,
        .count = own_count + settings_program.count,
    };
    _Static_assert(offsetof(struct command_settings, service) == 0, "the daemon's offsets hold");
    memcpy(rows, own_rows, sizeof(own_rows));
    memcpy(rows + own_count, settings_program.rows, settings_program.count * sizeof(rows[0]));

    lifecycle_protect_process();
    struct command command = {.wanted = NULL};
    struct options_operands operands = {0};
    enum options_action action = OPTIONS_RUN;
    struct error error;
    enum outcome outcome =
        options_load(&program, argc, argv, &command.settings, &operands, &action, &error);
    if (outcome == OUTCOME_OK && action == OPTIONS_EXIT) {
        free(operands.items);
        return EXIT_OK;
    }
    if (outcome == OUTCOME_OK) {
        outcome = common_settings_check_broker(&command.settings.service.common, &error);
    }
    if (outcome == OUTCOME_OK && action == OPTIONS_RUN) {
        outcome = take_operands(&command, &operands, &error);
    }
    int exit_code = EXIT_OK;
    if (outcome != OUTCOME_OK) {
        exit_code = lifecycle_fail(&program, outcome, &error);
    } else if (action == OPTIONS_CHECK_CONFIG) {
        puts("configuration is valid");
    } else {
        exit_code = run(&command, &program);
    }
    free(operands.items);
    free(command.wanted);
    options_done(&program, &command.settings);
    return exit_code;
}
