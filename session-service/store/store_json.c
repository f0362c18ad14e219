/* What each question is answered with. */
#include "session-service/store/store_json.h"

#include "common/base/json_text.h"

#include <inttypes.h>
#include <stdio.h>

void store_json_begin(struct buffer *json)
{
    buffer_append_text(json, "{\"success\":true,\"data\":");
}

void store_json_end(struct buffer *json)
{
    buffer_append_text(json, "}\n");
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

void store_json_append_session(const struct stored_session *session, struct buffer *json)
{
    buffer_append_text(json, "{\"id\":");
    append_text(session->id, json);
    buffer_append_text(json, ",\"user_id\":");
    append_text(session->user_id, json);
    buffer_append_format(json,
                         ",\"opened_at_ms\":%" PRId64 ",\"extended_at_ms\":%" PRId64
                         ",\"expires_at_ms\":%" PRId64 ",\"saves\":%" PRId64 "}",
                         session->opened_at_ms, session->extended_at_ms, session->expires_at_ms,
                         session->saves);
}

void store_json_append_user(const struct stored_user *user, struct buffer *json)
{
    buffer_append_slice(json, user->body);
    buffer_append_format(json, ",\"saved_at_ms\":%" PRId64 ",\"message_id\":", user->saved_at_ms);
    append_text(user->message_id, json);
    buffer_append_text(json, ",\"session_id\":");
    append_text(user->session_id, json);
}

struct store_json_page store_json_page_begin(struct buffer *json, int64_t limit)
{
    buffer_append_byte(json, '[');
    return (struct store_json_page){.json = json, .limit = limit};
}

void store_json_page_add(struct store_json_page *page, const struct stored_session *session)
{
    if (++page->count > page->limit) {
        return;
    }
    (void)snprintf(page->last, sizeof(page->last), "%.*s", (int)session->id.length,
                   session->id.data);
    buffer_append_text(page->json, page->count > 1 ? ",\n" : "");
    store_json_append_session(session, page->json);
}

void store_json_page_end(struct store_json_page *page)
{
    bool more = page->count > page->limit;
    buffer_append_format(page->json, "],\"next\":%s%s%s", more ? "\"" : "",
                         more ? page->last : "null", more ? "\"" : "");
}
