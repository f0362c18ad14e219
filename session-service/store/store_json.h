/* The JSON bodies of store_reader.h, from the rows of any kind of store. Pure. */
#pragma once

#include "common/base/buffer.h"

/* Borrowed; an empty text is null. */
struct stored_session {
    struct slice id, user_id;
    int64_t opened_at_ms, extended_at_ms, expires_at_ms, saves;
};

struct stored_user {
    struct slice body, message_id, session_id;
    int64_t saved_at_ms;
};

/* Everything is between these. */
void store_json_begin(struct buffer *json);
void store_json_end(struct buffer *json);

void store_json_append_session(const struct stored_session *session, struct buffer *json);
void store_json_append_user(const struct stored_user *user, struct buffer *json);

/* A page of sessions. One more than it has room for tells that there is a next page. */
struct store_json_page {
    struct buffer *json; /* borrowed */
    int64_t limit, count;
    char last[37]; /* the id of the last one on the page */
};

struct store_json_page store_json_page_begin(struct buffer *json, int64_t limit);
void store_json_page_add(struct store_json_page *page, const struct stored_session *session);
void store_json_page_end(struct store_json_page *page);
