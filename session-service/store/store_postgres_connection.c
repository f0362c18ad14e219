/* libpq without its waits: the socket is polled here, in slices. */
#include "session-service/store/store_postgres_connection.h"

#include "common/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum { BINARY = 1 };

static const char *const names[] = {POSTGRES_STATEMENTS(POSTGRES_STATEMENT_TEXT_NAME)};

void postgres_add_text(struct postgres_values *values, struct slice text)
{
    /* A value without an address is NULL. */
    values->items[values->count++] = text.data == NULL ? (struct slice){"", 0} : text;
}

void postgres_add_integer(struct postgres_values *values, int64_t number)
{
    char *bytes = values->integers[values->count];
    postgres_write_integer(number, bytes);
    values->items[values->count++] = (struct slice){bytes, POSTGRES_INTEGER_BYTES};
}

/* What is a warning to the server is not printed to standard error. */
static void ignore_notice(void *context, const PGresult *notice)
{
    (void)context;
    (void)notice;
}

enum outcome postgres_create(PGconn *handle, struct postgres **ret_postgres,
                             struct error *ret_error)
{
    struct postgres *postgres = calloc(1, sizeof(*postgres));
    if (postgres == NULL || PQsetnonblocking(handle, 1) != 0 || PQenterPipelineMode(handle) != 1) {
        free(postgres);
        return error_set(ret_error, OUTCOME_BUSY, "no memory for a connection to PostgreSQL");
    }
    (void)PQsetNoticeReceiver(handle, ignore_notice, NULL);
    postgres->handle = handle;
    *ret_postgres = postgres;
    return OUTCOME_OK;
}

void postgres_free(struct postgres *postgres)
{
    if (postgres != NULL) {
        PQfinish(postgres->handle);
    }
    free(postgres);
}

struct postgres *postgres_keep_or_free(struct postgres *postgres)
{
    if (postgres == NULL ||
        (PQconsumeInput(postgres->handle) == 1 && PQstatus(postgres->handle) == CONNECTION_OK)) {
        return postgres;
    }
    postgres_free(postgres);
    return NULL;
}

void postgres_begin(struct postgres *postgres, uint64_t wait_ms)
{
    postgres->deadline_ms = clock_monotonic_ms() + wait_ms;
    postgres->code[0] = '\0';
}

/* libpq's text, which says of a lost connection what the system said. */
static enum outcome lost(const struct postgres *postgres, struct error *ret_error)
{
    const char *text = PQerrorMessage(postgres->handle);
    size_t length = strcspn(text, "\n");
    return error_set(ret_error, OUTCOME_TRANSIENT, "the connection to PostgreSQL is lost: %.*s",
                     (int)length, length > 0 ? text : "no reason was given");
}

static enum outcome queued(struct postgres *postgres, int is_queued, struct error *ret_error)
{
    return is_queued == 1 ? OUTCOME_OK : lost(postgres, ret_error);
}

enum outcome postgres_send(struct postgres *postgres, enum postgres_statement name,
                           const struct postgres_values *values, struct error *ret_error)
{
    const char *data[POSTGRES_VALUES_MAX];
    int lengths[POSTGRES_VALUES_MAX], formats[POSTGRES_VALUES_MAX];
    int count = values == NULL ? 0 : values->count;
    for (int i = 0; i < count; i++) {
        data[i] = values->items[i].data;
        lengths[i] = (int)values->items[i].length;
        formats[i] = BINARY;
    }
    return queued(
        postgres,
        PQsendQueryPrepared(postgres->handle, names[name], count, data, lengths, formats, BINARY),
        ret_error);
}

enum outcome postgres_send_prepare(struct postgres *postgres, const char *name, const char *text,
                                   struct error *ret_error)
{
    return queued(postgres, PQsendPrepare(postgres->handle, name, text, 0, NULL), ret_error);
}

enum outcome postgres_sync(struct postgres *postgres, struct error *ret_error)
{
    int is_queued = PQpipelineSync(postgres->handle);
    postgres->ends += is_queued == 1;
    return queued(postgres, is_queued, ret_error);
}

static enum outcome poll_socket(struct postgres *postgres, bool has_unsent, struct error *ret_error)
{
    uint64_t now_ms = clock_monotonic_ms();
    if (now_ms >= postgres->deadline_ms) {
        return error_set(ret_error, OUTCOME_TRANSIENT, "PostgreSQL does not answer in time");
    }
    uint64_t left_ms = postgres->deadline_ms - now_ms;
    int slice_ms = left_ms < POSTGRES_LIFE_EVERY_MS ? (int)left_ms : POSTGRES_LIFE_EVERY_MS;
    struct pollfd socket = {.fd = PQsocket(postgres->handle),
                            .events = (short)(POLLIN | (has_unsent ? POLLOUT : 0))};
    if (poll(&socket, 1, slice_ms) < 0 && errno != EINTR) {
        return error_set_errno(ret_error, OUTCOME_TRANSIENT, errno, "wait for PostgreSQL");
    }
    if (socket.revents == 0 && postgres->show_life != NULL &&
        !postgres->show_life(postgres->context) && left_ms > POSTGRES_LAST_MS) {
        postgres->deadline_ms = now_ms + POSTGRES_LAST_MS;
    }
    return OUTCOME_OK;
}

static enum outcome wait_for_result(struct postgres *postgres, PGresult **ret_result,
                                    struct error *ret_error)
{
    int unsent = PQflush(postgres->handle);
    while (unsent >= 0 && PQisBusy(postgres->handle)) {
        enum outcome outcome = poll_socket(postgres, unsent > 0, ret_error);
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
        if (PQconsumeInput(postgres->handle) != 1) {
            return lost(postgres, ret_error);
        }
        unsent = PQflush(postgres->handle);
    }
    if (unsent < 0) {
        return lost(postgres, ret_error);
    }
    *ret_result = PQgetResult(postgres->handle);
    postgres->ends -= PQresultStatus(*ret_result) == PGRES_PIPELINE_SYNC;
    return OUTCOME_OK;
}

/* What a person can do about a failure whose own words do not say it. */
static const struct advice {
    const char *code; /* SQLSTATE, or its first two characters */
    enum outcome outcome;
    const char *text;
} advices[] = {
    {"42501", OUTCOME_INVALID, "; grant this role its rights: docs/postgresql.md"},
    {"42P01", OUTCOME_INVALID, "; run what session-service schema --print prints"},
    {"3F000", OUTCOME_INVALID, "; run what session-service schema --print prints"},
    {"25006", OUTCOME_TRANSIENT, "; this server is a standby or read-only: name the primary"},
    {"53100", OUTCOME_TRANSIENT, "; the server's disk is full"},
    {"53200", OUTCOME_TRANSIENT, "; raise the server's max_locks_per_transaction"},
    {"55P03", OUTCOME_TRANSIENT, "; another session holds the same rows or locks"},
};

static enum outcome explain(struct postgres *postgres, const PGresult *result,
                            struct error *ret_error)
{
    const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (code == NULL) {
        return lost(postgres, ret_error);
    }
    memcpy(postgres->code, code, strnlen(code, sizeof(postgres->code) - 1) + 1);
    enum outcome outcome = OUTCOME_TRANSIENT;
    const char *advice = "";
    for (size_t i = 0; i < sizeof(advices) / sizeof(advices[0]); i++) {
        if (strcmp(code, advices[i].code) == 0) {
            outcome = advices[i].outcome;
            advice = advices[i].text;
        }
    }
    return error_set(ret_error, outcome, "PostgreSQL: %s (%s)%s", text != NULL ? text : "an error",
                     code, advice);
}

enum outcome postgres_next(struct postgres *postgres, PGresult **ret_result,
                           struct error *ret_error)
{
    PGresult *result = NULL;
    PGresult *behind = NULL; /* in a pipeline a NULL ends each statement's results */
    enum outcome outcome = wait_for_result(postgres, &result, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    switch ((int)PQresultStatus(result)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
        outcome = wait_for_result(postgres, &behind, ret_error);
        break;
    case PGRES_FATAL_ERROR:
        outcome = result == NULL ? lost(postgres, ret_error) : explain(postgres, result, ret_error);
        break;
    default:
        outcome = error_set(ret_error, OUTCOME_TRANSIENT, "PostgreSQL answers out of turn");
        break;
    }
    if (outcome == OUTCOME_OK && ret_result != NULL) {
        *ret_result = result;
    } else {
        PQclear(result);
    }
    PQclear(behind);
    return outcome;
}

enum outcome postgres_end(struct postgres *postgres, struct error *ret_error)
{
    PGresult *result = NULL;
    enum outcome outcome = wait_for_result(postgres, &result, ret_error);
    if (outcome == OUTCOME_OK && PQresultStatus(result) != PGRES_PIPELINE_SYNC) {
        outcome = lost(postgres, ret_error);
    }
    PQclear(result);
    return outcome;
}

/* Takes the results of all that was sent. */
static bool drain(struct postgres *postgres)
{
    while (postgres->ends > 0) {
        PGresult *result = NULL;
        if (PQstatus(postgres->handle) != CONNECTION_OK ||
            wait_for_result(postgres, &result, NULL) != OUTCOME_OK) {
            return false;
        }
        PQclear(result);
    }
    return true;
}

bool postgres_abandon(struct postgres *postgres)
{
    /* What was sent last may have no end; one more does no harm. */
    if (postgres_sync(postgres, NULL) != OUTCOME_OK || !drain(postgres)) {
        return false;
    }
    if (PQtransactionStatus(postgres->handle) == PQTRANS_IDLE) {
        return true;
    }
    return postgres_send(postgres, POSTGRES_ROLLBACK, NULL, NULL) == OUTCOME_OK &&
           postgres_sync(postgres, NULL) == OUTCOME_OK && drain(postgres) &&
           PQtransactionStatus(postgres->handle) == PQTRANS_IDLE;
}

/* Of the one statement that was sent. */
static enum outcome finish(struct postgres *postgres, PGresult **ret_result,
                           struct error *ret_error)
{
    PGresult *result = NULL;
    enum outcome outcome = postgres_sync(postgres, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = postgres_next(postgres, &result, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = postgres_end(postgres, ret_error);
    }
    if (outcome == OUTCOME_OK && ret_result != NULL) {
        *ret_result = result;
    } else {
        PQclear(result);
    }
    return outcome;
}

enum outcome postgres_run(struct postgres *postgres, enum postgres_statement name,
                          const struct postgres_values *values, PGresult **ret_result,
                          struct error *ret_error)
{
    enum outcome outcome = postgres_send(postgres, name, values, ret_error);
    return outcome == OUTCOME_OK ? finish(postgres, ret_result, ret_error) : outcome;
}

enum outcome postgres_run_text(struct postgres *postgres, const char *text, struct error *ret_error)
{
    enum outcome outcome = queued(
        postgres, PQsendQueryParams(postgres->handle, text, 0, NULL, NULL, NULL, NULL, BINARY),
        ret_error);
    return outcome == OUTCOME_OK ? finish(postgres, NULL, ret_error) : outcome;
}

/* Takes the results of a script until there are no more; the last one is kept. */
static enum outcome take_results(struct postgres *postgres, PGresult **ret_last,
                                 struct error *ret_error)
{
    PGresult *result = NULL;
    enum outcome outcome = OUTCOME_OK;
    do {
        struct error *error = outcome == OUTCOME_OK ? ret_error : NULL;
        enum outcome waited = wait_for_result(postgres, &result, error);
        if (waited != OUTCOME_OK) {
            return outcome == OUTCOME_OK ? waited : outcome;
        }
        if (outcome == OUTCOME_OK && result != NULL &&
            PQresultStatus(result) == PGRES_FATAL_ERROR) {
            outcome = explain(postgres, result, ret_error);
        }
        if (result != NULL) {
            PQclear(*ret_last);
            *ret_last = result;
        }
    } while (result != NULL);
    return outcome;
}

enum outcome postgres_run_script(struct postgres *postgres, const char *script,
                                 PGresult **ret_result, struct error *ret_error)
{
    PGresult *last = NULL;
    if (PQexitPipelineMode(postgres->handle) != 1 || PQsendQuery(postgres->handle, script) != 1) {
        return lost(postgres, ret_error);
    }
    enum outcome outcome = take_results(postgres, &last, ret_error);
    if (outcome == OUTCOME_OK && PQenterPipelineMode(postgres->handle) != 1) {
        outcome = lost(postgres, ret_error);
    }
    if (outcome == OUTCOME_OK && ret_result != NULL) {
        *ret_result = last;
    } else {
        PQclear(last);
    }
    return outcome;
}

struct slice postgres_field(const PGresult *result, int row, int column)
{
    if (PQgetisnull(result, row, column)) {
        return (struct slice){0};
    }
    return (struct slice){PQgetvalue(result, row, column),
                          (size_t)PQgetlength(result, row, column)};
}

int64_t postgres_field_integer(const PGresult *result, int row, int column)
{
    return postgres_read_integer(postgres_field(result, row, column));
}
