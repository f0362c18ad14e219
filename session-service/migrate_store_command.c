/* The options, the lock of the directory, and what is said meanwhile. A signal may end the process
 * at any point: the next one goes on from there. */
#include "session-service/migrate_store_command.h"

#include "session-service/settings.h"
#include "session-service/store/store_import.h"

#include "common/base/clock.h"
#include "common/service/lifecycle.h"
#include "common/service/state_directory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BAR_CHARACTERS = 40, BAR_EVERY_MS = 100, LINE_EVERY_MS = 2000 };

#define MIGRATE_OPTIONS(OPTION)                                                                    \
    OPTION(from, TEXT("DIR"), "from", NULL,                                                        \
           "the state directory whose store is copied; no session-service may have it in use",     \
           .command_line_only = true)                                                              \
    OPTION(to, TEXT("URL"), "to", NULL,                                                            \
           "where it goes, as in --store of the service: "                                         \
           "postgresql://USER@HOST[:PORT][,HOST...]/DATABASE[?PARAMETER=VALUE&...]",               \
           .command_line_only = true, .secret = true)

struct migrate_settings {
    MIGRATE_OPTIONS(OPTION_MEMBER)
    struct settings service;
};

#define MIGRATE_ROW(...) OPTION_ROW(struct migrate_settings, __VA_ARGS__)
#define COMMON_ROW(member, ...)                                                                    \
    OPTION_ROW(struct migrate_settings, service.common.member, __VA_ARGS__)
#define SESSION_ROW(member, ...) OPTION_ROW(struct migrate_settings, service.member, __VA_ARGS__)

static struct option_row rows[] = {MIGRATE_OPTIONS(MIGRATE_ROW) COMMON_OPTIONS(
    COMMON_ROW, SESSION_LISTEN_DEFAULT) SESSION_OPTIONS(SESSION_ROW)};

static const char explanation[] =
    "Copies what is in DIR/session-service.db, and leaves it as it is. Stop the session-services\n"
    "before, and start them with --store URL when it says that all is there. If it is ended on "
    "the\n"
    "way, run it again: it goes on where it was. The file of --config may be the service's own; "
    "its\n"
    "other options are only checked.\n"
    "\n"
    "    session-service migrate-store --from /var/lib/session-service \\\n"
    "        --to postgresql://session@db.example.org/session\n";

/* Static: a connection attempt that is left behind may read them until the process ends. */
static struct migrate_settings settings;

struct progress {
    bool is_terminal, is_shown; /* a bar is on the line */
    uint64_t shown_at_ms;       /* 0: not yet */
};

static void end_bar(struct progress *progress)
{
    if (progress->is_shown) {
        fputc('\n', stderr);
    }
    progress->is_shown = false;
}

static void show_copied(struct progress *progress, int64_t copied, int64_t total)
{
    int percent = total > 0 ? (int)(copied * 100 / total) : 100;
    if (!progress->is_terminal) {
        fprintf(stderr, "migrate-store: %" PRId64 " of %" PRId64 " rows are copied\n", copied,
                total);
        return;
    }
    static const char full[] = "########################################";
    int width = percent * BAR_CHARACTERS / 100;
    fprintf(stderr, "\r[%-*.*s] %3d%% %" PRId64 "/%" PRId64, BAR_CHARACTERS, width, full, percent,
            copied, total);
    progress->is_shown = true;
}

static void show(void *context, enum store_import_phase phase, int64_t copied, int64_t total)
{
    struct progress *progress = context;
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t every_ms = progress->is_terminal ? BAR_EVERY_MS : LINE_EVERY_MS;
    switch (phase) {
    case STORE_IMPORT_COUNTS:
        fprintf(stderr, "migrate-store: counting what is to be copied\n");
        break;
    case STORE_IMPORT_COPIES:
        if (progress->shown_at_ms == 0 || copied == total ||
            now_ms - progress->shown_at_ms >= every_ms) {
            progress->shown_at_ms = now_ms;
            show_copied(progress, copied, total);
        }
        break;
    case STORE_IMPORT_COMPARES:
        end_bar(progress);
        fprintf(stderr, "migrate-store: comparing both sides\n");
        break;
    }
}

static enum outcome import(const struct state_directory *directory,
                           const struct store_import_options *given, struct error *ret_error)
{
    struct progress progress = {.is_terminal = isatty(STDERR_FILENO) == 1};
    struct store_import_result result = {.was_done = false};
    struct store_import_options options = *given;
    options.lock = &directory->lock;
    options.show = show;
    options.context = &progress;
    enum outcome outcome = store_import(&options, &result, ret_error);
    end_bar(&progress);
    if (result.warning.text[0] != '\0') {
        fprintf(stderr, "migrate-store: warning: %s\n", result.warning.text);
    }
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    const int64_t *counts = result.rows;
    printf("%s: %" PRId64 " message ids, %" PRId64 " users, %" PRId64 " tombstones, %" PRId64
           " attempts\n",
           result.was_done ? "the store was imported before"
                           : "the store is imported, and both sides have the same rows and sums",
           counts[STORE_IMPORT_INBOX], counts[STORE_IMPORT_USERS], counts[STORE_IMPORT_TOMBSTONES],
           counts[STORE_IMPORT_ATTEMPTS]);
    return fflush(stdout) == 0 ? OUTCOME_OK
                               : error_set_errno(ret_error, OUTCOME_TRANSIENT, errno,
                                                 "cannot write to standard output");
}

static enum outcome check(struct store_import_options *options, struct error *ret_error)
{
    if (settings.from == NULL || settings.to == NULL) {
        return error_set(ret_error, OUTCOME_INVALID, "--from DIR and --to URL are needed");
    }
    *options = (struct store_import_options){.directory = settings.from,
                                             .url = settings.to,
                                             .password_file = settings.service.store_password_file,
                                             .partitions = settings.service.inbox_partitions};
    return store_import_check(options, ret_error);
}

static enum outcome run(struct store_import_options *options, struct error *ret_error)
{
    struct state_directory directory;
    enum outcome outcome =
        state_directory_choose(settings.from, settings_program.name, &directory, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    bool is_held = false;
    outcome = state_directory_try(&directory, &is_held, ret_error);
    if (outcome == OUTCOME_OK && !is_held) {
        struct error holder = *ret_error;
        outcome = error_set(ret_error, OUTCOME_INVALID, "%s; stop it first", holder.text);
    }
    if (outcome == OUTCOME_OK) {
        outcome = import(&directory, options, ret_error);
    }
    state_directory_release(&directory);
    return outcome;
}

/* The service's rows follow the command's own. */
static void adapt_service_rows(void)
{
    const size_t own = sizeof((struct option_row[]){MIGRATE_OPTIONS(MIGRATE_ROW)}) / sizeof(*rows);
    for (size_t i = own; i < sizeof(rows) / sizeof(rows[0]); i++) {
        rows[i].file_only = strcmp(rows[i].name, "store-password-file") != 0 &&
                            strcmp(rows[i].name, "inbox-partitions") != 0;
    }
}

int migrate_store_command(int argc, char **argv)
{
    adapt_service_rows();
    const struct options_program program = {
        .name = "session-service migrate-store",
        .environment_prefix = settings_program.environment_prefix,
        .summary = "Copies the embedded store of a state directory into PostgreSQL.",
        .explanation = explanation,
        .rows = rows,
        .count = sizeof(rows) / sizeof(rows[0]),
        .profile = settings_program.profile,
    };
    lifecycle_protect_process();
    struct store_import_options options;
    enum options_action action = OPTIONS_RUN;
    struct error error;
    enum outcome outcome = options_load(&program, argc, argv, &settings, NULL, &action, &error);
    if (outcome == OUTCOME_OK && action == OPTIONS_EXIT) {
        return EXIT_OK;
    }
    if (outcome == OUTCOME_OK) {
        outcome = check(&options, &error);
    }
    if (outcome == OUTCOME_OK && action == OPTIONS_CHECK_CONFIG) {
        puts("configuration is valid");
        return EXIT_OK;
    }
    if (outcome == OUTCOME_OK) {
        outcome = run(&options, &error);
    }
    return outcome == OUTCOME_OK ? EXIT_OK : lifecycle_fail(&program, outcome, &error);
}
