/* Needs no server and no libpq. */
#include "session-service/schema_command.h"

#include "session-service/settings.h"
#include "session-service/store/store_postgres_partitions.h"
#include "session-service/store/store_postgres_schema.h"

#include "common/base/clock.h"
#include "common/service/lifecycle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { SCRIPT_BYTES_MAX = 256 * 1024 };

#define SCHEMA_OPTIONS(OPTION)                                                                     \
    OPTION(print, FLAG, "print", NULL,                                                             \
           "print the statements that make the tables; with --inbox-partitions day also the "      \
           "partitions of today and of the next days")                                             \
    OPTION(upkeep, FLAG, "upkeep", NULL,                                                           \
           "print the statements that make the partitions of today and of the next days and drop " \
           "those that are older than --inbox-retention")

struct schema_settings {
    SCHEMA_OPTIONS(OPTION_MEMBER)
    struct settings service;
};

#define SCHEMA_ROW(...) OPTION_ROW(struct schema_settings, __VA_ARGS__)
#define COMMON_ROW(member, ...)                                                                    \
    OPTION_ROW(struct schema_settings, service.common.member, __VA_ARGS__)
#define SESSION_ROW(member, ...) OPTION_ROW(struct schema_settings, service.member, __VA_ARGS__)

static struct option_row rows[] = {SCHEMA_OPTIONS(SCHEMA_ROW) COMMON_OPTIONS(
    COMMON_ROW, SESSION_LISTEN_DEFAULT) SESSION_OPTIONS(SESSION_ROW)};

static const char explanation[] =
    "Prints SQL for the tables of --store postgresql://..., for who runs it as another role than\n"
    "the session-service's. What that role then needs is said in the comments. The file of\n"
    "--config may be the service's own.\n"
    "\n"
    "    session-service schema --print | psql -v ON_ERROR_STOP=1 -d session\n"
    "    session-service schema --upkeep | psql -d session\n";

static enum outcome print(const struct schema_settings *settings, struct error *ret_error)
{
    int64_t now_ms = (int64_t)clock_wall_ms();
    struct buffer sql;
    buffer_init(&sql, SCRIPT_BYTES_MAX);
    if (settings->print) {
        store_postgres_schema_append_script(&sql, settings->service.inbox_partitions, now_ms);
    } else {
        partitions_append_upkeep(&sql, now_ms, settings->service.inbox_retention_ms);
    }
    enum outcome outcome = OUTCOME_OK;
    if (sql.failed) {
        outcome = error_set(ret_error, OUTCOME_BUSY, "no memory for the schema");
    } else if (fwrite(sql.data, 1, sql.length, stdout) != sql.length || fflush(stdout) != 0) {
        outcome = error_set_errno(ret_error, OUTCOME_TRANSIENT, errno, "write the schema");
    }
    buffer_done(&sql);
    return outcome;
}

/* The service's rows follow the command's own. */
static void adapt_service_rows(void)
{
    const size_t own = sizeof((struct option_row[]){SCHEMA_OPTIONS(SCHEMA_ROW)}) / sizeof(*rows);
    for (size_t i = own; i < sizeof(rows) / sizeof(rows[0]); i++) {
        rows[i].file_only = strcmp(rows[i].name, "inbox-partitions") != 0 &&
                            strcmp(rows[i].name, "inbox-retention") != 0;
    }
}

int schema_command(int argc, char **argv)
{
    adapt_service_rows();
    const struct options_program program = {
        .name = "session-service schema",
        .environment_prefix = settings_program.environment_prefix,
        .summary = "Prints the tables in PostgreSQL, or the upkeep of their partitions, as SQL.",
        .explanation = explanation,
        .rows = rows,
        .count = sizeof(rows) / sizeof(rows[0]),
        .profile = settings_program.profile,
    };
    struct schema_settings settings = {.print = false};
    enum options_action action = OPTIONS_RUN;
    struct error error;
    enum outcome outcome = options_load(&program, argc, argv, &settings, NULL, &action, &error);
    if (outcome == OUTCOME_OK && action == OPTIONS_EXIT) {
        return EXIT_OK;
    }
    if (outcome == OUTCOME_OK && settings.print == settings.upkeep) {
        outcome = error_set(&error, OUTCOME_INVALID, "either --print or --upkeep is needed");
    }
    if (outcome == OUTCOME_OK && action == OPTIONS_CHECK_CONFIG) {
        puts("configuration is valid");
    } else if (outcome == OUTCOME_OK) {
        outcome = print(&settings, &error);
    }
    options_done(&program, &settings);
    return outcome == OUTCOME_OK ? EXIT_OK : lifecycle_fail(&program, outcome, &error);
}
