/* Options and verbs of the command, and how each verb judges a letter. */
#include "session-service/dead_letters_command/dead_letters_command.h"

#include "session-service/dead_letters_command/dead_letter_print.h"
#include "session-service/dead_letters_command/dead_letter_verbs.h"

#include "session-service/dead_letter.h"

#include "common/amqp/broker_hosts.h"
#include "common/service/lifecycle.h"
#include "common/threads/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_NOT_ALL = 3, PAGE_LETTERS = 100 };

#define COMMAND_ROW(...) OPTION_ROW(struct command_settings, __VA_ARGS__)
#define COMMON_ROW(member, ...)                                                                    \
    OPTION_ROW(struct command_settings, service.common.member, __VA_ARGS__)
#define SESSION_ROW(member, ...) OPTION_ROW(struct command_settings, service.member, __VA_ARGS__)

static struct option_row rows[] = {COMMAND_OPTIONS(COMMAND_ROW) COMMON_OPTIONS(
    COMMON_ROW, SESSION_LISTEN_DEFAULT) SESSION_OPTIONS(SESSION_ROW)};

/* What the command needs of the service's options. The others it only reads in the file, which may
 * be the service's own. */
static const char *const shared_options[] = {
    "amqp-url", "amqp-password-file", "amqp-ca-file", "amqp-cert-file",    "amqp-key-file", "queue",
    "shards",   "heartbeat",          "user-check",   "max-message-bytes", "compat",
};

static const char explanation[] =
    "It works on the queue NAME.dead of --queue NAME, of the broker of --amqp-url, AMQP_URL or "
    "the\n"
    "service's own file (--config); none is assumed. Other options of that file are only checked.\n"
    "\n"
    "  list       one line for each dead letter, in pages:\n"
    "                 session-service dead-letters list --limit 20 --config FILE\n"
    "  show       all that is known of these letters, with their bodies:\n"
    "                 session-service dead-letters show 0192f0c1-6b1e-7c52-a3d4-0a4b5c6d7e8f\n"
    "  redrive    send letters back to the queue NAME, each removed when that is confirmed; with\n"
    "             the --shards N of the service each to the shard that its user belongs to:\n"
    "                 session-service dead-letters redrive --all --dry-run\n"
    "                 session-service dead-letters redrive --all --rate 100\n"
    "  purge      remove these letters for good:\n"
    "                 session-service dead-letters purge ID ID\n";

static struct command the_command; /* a signal ends it */

static void on_signal(int number)
{
    (void)number;
    the_command.stop++;
}

static void fill_end_signals(sigset_t *ret_signals)
{
    sigemptyset(ret_signals);
    sigaddset(ret_signals, SIGINT);
    sigaddset(ret_signals, SIGTERM);
}

static void set_end_action(void (*handler)(int number), unsigned flags)
{
    const struct sigaction action = {.sa_handler = handler, .sa_flags = (int)flags};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

/* Until now these signals ended the process. From now on the walk ends in good order, and sees them
 * only while it waits. */
static void defer_signals(void *context)
{
    sigset_t signals;
    (void)context;
    fill_end_signals(&signals);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    set_end_action(on_signal, 0);
}

static void report_progress(void *context, uint64_t seen, uint64_t total)
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
        if (flags[i].given && command->verb != &dead_letter_verbs[flags[i].of]) {
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
        if (strcmp(operands->items[0], dead_letter_verbs[i].name) == 0) {
            command->verb = &dead_letter_verbs[i];
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
                         command->verb == &dead_letter_verbs[VERB_REDRIVE] ? ", or --all" : "");
    }
    if (command->settings.all && command->wanted_count > 0) {
        return error_set(ret_error, OUTCOME_INVALID, "--all and ids contradict each other");
    }
    /* One more than there are, so never none. */
    /* NOLINTNEXTLINE(clang-analyzer-optin.portability.UnixAPI) */
    command->wanted = calloc(command->wanted_count + 1, sizeof(*command->wanted));
    if (command->wanted == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory");
    }
    for (size_t i = 0; i < command->wanted_count; i++) {
        command->wanted[i].id = operands->items[i + 1];
        if (command->wanted[i].id[0] == '\0') { /* of a script's variable that is not set */
            return error_set(ret_error, OUTCOME_INVALID, "%s: an id is empty", command->verb->name);
        }
    }
    return check_flags(command, ret_error);
}

/* Before anything is asked of a broker: which one that is, without the password. */
static void print_place(const struct common_settings *settings, const char *queue)
{
    struct broker_hosts hosts;
    struct error error;
    if (broker_hosts_parse(settings->amqp_url, &hosts, &error) != OUTCOME_OK) {
        return; /* it was validated, so there is no memory: then the walk tells */
    }
    for (size_t i = 0; i < hosts.count; i++) {
        char url[BROKER_URL_TEXT_BYTES];
        broker_address_text(&hosts.addresses[i], url);
        if (i == 0) {
            fprintf(stderr, "queue %s of %s", queue, url);
        } else {
            fprintf(stderr, ", else %s", url);
        }
    }
    fputc('\n', stderr);
    broker_hosts_done(&hosts);
}

static void print_list_summary(const struct command *command,
                               const struct dead_letter_walk_result *result)
{
    if (result->queue_exists && result->total == 0) {
        fprintf(stderr, "no dead letters\n");
    } else if (result->seen < result->total) {
        fprintf(stderr,
                "%" PRIu64 " of %" PRIu64 " dead letters; for the next page: --after %" PRIu64 "\n",
                result->seen - (uint64_t)command->settings.after, result->total, result->seen);
    }
}

static void print_summary(struct command *command, const struct dead_letter_walk_result *result)
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
static bool print_missing(const struct command *command)
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
    bool lists = command->verb == &dead_letter_verbs[VERB_LIST];
    bool shows = command->verb == &dead_letter_verbs[VERB_SHOW];
    bool failed = outcome != OUTCOME_OK;
    if (!failed && !result->queue_exists) {
        fprintf(stderr, "no dead letters: the broker has no such queue\n");
    }
    if (lists && !failed) {
        print_list_summary(command, result);
    } else if (!lists && !shows && (!failed || result->queue_exists)) {
        print_summary(command, result);
    }
    if (failed) {
        return lifecycle_fail(program, outcome, error);
    }
    if (fflush(stdout) != 0 || command->unprinted) {
        struct error unwritten;
        error_set_errno(&unwritten, OUTCOME_TRANSIENT,
                        command->unprinted ? command->print_errno : errno,
                        "cannot write to standard output");
        return lifecycle_fail(program, OUTCOME_TRANSIENT, &unwritten);
    }
    if (command->stop != 0) {
        fprintf(stderr, "interrupted: the rest is as it was\n");
        return EXIT_NOT_ALL;
    }
    bool all_found = print_missing(command);
    return all_found && command->left == 0 ? EXIT_OK : EXIT_NOT_ALL;
}

struct walk {
    const struct dead_letter_walk_options *options;
    struct dead_letter_walk_result result;
    enum outcome outcome;
    struct error error;
};

static void run_walk(void *owner)
{
    struct walk *walk = owner;
    pthread_sigmask(SIG_SETMASK, walk->options->signals_while_waiting, NULL);
    walk->outcome = dead_letter_walk(walk->options, &walk->result, &walk->error);
}

/* The letters are read on a thread for its stack's sake. It alone takes the signals, so that they
 * end its waits. */
static int run(struct command *command, const struct options_program *program)
{
    sigset_t blocked;
    sigset_t while_waiting;
    fill_end_signals(&blocked);
    pthread_sigmask(SIG_BLOCK, &blocked, &while_waiting);
    set_end_action(lifecycle_end_at_once, SA_RESETHAND | SA_NODEFER);

    const struct command_settings *settings = &command->settings;
    bool lists = command->verb == &dead_letter_verbs[VERB_LIST];
    const struct dead_letter_walk_options options = {
        .settings = &settings->service,
        .letters_max = lists ? (uint64_t)settings->after +
                                   (uint64_t)(settings->limit > 0 ? settings->limit : PAGE_LETTERS)
                             : 0,
        .rate = (uint64_t)settings->rate,
        .stop = &command->stop,
        .signals_while_waiting = &while_waiting,
        .defer_signals = defer_signals,
        .decide = dead_letter_decide,
        .report_progress = report_progress,
        .context = command,
    };
    char queue[DEAD_LETTER_QUEUE_BYTES];
    dead_letter_queue_name(settings->service.common.queue, queue);
    print_place(&settings->service.common, queue);
    struct walk walk = {.options = &options};
    struct error error;
    struct worker worker;
    enum outcome outcome = worker_init(&worker, &error);
    if (outcome == OUTCOME_OK) {
        outcome = worker_start(&worker, "dead-letters", run_walk, &walk, &error);
    }
    if (outcome == OUTCOME_OK) {
        worker_end(&worker);
        outcome = walk.outcome;
        error = walk.error;
    }
    worker_done(&worker);
    return finish(command, program, &walk.result, outcome, &error);
}

static bool is_shared(const char *name)
{
    for (size_t i = 0; i < sizeof(shared_options) / sizeof(shared_options[0]); i++) {
        if (strcmp(name, shared_options[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* The service's rows follow the command's own. */
static void adapt_service_rows(void)
{
    const size_t own = sizeof((struct option_row[]){COMMAND_OPTIONS(COMMAND_ROW)}) / sizeof(*rows);
    for (size_t i = own; i < sizeof(rows) / sizeof(rows[0]); i++) {
        rows[i].file_only = !is_shared(rows[i].name);
        if (strcmp(rows[i].name, "amqp-url") == 0) {
            rows[i].default_text = NULL;
        }
    }
}

/* An empty list of a broker that nobody meant would be taken for good news. */
static enum outcome check_broker(const struct common_settings *settings, struct error *ret_error)
{
    if (settings->amqp_url == NULL) {
        return error_set(ret_error, OUTCOME_INVALID,
                         "no broker is named, and none is assumed: give --amqp-url URL, the "
                         "variable AMQP_URL, or the service's file with --config FILE (with an "
                         "amqp-url in it)");
    }
    return common_settings_check_broker(settings, ret_error);
}

/* Returns the exit code. */
static int run_or_check(struct command *command, const struct options_program *program,
                        const struct options_operands *operands, enum options_action action)
{
    struct error error;
    enum outcome outcome = OUTCOME_OK;
    if (action == OPTIONS_RUN || operands->count > 0) {
        outcome = take_operands(command, operands, &error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = check_broker(&command->settings.service.common, &error);
    }
    if (outcome != OUTCOME_OK) {
        return lifecycle_fail(program, outcome, &error);
    }
    if (action == OPTIONS_CHECK_CONFIG) {
        puts("configuration is valid");
        options_print_profile(program, &command->settings);
        return EXIT_OK;
    }
    broker_set_program(settings_program.name);
    return run(command, program);
}

int dead_letters_command(int argc, char **argv)
{
    adapt_service_rows();
    const struct options_program program = {
        .name = "session-service dead-letters",
        .environment_prefix = settings_program.environment_prefix,
        .summary = "Lists, shows, sends back and removes the messages that were put aside.",
        .explanation = explanation,
        .operands = "list | show ID... | redrive [ID...] | purge ID...",
        .rows = rows,
        .count = sizeof(rows) / sizeof(rows[0]),
        .profile = settings_program.profile,
    };

    lifecycle_protect_process();
    struct command *command = &the_command;
    struct options_operands operands = {0};
    enum options_action action = OPTIONS_RUN;
    struct error error;
    int exit_code = EXIT_OK;
    enum outcome outcome =
        options_load(&program, argc, argv, &command->settings, &operands, &action, &error);
    if (outcome != OUTCOME_OK) {
        exit_code = lifecycle_fail(&program, outcome, &error);
    } else if (action != OPTIONS_EXIT) {
        exit_code = run_or_check(command, &program, &operands, action);
    }
    free(operands.items);
    free(command->wanted);
    options_done(&program, &command->settings);
    return exit_code;
}
