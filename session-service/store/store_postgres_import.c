/* From the embedded store into PostgreSQL: who may begin, and the comparison. */
#include "session-service/store/store_postgres_import_page.h"

#include "session-service/store/store_postgres_connector.h"
#include "session-service/store/store_postgres_url.h"

#include "common/base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    KEY_BYTES_MAX = 64 * 1024 * 1024,
    SOURCE_BYTES_MAX = 4096,
    CONNECT_MS = 60000,   /* several hosts, and another program may be making the tables */
    COMPARE_MS = 3600000, /* each row is read */
    /* A killed import's last page may still be under way. */
    LOCK_WAIT_MS = 10000,
    LOCK_EVERY_MS = 200,
};

#define SEPARATOR ";" /* of the sums of tables */
#define OCTETS(column) EXPORT_PLUS("coalesce(sum(octet_length(" column ")), 0)")
static const char *const sums[STORE_IMPORT_TABLES] = {EXPORT_SUMS(0, OCTETS)};

enum outcome store_import_check(const struct store_import_options *options, struct error *ret_error)
{
    struct postgres_url url;
    struct database *database = NULL;
    struct error cause;
    enum outcome outcome = postgres_url_read(options->url, NULL, &url, &cause);
    if (outcome != OUTCOME_OK) {
        return error_set(ret_error, outcome, "--to: %s", cause.text);
    }
    postgres_url_done(&url);
    outcome = export_create(options->directory, NULL, &database, ret_error);
    if (outcome == OUTCOME_OK) {
        database_free(database);
    }
    return outcome;
}

static enum outcome open_source(struct import *import, struct error *ret_error)
{
    enum outcome outcome = export_create(import->options->directory, import->options->lock,
                                         &import->database, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = database_open(import->database, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        import_show(import, STORE_IMPORT_COUNTS);
    }
    for (int table = 0; outcome == OUTCOME_OK && table < STORE_IMPORT_TABLES; table++) {
        buffer_append_text(&import->source, table == 0 ? "" : SEPARATOR);
        outcome = export_sum(import->database, (enum store_import_table)table, &import->source,
                             &import->rows[table], ret_error);
        import->total += import->rows[table];
    }
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    buffer_append_byte(&import->source, '\0');
    return import->source.failed ? error_set(ret_error, OUTCOME_BUSY, "no memory for the import")
                                 : OUTCOME_OK;
}

static enum outcome connect_to_target(struct import *import, struct postgres_connector *connector,
                                      struct error *ret_error)
{
    enum outcome outcome = postgres_connector_take(connector, clock_monotonic_ms() + CONNECT_MS,
                                                   NULL, NULL, &import->postgres, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    postgres_begin(import->postgres, IMPORT_PAGE_MS);
    return postgres_run_script(import->postgres,
                               "SET application_name = 'session-service migrate-store';"
                               "SET statement_timeout = '60s'",
                               NULL, ret_error);
}

static enum outcome read_place(struct import *import, struct error *ret_error)
{
    PGresult *result = NULL;
    enum outcome outcome = postgres_run_script(
        import->postgres, "SELECT is_finished, step, copied, last_key, source FROM import", &result,
        ret_error);
    import->is_begun = outcome == OUTCOME_OK && PQntuples(result) == 1;
    if (import->is_begun) {
        import->is_finished = strcmp(PQgetvalue(result, 0, 0), "t") == 0;
        import->step = strtoll(PQgetvalue(result, 0, 1), NULL, 10);
        import->copied = strtoll(PQgetvalue(result, 0, 2), NULL, 10);
        buffer_clear(&import->last_key);
        buffer_append_text(&import->last_key, PQgetvalue(result, 0, 3));
        if (strcmp(PQgetvalue(result, 0, 4), import->source.data) != 0) {
            outcome = error_set(
                ret_error, OUTCOME_INVALID,
                "--to has an import of another store, or %s has changed since it was begun: "
                "begin anew with an empty target (docs/postgresql.md)",
                import->options->directory);
        }
    }
    PQclear(result);
    return outcome;
}

/* Who has the target in use, in words. */
static enum outcome refuse_in_use(struct import *import, struct error *ret_error)
{
    PGresult *result = NULL;
    enum outcome outcome = postgres_run_script(
        import->postgres,
        "SELECT coalesce(nullif(a.application_name, ''), 'a program') || ' at ' ||"
        " coalesce(host(a.client_addr), 'a local socket') || ' (process ' || l.pid ||"
        " ' of PostgreSQL)' FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)"
        " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.database ="
        " (SELECT oid FROM pg_database WHERE datname = current_database()) AND"
        " l.classid::int8 << 32 | l.objid::int8 = " POSTGRES_USE_LOCK " LIMIT 1",
        &result, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome =
            error_set(ret_error, OUTCOME_INVALID,
                      "--to is in use by %s: stop all session-services and imports that use it",
                      PQntuples(result) == 1 ? PQgetvalue(result, 0, 0) : "another process");
    }
    PQclear(result);
    return outcome;
}

/* The lock is held until the connection ends. */
static enum outcome lock_target(struct import *import, struct error *ret_error)
{
    const struct timespec pause = {.tv_nsec = LOCK_EVERY_MS * 1000000L};
    uint64_t deadline_ms = clock_monotonic_ms() + LOCK_WAIT_MS;
    bool is_held = false;
    for (;;) {
        PGresult *result = NULL;
        enum outcome outcome = postgres_run_script(
            import->postgres, "SELECT pg_try_advisory_lock(" POSTGRES_USE_LOCK ")", &result,
            ret_error);
        is_held = outcome == OUTCOME_OK && strcmp(PQgetvalue(result, 0, 0), "t") == 0;
        PQclear(result);
        if (outcome != OUTCOME_OK || is_held) {
            return outcome;
        }
        if (clock_monotonic_ms() >= deadline_ms) {
            return refuse_in_use(import, ret_error);
        }
        (void)nanosleep(&pause, NULL);
    }
}

static enum outcome check_empty(struct import *import, struct error *ret_error)
{
    PGresult *result = NULL;
    enum outcome outcome =
        postgres_run_script(import->postgres,
                            "SELECT EXISTS (SELECT FROM inbox) OR EXISTS (SELECT FROM users) OR"
                            " EXISTS (SELECT FROM tombstones) OR EXISTS (SELECT FROM attempts)",
                            &result, ret_error);
    if (outcome == OUTCOME_OK && strcmp(PQgetvalue(result, 0, 0), "f") != 0) {
        outcome = error_set(ret_error, OUTCOME_INVALID,
                            "--to has rows of its own: a store is imported into an empty one");
    }
    PQclear(result);
    return outcome;
}

static enum outcome begin(struct import *import, struct error *ret_error)
{
    enum outcome outcome = check_empty(import, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    struct buffer script;
    buffer_init(&script, SOURCE_BYTES_MAX * 2);
    buffer_append_format(&script, "INSERT INTO import VALUES (true, '%s', 0, '', 0, false)",
                         import->source.data);
    buffer_append_byte(&script, '\0');
    outcome = script.failed ? error_set(ret_error, OUTCOME_BUSY, "no memory for the import")
                            : postgres_run_script(import->postgres, script.data, NULL, ret_error);
    buffer_done(&script);
    return outcome;
}

static enum outcome compare_table(struct import *import, enum store_import_table table,
                                  struct slice expected, struct error *ret_error)
{
    PGresult *result = NULL;
    enum outcome outcome = postgres_run_script(import->postgres, sums[table], &result, ret_error);
    if (outcome == OUTCOME_OK && !slice_equal(slice_of(PQgetvalue(result, 0, 1)), expected)) {
        outcome = error_set(ret_error, OUTCOME_INVALID,
                            "the stores differ: rows and sums are \"%.*s\" in --from and \"%s\" in "
                            "--to; begin anew with an empty target (docs/postgresql.md)",
                            (int)expected.length, expected.data, PQgetvalue(result, 0, 1));
    }
    PQclear(result);
    return outcome;
}

/* That nothing was lost or changed on the way. */
static enum outcome compare(struct import *import, struct error *ret_error)
{
    const char *rest = import->source.data;
    postgres_begin(import->postgres, COMPARE_MS);
    enum outcome outcome = postgres_run_script(
        import->postgres, "SET statement_timeout = 0; SET enable_seqscan = on", NULL, ret_error);
    for (int table = 0; outcome == OUTCOME_OK && table < STORE_IMPORT_TABLES; table++) {
        const struct slice expected = {rest, strcspn(rest, SEPARATOR)};
        outcome = compare_table(import, (enum store_import_table)table, expected, ret_error);
        rest += expected.length + (rest[expected.length] != '\0');
    }
    return outcome;
}

static enum outcome copy_all(struct import *import, struct error *ret_error)
{
    enum outcome outcome = lock_target(import, ret_error);
    if (outcome == OUTCOME_OK) {
        /* Again: another import may have had the lock until now. */
        outcome = read_place(import, ret_error);
    }
    if (outcome == OUTCOME_OK && !import->is_begun) {
        outcome = begin(import, ret_error);
    }
    import_show(import, STORE_IMPORT_COPIES);
    while (outcome == OUTCOME_OK && import->step < STORE_IMPORT_TABLES) {
        outcome = import_copy_page(import, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        import_show(import, STORE_IMPORT_COMPARES);
        outcome = compare(import, ret_error);
    }
    return outcome != OUTCOME_OK
               ? outcome
               : postgres_run_script(import->postgres, "UPDATE import SET is_finished = true", NULL,
                                     ret_error);
}

static enum outcome run(struct import *import, struct postgres_connector *connector,
                        struct store_import_result *ret_result, struct error *ret_error)
{
    enum outcome outcome = open_source(import, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = connect_to_target(import, connector, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = read_place(import, ret_error);
    }
    ret_result->was_done = import->is_finished;
    /* Services may use a target that is complete. */
    return outcome == OUTCOME_OK && !import->is_finished ? copy_all(import, ret_error) : outcome;
}

enum outcome store_import(const struct store_import_options *options,
                          struct store_import_result *ret_result, struct error *ret_error)
{
    const struct postgres_connector_options connection = {
        .url = options->url,
        .password_file = options->password_file,
        .use = POSTGRES_USE_IMPORTS,
        .partitions = options->partitions,
        .thread_name = "import-connect",
    };
    struct import import = {.options = options};
    struct postgres_connector *connector = NULL;
    buffer_init(&import.source, SOURCE_BYTES_MAX);
    buffer_init(&import.last_key, KEY_BYTES_MAX);
    buffer_init(&import.next_key, KEY_BYTES_MAX);
    postgres_columns_init(&import.columns);
    enum outcome outcome = postgres_connector_create(&connection, &connector, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = run(&import, connector, ret_result, ret_error);
        postgres_connector_warning(connector, &ret_result->warning);
    }
    memcpy(ret_result->rows, import.rows, sizeof(ret_result->rows));
    postgres_free(import.postgres);
    postgres_connector_free(connector);
    database_free(import.database);
    postgres_columns_done(&import.columns);
    buffer_done(&import.next_key);
    buffer_done(&import.last_key);
    buffer_done(&import.source);
    return outcome;
}
