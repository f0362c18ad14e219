/* One statement for each question, and how its rows are told. */
#include "session-service/store/store_json.h"
#include "session-service/store/store_sqlite_internal.h"

#include <stdlib.h>

#define SESSION "id, user_id, opened_at_ms, extended_at_ms, expires_at_ms, saves FROM sessions"

/* Ids are UUIDv7: their order is the order in which sessions were opened. */
static const char *const texts[QUESTIONS] = {
    [ASK_SESSIONS] = "SELECT " SESSION " WHERE id < ?1 AND expires_at_ms > ?2"
                     " ORDER BY id DESC LIMIT ?3",
    [ASK_SESSION] = "SELECT " SESSION " WHERE id = ?1 AND expires_at_ms > ?2",
    [ASK_END_SESSION] = "UPDATE users SET session_id = NULL, opened_at_ms = NULL,"
                        " extended_at_ms = NULL, expires_at_ms = NULL, session_saves = NULL"
                        " WHERE session_id = ?1 AND expires_at_ms > ?2",
    [ASK_USER] = "SELECT body, saved_at_ms, message_id,"
                 " CASE WHEN expires_at_ms > ?2 THEN session_id END"
                 " FROM users WHERE user_id = ?1",
};

struct sqlite_reader {
    struct store_reader reader;
    struct database *database; /* owned */
};

enum outcome store_sqlite_reader_create(const struct store *base, struct store_reader **ret_reader,
                                        struct error *ret_error)
{
    const struct store_sqlite *store = (const struct store_sqlite *)base;
    const struct database_options file = {
        .directory = base->options.directory,
        .file_name = STORE_SQLITE_FILE_NAME,
        .statements = texts,
        .statement_count = QUESTIONS,
        .second = true,
        .first = store->database,
        .lock = base->options.lock,
    };
    struct sqlite_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the queries");
    }
    enum outcome outcome = database_create(&file, &reader->database, ret_error);
    if (outcome != OUTCOME_OK) {
        store_sqlite_reader_free(&reader->reader);
        return outcome;
    }
    *ret_reader = &reader->reader;
    return OUTCOME_OK;
}

void store_sqlite_reader_free(struct store_reader *base)
{
    struct sqlite_reader *reader = (struct sqlite_reader *)base;
    database_free(reader->database);
    free(reader);
}

static struct stored_session session_of(struct statement *row)
{
    return (struct stored_session){
        .id = statement_text(row, 0),
        .user_id = statement_text(row, 1),
        .opened_at_ms = statement_integer(row, 2),
        .extended_at_ms = statement_integer(row, 3),
        .expires_at_ms = statement_integer(row, 4),
        .saves = statement_integer(row, 5),
    };
}

static struct stored_user user_of(struct statement *row)
{
    return (struct stored_user){
        .body = statement_text(row, 0),
        .saved_at_ms = statement_integer(row, 1),
        .message_id = statement_text(row, 2),
        .session_id = statement_text(row, 3),
    };
}

static enum outcome append_page(struct statement *rows, int64_t limit, struct buffer *json,
                                struct error *ret_error)
{
    struct store_json_page page = store_json_page_begin(json, limit);
    statement_bind_integer(rows, 3, limit + 1);
    for (bool row = true; row;) {
        enum outcome outcome = statement_step(rows, &row, ret_error);
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
        if (row) {
            const struct stored_session session = session_of(rows);
            store_json_page_add(&page, &session);
        }
    }
    store_json_page_end(&page);
    return OUTCOME_OK;
}

static enum outcome append_row(struct statement *statement, enum question question,
                               struct buffer *json, bool *ret_found, struct error *ret_error)
{
    enum outcome outcome = statement_step(statement, ret_found, ret_error);
    if (outcome != OUTCOME_OK || !*ret_found) {
        return outcome;
    }
    if (question == ASK_USER) {
        const struct stored_user user = user_of(statement);
        store_json_append_user(&user, json);
    } else {
        const struct stored_session session = session_of(statement);
        store_json_append_session(&session, json);
    }
    statement_reset(statement);
    return OUTCOME_OK;
}

/* An end counts only where the next process finds it, as a commit of the store does. */
static enum outcome end_session(struct sqlite_reader *reader, struct statement *statement,
                                bool *ret_found, struct error *ret_error)
{
    enum outcome outcome = database_in_place(reader->database, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = statement_run(statement, ret_error);
        *ret_found = database_changes(reader->database) > 0;
    }
    return outcome == OUTCOME_OK ? database_in_place(reader->database, ret_error) : outcome;
}

enum outcome store_sqlite_reader_ask(struct store_reader *base, enum question question,
                                     struct slice key, int64_t limit, int64_t now_ms,
                                     struct buffer *json, bool *ret_found, struct error *ret_error)
{
    struct sqlite_reader *reader = (struct sqlite_reader *)base;
    enum outcome outcome = database_open(reader->database, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    bool newest = question == ASK_SESSIONS && key.length == 0;
    struct statement *statement = database_statement(reader->database, question);
    statement_bind_text(statement, 1, newest ? slice_of("~") : key); /* '~' is behind all ids */
    statement_bind_integer(statement, 2, now_ms);
    *ret_found = true;
    if (question == ASK_END_SESSION) {
        outcome = end_session(reader, statement, ret_found, ret_error);
    } else {
        store_json_begin(json);
        outcome = question == ASK_SESSIONS
                      ? append_page(statement, limit, json, ret_error)
                      : append_row(statement, question, json, ret_found, ret_error);
        store_json_end(json);
    }
    if (outcome != OUTCOME_OK) {
        database_rollback(reader->database, outcome);
    } else if (json->failed) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the reply");
    } else if (!*ret_found) {
        buffer_clear(json);
    }
    return outcome;
}
