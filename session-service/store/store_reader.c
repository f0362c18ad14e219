/* One statement for each question, and how its rows are told. */
#include "session-service/store/store_reader.h"

#include "session-service/store/store_internal.h"

#include "common/base/json_text.h"

#include <inttypes.h>
#include <stdio.h>
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

struct store_reader {
    struct database *database; /* owned */
};

enum outcome store_reader_create(const struct store *store, struct store_reader **ret_reader,
                                 struct error *ret_error)
{
    const struct database_options file = {
        .directory = store->options.directory,
        .file_name = STORE_FILE_NAME,
        .statements = texts,
        .statement_count = QUESTIONS,
        .second = true,
        .first = store->database,
        .lock = store->options.lock,
    };
    struct store_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the queries");
    }
    enum outcome outcome = database_create(&file, &reader->database, ret_error);
    if (outcome != OUTCOME_OK) {
        store_reader_free(reader);
        return outcome;
    }
    *ret_reader = reader;
    return OUTCOME_OK;
}

void store_reader_free(struct store_reader *reader)
{
    if (reader != NULL) {
        database_free(reader->database);
    }
    free(reader);
}

static void append_text(struct slice text, struct buffer *json)
{
    if (text.length == 0) {
        buffer_append_text(json, "null");
        return;
    }
    buffer_append_byte(json, '"');
    json_text_append_escaped(text, json);
    buffer_append_byte(json, '"');
}

static void append_session(struct statement *row, struct buffer *json)
{
    buffer_append_text(json, "{\"id\":");
    append_text(statement_text(row, 0), json);
    buffer_append_text(json, ",\"user_id\":");
    append_text(statement_text(row, 1), json);
    buffer_append_format(json,
                         ",\"opened_at_ms\":%" PRId64 ",\"extended_at_ms\":%" PRId64
                         ",\"expires_at_ms\":%" PRId64 ",\"saves\":%" PRId64 "}",
                         statement_integer(row, 2), statement_integer(row, 3),
                         statement_integer(row, 4), statement_integer(row, 5));
}

static void append_user(struct statement *row, struct buffer *json)
{
    buffer_append_slice(json, statement_text(row, 0));
    buffer_append_format(json,
                         ",\"saved_at_ms\":%" PRId64 ",\"message_id\":", statement_integer(row, 1));
    append_text(statement_text(row, 2), json);
    buffer_append_text(json, ",\"session_id\":");
    append_text(statement_text(row, 3), json);
}

/* One session more than the page has tells that there is a next page. */
static enum outcome append_page(struct statement *rows, int64_t limit, struct buffer *json,
                                struct error *ret_error)
{
    char last[MESSAGE_ID_TEXT_BYTES] = "";
    int64_t count = 0;
    statement_bind_integer(rows, 3, limit + 1);
    buffer_append_byte(json, '[');
    for (bool row = true; row;) {
        enum outcome outcome = statement_step(rows, &row, ret_error);
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
        if (row && ++count <= limit) {
            struct slice id = statement_text(rows, 0);
            (void)snprintf(last, sizeof(last), "%.*s", (int)id.length, id.data);
            buffer_append_text(json, count > 1 ? ",\n" : "");
            append_session(rows, json);
        }
    }
    bool more = count > limit;
    buffer_append_format(json, "],\"next\":%s%s%s", more ? "\"" : "", more ? last : "null",
                         more ? "\"" : "");
    return OUTCOME_OK;
}

static enum outcome append_row(struct statement *statement, enum question question,
                               struct buffer *json, bool *ret_found, struct error *ret_error)
{
    enum outcome outcome = statement_step(statement, ret_found, ret_error);
    if (outcome == OUTCOME_OK && *ret_found) {
        (question == ASK_USER ? append_user : append_session)(statement, json);
        statement_reset(statement);
    }
    return outcome;
}

/* An end counts only where the next process finds it, as a commit of the store does. */
static enum outcome end_session(struct store_reader *reader, struct statement *statement,
                                bool *ret_found, struct error *ret_error)
{
    enum outcome outcome = database_in_place(reader->database, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = statement_run(statement, ret_error);
        *ret_found = database_changes(reader->database) > 0;
    }
    return outcome == OUTCOME_OK ? database_in_place(reader->database, ret_error) : outcome;
}

enum outcome store_reader_ask(struct store_reader *reader, enum question question, struct slice key,
                              int64_t limit, int64_t now_ms, struct buffer *json, bool *ret_found,
                              struct error *ret_error)
{
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
        buffer_append_text(json, "{\"success\":true,\"data\":");
        outcome = question == ASK_SESSIONS
                      ? append_page(statement, limit, json, ret_error)
                      : append_row(statement, question, json, ret_found, ret_error);
        buffer_append_text(json, "}\n");
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
