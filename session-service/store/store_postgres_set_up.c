/* Scripts of several statements go out before the pipelines begin. */
#include "session-service/store/store_postgres_set_up.h"

#include "session-service/store/store_postgres_schema.h"

#include "common/base/clock.h"

#include <stdlib.h>
#include <string.h>

enum {
    OLDEST_SERVER = 130000, /* pg_current_xact_id() */
    SCRIPT_BYTES_MAX = 256 * 1024,
};

/* What this program leaves behind must not hold others up for long: its statements end soon after
 * its own patience has. Plans must not depend on how many rows there were at first. */
#define SETTINGS                                                                                   \
    "SELECT set_config(name, value, false) FROM (VALUES"                                           \
    " ('search_path', '" POSTGRES_SCHEMA "'), ('plan_cache_mode', 'force_generic_plan'),"          \
    " ('jit', 'off'), ('enable_seqscan', 'off'), ('statement_timeout', '5s'),"                     \
    " ('lock_timeout', '2s'), ('idle_in_transaction_session_timeout', '10s'),"                     \
    " ('client_connection_check_interval', '1s')) AS e (name, value)"                              \
    " WHERE EXISTS (SELECT FROM pg_settings s WHERE s.name = e.name)"

/* The catalogue itself is read: to_regclass() may answer from what this connection has seen before
 * another one has made the tables. */
#define HAS_TABLE(name)                                                                            \
    "EXISTS (SELECT FROM pg_tables WHERE schemaname = '" POSTGRES_SCHEMA                           \
    "' AND tablename = '" name "')"

#define FACTS                                                                                      \
    "SELECT current_setting('server_encoding'), current_setting('synchronous_commit'),"            \
    " current_setting('fsync'), current_setting('full_page_writes'), pg_is_in_recovery(),"         \
    " " HAS_TABLE("version") ", " HAS_TABLE("users")

enum fact {
    FACT_ENCODING,
    FACT_SYNCHRONOUS_COMMIT,
    FACT_FSYNC,
    FACT_FULL_PAGE_WRITES,
    FACT_RECOVERY,
    FACT_HAS_VERSION,
    FACT_HAS_USERS,
    FACTS_COUNT
};

static const char *const texts[] = {POSTGRES_STATEMENTS(POSTGRES_STATEMENT_TEXT)};
static const char *const names[] = {POSTGRES_STATEMENTS(POSTGRES_STATEMENT_TEXT_NAME)};

static bool is_on(const PGresult *facts, enum fact fact)
{
    const char *value = PQgetvalue(facts, 0, (int)fact);
    return strcmp(value, "t") == 0 || strcmp(value, "on") == 0;
}

static enum outcome check_facts(const PGresult *facts, struct error *ret_warning,
                                struct error *ret_error)
{
    const char *encoding = PQgetvalue(facts, 0, FACT_ENCODING);
    if (strcmp(encoding, "UTF8") != 0) {
        return error_set(ret_error, OUTCOME_INVALID,
                         "the database has the encoding %s, and must have UTF8: CREATE DATABASE "
                         "... ENCODING 'UTF8' TEMPLATE template0",
                         encoding);
    }
    if (is_on(facts, FACT_RECOVERY)) {
        return error_set(ret_error, OUTCOME_TRANSIENT,
                         "this server is a standby; name the primary too in --store, with "
                         "target_session_attrs=read-write");
    }
    const char *commit = PQgetvalue(facts, 0, FACT_SYNCHRONOUS_COMMIT);
    const char *loose = strcmp(commit, "off") == 0             ? "synchronous_commit"
                        : !is_on(facts, FACT_FSYNC)            ? "fsync"
                        : !is_on(facts, FACT_FULL_PAGE_WRITES) ? "full_page_writes"
                                                               : NULL;
    if (loose != NULL) {
        error_set(ret_warning, OUTCOME_OK,
                  "PostgreSQL has %s = off: what it has confirmed may be lost when its machine "
                  "fails, and then messages are lost that were acknowledged",
                  loose);
    }
    return OUTCOME_OK;
}

static enum outcome read_version(struct postgres *postgres, int *ret_version,
                                 struct error *ret_error)
{
    PGresult *result = NULL;
    enum outcome outcome = postgres_run_script(
        postgres, "SELECT version FROM " POSTGRES_SCHEMA ".version", &result, ret_error);
    if (outcome == OUTCOME_OK) {
        *ret_version = PQntuples(result) == 1 ? atoi(PQgetvalue(result, 0, 0)) : -1;
    }
    PQclear(result);
    return outcome;
}

static enum outcome find_version(struct postgres *postgres, const PGresult *facts, int *ret_version,
                                 struct error *ret_error)
{
    if (is_on(facts, FACT_HAS_VERSION)) {
        return read_version(postgres, ret_version, ret_error);
    }
    *ret_version = 0;
    if (is_on(facts, FACT_HAS_USERS)) {
        return error_set(ret_error, OUTCOME_INVALID,
                         "the schema " POSTGRES_SCHEMA " has tables of another program");
    }
    return OUTCOME_OK;
}

static enum outcome ask_for_facts(struct postgres *postgres, int *ret_version,
                                  struct error *ret_warning, struct error *ret_error)
{
    PGresult *facts = NULL;
    enum outcome outcome = postgres_run_script(postgres, FACTS, &facts, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = check_facts(facts, ret_warning, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = find_version(postgres, facts, ret_version, ret_error);
    }
    PQclear(facts);
    return outcome;
}

static enum outcome run_steps(struct postgres *postgres, int version,
                              enum store_partitions partitions, struct error *ret_error)
{
    struct buffer script;
    size_t length = 0;
    buffer_init(&script, SCRIPT_BYTES_MAX);
    store_postgres_schema_append(&script, version, partitions, (int64_t)clock_wall_ms());
    buffer_append_text(&script, "COMMIT;\n");
    char *text = buffer_take(&script, &length);
    if (text == NULL) {
        buffer_done(&script);
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the schema");
    }
    struct error cause;
    enum outcome outcome = postgres_run_script(postgres, text, NULL, &cause);
    free(text);
    if (outcome == OUTCOME_INVALID) {
        return error_set(ret_error, OUTCOME_INVALID,
                         "this role may not make the tables; have their owner run what "
                         "session-service schema --print prints: %.300s",
                         cause.text);
    }
    if (outcome != OUTCOME_OK) {
        *ret_error = cause;
    }
    return outcome;
}

/* One of all that start at once makes the tables; the others find them made. */
static enum outcome migrate(struct postgres *postgres, enum store_partitions partitions,
                            struct error *ret_error)
{
    int version = 0;
    struct error warning;
    enum outcome outcome = postgres_run_script(
        postgres, "BEGIN; SELECT pg_advisory_xact_lock(" POSTGRES_MIGRATION_LOCK ")", NULL,
        ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = ask_for_facts(postgres, &version, &warning, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = version < store_postgres_version
                      ? run_steps(postgres, version, partitions, ret_error)
                      : postgres_run_script(postgres, "COMMIT", NULL, ret_error);
    }
    return outcome;
}

static enum outcome prepare(struct postgres *postgres, struct error *ret_error)
{
    enum outcome outcome = OUTCOME_OK;
    for (size_t i = 0; outcome == OUTCOME_OK && i < POSTGRES_STATEMENT_COUNT; i++) {
        bool is_rest = i == POSTGRES_PRUNE_INBOX && postgres->inbox == POSTGRES_INBOX_OURS;
        outcome = postgres_send_prepare(postgres, names[i],
                                        is_rest ? POSTGRES_PRUNE_REST : texts[i], ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = postgres_sync(postgres, ret_error);
    }
    for (size_t i = 0; outcome == OUTCOME_OK && i < POSTGRES_STATEMENT_COUNT; i++) {
        outcome = postgres_next(postgres, NULL, ret_error);
    }
    return outcome == OUTCOME_OK ? postgres_end(postgres, ret_error) : outcome;
}

static enum outcome ask_whether(struct postgres *postgres, const char *question, bool *ret_answer,
                                struct error *ret_error)
{
    PGresult *result = NULL;
    enum outcome outcome = postgres_run_script(postgres, question, &result, ret_error);
    if (outcome == OUTCOME_OK) {
        *ret_answer = PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, 0), "t") == 0;
    }
    PQclear(result);
    return outcome;
}

/* What is served while an import is half done would be wrong, and what is written then would be in
 * its way. The lock first: an import begins while it has it alone. */
static enum outcome join(struct postgres *postgres, struct error *ret_error)
{
    bool is_free = false;
    bool is_unfinished = false;
    enum outcome outcome = ask_whether(
        postgres, "SELECT pg_try_advisory_lock_shared(" POSTGRES_USE_LOCK ")", &is_free, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = ask_whether(postgres,
                              "SELECT EXISTS (SELECT FROM " POSTGRES_SCHEMA
                              ".import WHERE NOT is_finished)",
                              &is_unfinished, ret_error);
    }
    if (outcome != OUTCOME_OK || (is_free && !is_unfinished)) {
        return outcome;
    }
    return error_set(ret_error, OUTCOME_TRANSIENT,
                     is_free ? "a store was imported in part: run session-service migrate-store "
                               "again, which goes on where it was, until it says that it is done"
                             : "session-service migrate-store is importing a store: wait until it "
                               "says that it is done");
}

#define HAS_PART(name) " AND to_regclass('" POSTGRES_SCHEMA ".inbox_" name "') IS NOT NULL"

/* As a number of enum postgres_inbox. One that was divided otherwise is of others. */
static const char inbox_kind[] =
    "SELECT CASE WHEN relkind <> 'p' THEN 0 WHEN pg_has_role(relowner, 'USAGE')"
    " AND has_schema_privilege(relnamespace, 'CREATE')" HAS_PART("low") HAS_PART("high")
        HAS_PART("default") " THEN 1 ELSE 2 END"
                            " FROM pg_class WHERE oid = '" POSTGRES_SCHEMA ".inbox'::regclass";

static const char *warning_of(enum postgres_inbox inbox, enum store_partitions wanted)
{
    if (inbox == POSTGRES_INBOX_OF_OTHERS) {
        return "the partitions of the inbox are left to their owner, which this role is not: "
               "have the owner run session-service schema --upkeep";
    }
    if (inbox == POSTGRES_INBOX_OURS && wanted == STORE_PARTITIONS_OFF) {
        return "the inbox has partitions, which are seen to although --inbox-partitions is off: "
               "set it to day";
    }
    if (inbox == POSTGRES_INBOX_WHOLE && wanted == STORE_PARTITIONS_DAY) {
        return "the inbox has no partitions although --inbox-partitions is day: "
               "docs/postgresql.md says how it gets them";
    }
    return NULL;
}

/* What the inbox is, and a warning where that is not what was asked for. */
static enum outcome find_inbox(struct postgres *postgres, enum store_partitions wanted,
                               struct error *warning, struct error *ret_error)
{
    PGresult *result = NULL;
    enum outcome outcome = postgres_run_script(postgres, inbox_kind, &result, ret_error);
    if (outcome == OUTCOME_OK) {
        postgres->inbox = (enum postgres_inbox)atoi(PQgetvalue(result, 0, 0));
    }
    PQclear(result);
    const char *added = outcome == OUTCOME_OK ? warning_of(postgres->inbox, wanted) : NULL;
    if (added != NULL) {
        error_join(warning, "; ", added);
    }
    return outcome;
}

enum outcome postgres_set_up(struct postgres *postgres, enum postgres_use use,
                             enum store_partitions partitions, struct error *ret_warning,
                             struct error *ret_error)
{
    int version = 0;
    *ret_warning = (struct error){.text = ""};
    if (PQserverVersion(postgres->handle) < OLDEST_SERVER) {
        return error_set(ret_error, OUTCOME_INVALID, "PostgreSQL %d is too old: 13 is needed",
                         PQserverVersion(postgres->handle) / 10000);
    }
    enum outcome outcome = postgres_run_script(postgres, SETTINGS, NULL, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = ask_for_facts(postgres, &version, ret_warning, ret_error);
    }
    if (outcome == OUTCOME_OK && version > store_postgres_version) {
        return error_set(ret_error, OUTCOME_INVALID,
                         "the tables are of version %d, and this program knows %d: it is too old",
                         version, store_postgres_version);
    }
    if (outcome == OUTCOME_OK && version < store_postgres_version) {
        outcome = use != POSTGRES_USE_READS
                      ? migrate(postgres, partitions, ret_error)
                      : error_set(ret_error, OUTCOME_TRANSIENT, "the tables are not there yet");
    }
    if (outcome == OUTCOME_OK && use != POSTGRES_USE_IMPORTS) {
        outcome = join(postgres, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = find_inbox(postgres, partitions, ret_warning, ret_error);
    }
    return outcome == OUTCOME_OK ? prepare(postgres, ret_error) : outcome;
}
