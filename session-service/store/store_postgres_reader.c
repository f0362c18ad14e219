/* The questions that come over HTTP, asked over a connection of their own. */
#include "session-service/store/store_json.h"
#include "session-service/store/store_postgres_connector.h"
#include "session-service/store/store_postgres_internal.h"

#include "common/base/clock.h"

#include <stdlib.h>

struct postgres_reader {
    struct store_reader reader;
    struct postgres_connector *connector; /* owned */
    struct postgres *postgres;            /* owned; NULL: none */
};

enum outcome store_postgres_reader_create(const struct store *base,
                                          struct store_reader **ret_reader, struct error *ret_error)
{
    const struct postgres_connector_options connection = {
        .url = base->options.url,
        .password_file = base->options.password_file,
        .use = POSTGRES_USE_READS,
        .thread_name = "reader-connect",
    };
    struct postgres_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the queries");
    }
    enum outcome outcome = postgres_connector_create(&connection, &reader->connector, ret_error);
    if (outcome != OUTCOME_OK) {
        store_postgres_reader_free(&reader->reader);
        return outcome;
    }
    *ret_reader = &reader->reader;
    return OUTCOME_OK;
}

void store_postgres_reader_free(struct store_reader *base)
{
    struct postgres_reader *reader = (struct postgres_reader *)base;
    postgres_free(reader->postgres);
    postgres_connector_free(reader->connector);
    free(reader);
}

static struct stored_session session_of(const PGresult *rows, int row)
{
    return (struct stored_session){
        .id = postgres_field(rows, row, 0),
        .user_id = postgres_field(rows, row, 1),
        .opened_at_ms = postgres_field_integer(rows, row, 2),
        .extended_at_ms = postgres_field_integer(rows, row, 3),
        .expires_at_ms = postgres_field_integer(rows, row, 4),
        .saves = postgres_field_integer(rows, row, 5),
    };
}

static void append_page(const PGresult *rows, int64_t limit, struct buffer *json)
{
    struct store_json_page page = store_json_page_begin(json, limit);
    for (int i = 0; i < PQntuples(rows); i++) {
        const struct stored_session session = session_of(rows, i);
        store_json_page_add(&page, &session);
    }
    store_json_page_end(&page);
}

static void append_row(const PGresult *rows, enum question question, struct buffer *json)
{
    if (question == ASK_USER) {
        const struct stored_user user = {
            .body = postgres_field(rows, 0, 0),
            .saved_at_ms = postgres_field_integer(rows, 0, 1),
            .message_id = postgres_field(rows, 0, 2),
            .session_id = postgres_field(rows, 0, 3),
        };
        store_json_append_user(&user, json);
    } else {
        const struct stored_session session = session_of(rows, 0);
        store_json_append_session(&session, json);
    }
}

static enum outcome select_rows(struct postgres_reader *reader, enum question question,
                                struct slice key, int64_t limit, int64_t now_ms,
                                struct buffer *json, bool *ret_found, struct error *ret_error)
{
    static const enum postgres_statement statements[] = {
        [ASK_SESSIONS] = POSTGRES_SELECT_SESSIONS,
        [ASK_SESSION] = POSTGRES_SELECT_SESSION,
        [ASK_USER] = POSTGRES_SELECT_USER,
    };
    struct postgres_values values = {.count = 0};
    PGresult *rows = NULL;
    bool newest = question == ASK_SESSIONS && key.length == 0;
    postgres_add_text(&values, newest ? slice_of("~") : key); /* '~' is behind all ids */
    postgres_add_integer(&values, now_ms);
    if (question == ASK_SESSIONS) {
        postgres_add_integer(&values, limit + 1);
    }
    enum outcome outcome =
        postgres_run(reader->postgres, statements[question], &values, &rows, ret_error);
    if (outcome == OUTCOME_OK) {
        *ret_found = question == ASK_SESSIONS || PQntuples(rows) > 0;
    }
    if (outcome == OUTCOME_OK && *ret_found) {
        store_json_begin(json);
        if (question == ASK_SESSIONS) {
            append_page(rows, limit, json);
        } else {
            append_row(rows, question, json);
        }
        store_json_end(json);
    }
    PQclear(rows);
    return outcome;
}

static enum outcome send_end(struct postgres *postgres, struct slice key, int64_t now_ms,
                             struct error *ret_error)
{
    struct postgres_values values = {.count = 0};
    postgres_add_text(&values, key);
    enum outcome outcome = postgres_send(postgres, POSTGRES_BEGIN, NULL, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = postgres_send(postgres, POSTGRES_LOCK_USER_OF_SESSION, &values, ret_error);
    }
    postgres_add_integer(&values, now_ms);
    if (outcome == OUTCOME_OK) {
        outcome = postgres_send(postgres, POSTGRES_END_SESSION, &values, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = postgres_send(postgres, POSTGRES_COMMIT, NULL, ret_error);
    }
    return outcome == OUTCOME_OK ? postgres_sync(postgres, ret_error) : outcome;
}

static enum outcome end_session(struct postgres *postgres, struct slice key, int64_t now_ms,
                                bool *ret_found, struct error *ret_error)
{
    PGresult *ended = NULL;
    enum outcome outcome = send_end(postgres, key, now_ms, ret_error);
    for (int i = 0; outcome == OUTCOME_OK && i < 2; i++) { /* begin, lock */
        outcome = postgres_next(postgres, NULL, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = postgres_next(postgres, &ended, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        *ret_found = strcmp(PQcmdTuples(ended), "0") != 0;
        outcome = postgres_next(postgres, NULL, ret_error);
    }
    PQclear(ended);
    return outcome == OUTCOME_OK ? postgres_end(postgres, ret_error) : outcome;
}

static enum outcome begin(struct postgres_reader *reader, struct error *ret_error)
{
    uint64_t deadline_ms = clock_monotonic_ms() + POSTGRES_CALL_MS;
    reader->postgres = postgres_keep_or_free(reader->postgres);
    if (reader->postgres == NULL) {
        enum outcome outcome = postgres_connector_take(reader->connector, deadline_ms, NULL, NULL,
                                                       &reader->postgres, ret_error);
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
    }
    uint64_t now_ms = clock_monotonic_ms();
    postgres_begin(reader->postgres, now_ms < deadline_ms ? deadline_ms - now_ms : 0);
    return OUTCOME_OK;
}

enum outcome store_postgres_reader_ask(struct store_reader *base, enum question question,
                                       struct slice key, int64_t limit, int64_t now_ms,
                                       struct buffer *json, bool *ret_found,
                                       struct error *ret_error)
{
    struct postgres_reader *reader = (struct postgres_reader *)base;
    enum outcome outcome = begin(reader, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    outcome = question == ASK_END_SESSION
                  ? end_session(reader->postgres, key, now_ms, ret_found, ret_error)
                  : select_rows(reader, question, key, limit, now_ms, json, ret_found, ret_error);
    if (outcome != OUTCOME_OK) {
        /* What is no text in UTF-8 is nobody's id. */
        bool is_no_text = strcmp(reader->postgres->code, "22021") == 0;
        if (!postgres_abandon(reader->postgres)) {
            postgres_free(reader->postgres);
            reader->postgres = NULL;
        } else if (is_no_text) {
            *ret_found = false;
            outcome = OUTCOME_OK;
        }
    }
    if (outcome == OUTCOME_OK && json->failed) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the reply");
    }
    return outcome;
}
