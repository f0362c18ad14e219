/* One statement for each question. */
#include "session-service/store/store_reader.h"

#include "session-service/store/store_internal.h"

#include "common/base/json_text.h"

#include <inttypes.h>
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
    [ASK_USER] = "SELECT body, saved_at_ms, nullif(message_id, ''),"
                 " CASE WHEN expires_at_ms > ?2 THEN session_id END"
                 " FROM users WHERE user_id = ?1",
};

struct store_reader {
    const struct store *store;
    struct database *database; /* NULL: not open */
    struct statement *statements[QUESTIONS];
};

enum outcome store_reader_create(const struct store *store, struct store_reader **ret_reader,
                                 struct error *ret_error)
{
    struct store_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the queries");
    }
    reader->store = store;
    *ret_reader = reader;
    return OUTCOME_OK;
}

static void close_file(struct store_reader *reader)
{
    database_close(reader->database);
    reader->database = NULL;
}

void store_reader_free(struct store_reader *reader)
{
    if (reader != NULL) {
        close_file(reader);
    }
    free(reader);
}

static enum outcome open_file(struct store_reader *reader, struct error *ret_error)
{
    if (reader->database != NULL) {
        return OUTCOME_OK;
    }
    enum outcome outcome = store_open_second(reader->store, &reader->database, ret_error);
    for (int i = 0; outcome == OUTCOME_OK && i < QUESTIONS; i++) {
        outcome = database_prepare(reader->database, texts[i], &reader->statements[i], ret_error);
    }
    if (outcome != OUTCOME_OK) {
        close_file(reader);
    }
    return outcome;
}

static void append_text(struct statement *statement, int column, struct buffer *json)
{
    if (statement_is_null(statement, column)) {
        buffer_append_text(json, "null");
        return;
    }
    buffer_append_byte(json, '"');
    json_text_append_escaped(statement_text(statement, column), json);
    buffer_append_byte(json, '"');
}

static void append_session(struct statement *row, struct buffer *json)
{
    buffer_append_text(json, "{\"id\":");
    append_text(row, 0, json);
    buffer_append_text(json, ",\"user_id\":");
    append_text(row, 1, json);
    buffer_append_format(json,
                         ",\"opened_at_ms\":%" PRId64 ",\"extended_at_ms\":%" PRId64
                         ",\"expires_at_ms\":%" PRId64 ",\"saves\":%" PRId64 "}",
                         statement_integer(row, 2), statement_integer(row, 3),
                         statement_integer(row, 4), statement_integer(row, 5));
}

static void append_user(struct statement *row, struct buffer *json)
{
    buffer_append_text(json, "{\"success\":true,\"data\":");
    buffer_append_slice(json, statement_text(row, 0));
    buffer_append_format(json,
                         ",\"saved_at_ms\":%" PRId64 ",\"message_id\":", statement_integer(row, 1));
    append_text(row, 2, json);
    buffer_append_text(json, ",\"session_id\":");
    append_text(row, 3, json);
    buffer_append_text(json, "}\n");
}

/* One session more than the page has tells that there is a next page. */
static enum outcome append_page(struct statement *rows, int64_t limit, struct buffer *json,
                                struct error *ret_error)
{
    char last[MESSAGE_ID_TEXT_BYTES] = "";
    bool more = false;
    int64_t count = 0;
    buffer_append_text(json, "{\"success\":true,\"data\":[");
    for (bool row = true; row;) {
        enum outcome outcome = statement_step(rows, &row, ret_error);
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
        if (row && count == limit) {
            more = true;
            statement_reset(rows);
            break;
        }
        if (row) {
            struct slice id = statement_text(rows, 0);
            if (id.length < sizeof(last)) {
                memcpy(last, id.data, id.length);
                last[id.length] = '\0';
            }
            buffer_append_text(json, count > 0 ? ",\n" : "");
            append_session(rows, json);
            count++;
        }
    }
    buffer_append_format(json, "],\"next\":%s%s%s}\n", more ? "\"" : "", more ? last : "null",
                         more ? "\"" : "");
    return OUTCOME_OK;
}

static enum outcome append_answer(struct store_reader *reader, enum question question,
                                  int64_t limit, struct buffer *json, bool *ret_found,
                                  struct error *ret_error)
{
    struct statement *statement = reader->statements[question];
    if (question == ASK_SESSIONS) {
        *ret_found = true;
        return append_page(statement, limit, json, ret_error);
    }
    bool row = false;
    enum outcome outcome = statement_step(statement, &row, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    *ret_found = row;
    switch (question) {
    case ASK_SESSION:
        if (row) {
            buffer_append_text(json, "{\"success\":true,\"data\":");
            append_session(statement, json);
            buffer_append_text(json, "}\n");
        }
        break;
    case ASK_USER:
        if (row) {
            append_user(statement, json);
        }
        break;
    case ASK_END_SESSION:
        *ret_found = database_changes(reader->database) > 0;
        break;
    case ASK_SESSIONS:
    case QUESTIONS:
        break;
    }
    if (row) {
        statement_reset(statement);
    }
    return OUTCOME_OK;
}

enum outcome store_reader_ask(struct store_reader *reader, enum question question, struct slice key,
                              int64_t limit, int64_t now_ms, struct buffer *json, bool *ret_found,
                              struct error *ret_error)
{
    enum outcome outcome = open_file(reader, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    bool newest = question == ASK_SESSIONS && key.length == 0;
    struct statement *statement = reader->statements[question];
    statement_bind_text(statement, 1, newest ? slice_of("~") : key); /* '~' is behind all ids */
    statement_bind_integer(statement, 2, now_ms);
    if (question == ASK_SESSIONS) {
        statement_bind_integer(statement, 3, limit + 1);
    }
    outcome = append_answer(reader, question, limit, json, ret_found, ret_error);
    if (outcome == OUTCOME_BROKEN || outcome == OUTCOME_INVALID) {
        close_file(reader);
    }
    if (outcome == OUTCOME_OK && json->failed) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the reply");
    }
    return outcome;
}
