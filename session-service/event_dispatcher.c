/* From a message to its effect, a verdict and a log line: what all types of events share. */
#include "session-service/event_dispatcher.h"

#include "session-service/event_handlers.h"
#include "session-service/log_events.h"

#include "common/base/digest.h"

#include <inttypes.h>
#include <stdio.h>

enum { KEY_BYTES_MAX = 512 /* 128 characters */ };

enum { FIELDS_MAX = 8, SCRATCH_GROWTH_MAX = 8, SCRATCH_SPARE_BYTES = 65536 };

struct line {
    struct log_field fields[FIELDS_MAX];
    size_t count;
};

void event_dispatcher_init(struct event_dispatcher *dispatcher, const struct user_rules *rules,
                           size_t message_bytes_max, enum log_payload payload, struct store *store)
{
    *dispatcher = (struct event_dispatcher){.rules = *rules,
                                            .message_bytes_max = message_bytes_max,
                                            .payload = payload,
                                            .store = store};
    /* Masking and escaping lengthen a text by less than this, so only memory can run out. */
    buffer_init(&dispatcher->scratch, SCRATCH_GROWTH_MAX * message_bytes_max + SCRATCH_SPARE_BYTES);
}

void event_dispatcher_done(struct event_dispatcher *dispatcher)
{
    buffer_done(&dispatcher->scratch);
}

static void add(struct line *line, struct log_field field)
{
    line->fields[line->count++] = field;
}

static void add_user_id(const struct event_dispatcher *dispatcher, const struct user *user,
                        char scratch[24], struct line *line)
{
    struct slice id;
    if (!user_id_text(user, scratch, &id)) {
        return;
    }
    /* Some systems know their users by an address: that is personal like any other. */
    if (dispatcher->payload != LOG_PAYLOAD_FULL && memchr(id.data, '@', id.length) != NULL) {
        id = slice_of("***");
    }
    add(line, log_text("user_id", id));
}

static bool add_user(struct event_dispatcher *dispatcher, const struct user *user,
                     struct line *line)
{
    buffer_clear(&dispatcher->scratch);
    switch (dispatcher->payload) {
    case LOG_PAYLOAD_NONE:
        return true;
    case LOG_PAYLOAD_REDACTED:
        user_append_redacted(user, &dispatcher->scratch);
        break;
    case LOG_PAYLOAD_FULL:
        user_append_text(user, NULL, &dispatcher->scratch);
        break;
    }
    add(line, log_json("user", buffer_slice(&dispatcher->scratch)));
    return !dispatcher->scratch.failed;
}

/* False: no memory, nothing appended. */
static bool append_line(struct buffer *lines, const struct log_event *event,
                        const struct line *line)
{
    size_t length_before = lines->length;
    log_append(lines, event, line->fields, line->count);
    if (lines->failed) {
        lines->length = length_before;
        lines->failed = false;
        return false;
    }
    return true;
}

static const char *outcome_name(const struct handled *handled)
{
    if (handled->duplicate) {
        return "duplicate";
    }
    if (handled->outdated) {
        return "outdated";
    }
    return handled->bare ? "bare" : "handled";
}

static bool log_handled(struct event_dispatcher *dispatcher, const struct event_handler *handler,
                        const struct message *message, bool redelivered,
                        const struct user_event *event, const struct handled *handled,
                        struct buffer *lines)
{
    if (!log_enabled(handler->logged_as->level)) {
        return true;
    }
    struct line line = {.count = 0};
    char scratch[24];
    if (message->message_id.length > 0) {
        add(&line, log_text("message_id", message->message_id));
    }
    add(&line, log_string("outcome", outcome_name(handled)));
    add_user_id(dispatcher, &event->user, scratch, &line);
    add(&line, log_boolean("redelivered", redelivered));
    if (handler->logs_user && !add_user(dispatcher, &event->user, &line)) {
        return false;
    }
    if (event->saved_at_ms >= 0) {
        add(&line, log_integer("saved_at_ms", event->saved_at_ms));
    }
    if (handled->ahead_ms > 0) {
        add(&line, log_integer("ahead_ms", handled->ahead_ms));
    }
    return append_line(lines, handler->logged_as, &line);
}

static bool log_dead(const struct message *message, const struct handled *handled,
                     struct buffer *lines)
{
    struct line line = {.count = 0};
    if (message->message_id.length > 0) {
        add(&line, log_text("message_id", message->message_id));
    }
    add(&line, log_string("outcome", "dead"));
    add(&line, log_string("reason", handled->reason));
    add(&line, log_string("detail", handled->detail));
    add(&line, log_integer("body_bytes", (int64_t)message->body.length));
    return append_line(lines, &event_user_dead_lettered, &line);
}

static enum outcome no_memory(const struct message *message, struct error *ret_error)
{
    return error_set(ret_error, OUTCOME_BUSY, "no memory to handle a message of %zu bytes",
                     message->body.length);
}

static enum outcome append_digest(struct slice bytes, const char *prefix, struct buffer *text,
                                  struct error *ret_error)
{
    unsigned char digest[DIGEST_BYTES];
    char digits[DIGEST_TEXT_BYTES];
    enum outcome outcome = digest_of(bytes, digest, ret_error);
    if (outcome == OUTCOME_OK) {
        digest_text(digest, digits);
        buffer_append_text(text, prefix);
        buffer_append_text(text, digits);
    }
    return outcome;
}

/* A bare user may have anything as an id. Keys are read again and again: a long one is digested. */
static enum outcome append_key(struct slice id, const char *prefix, const char *digest_prefix,
                               struct buffer *text, struct error *ret_error)
{
    if (id.length > KEY_BYTES_MAX) {
        return append_digest(id, digest_prefix, text, ret_error);
    }
    buffer_append_text(text, prefix);
    buffer_append_slice(text, id);
    return OUTCOME_OK;
}

/* What a user is known by, also one without an id. */
static enum outcome append_user_key(const struct message *message, const struct user *user,
                                    struct buffer *text, struct error *ret_error)
{
    char scratch[24];
    struct slice id;
    if (user_id_text(user, scratch, &id) && id.length > 0) {
        return append_key(id, "", "id-sha256:", text, ret_error);
    }
    if (user_email_text(user, &id)) {
        return append_key(id, "email:", "email-sha256:", text, ret_error);
    }
    return append_digest(message->body, "sha256:", text, ret_error);
}

/* Of a saved user the inbox compares the body alone, as all releases do. Of another event it
 * compares the type too: an id that comes again with the same body is a conflict where the types
 * differ. */
static struct slice append_payload(const struct event_handler *handler,
                                   const struct message *message, struct buffer *text)
{
    if (handler == &handle_user_saved) {
        return message->body;
    }
    size_t start = text->length;
    buffer_append_slice(text, event_type_name(handler->type));
    buffer_append_byte(text, '\0');
    buffer_append_slice(text, message->body);
    return (struct slice){text->data + start, text->length - start};
}

static enum outcome apply(struct event_dispatcher *dispatcher, const struct event_handler *handler,
                          const struct message *message, const struct user_event *event,
                          int64_t now_ms, struct handled *ret_handled, struct error *ret_error)
{
    struct buffer *text = &dispatcher->scratch;
    buffer_clear(text);
    enum outcome outcome = append_user_key(message, &event->user, text, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    size_t key_length = text->length;
    struct store_event stored = {
        .message_id = message->message_id,
        .payload = append_payload(handler, message, text),
        .body = message->body,
        .saved_at_ms = event->saved_at_ms,
    };
    if (text->failed) {
        return no_memory(message, ret_error);
    }
    stored.user_key = (struct slice){text->data, key_length};
    struct store_effect effect;
    outcome = handler->apply(dispatcher->store, &stored, now_ms, &effect, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    ret_handled->duplicate = effect.result == STORE_DUPLICATE;
    ret_handled->outdated = effect.result == STORE_APPLIED && !effect.user_changed;
    ret_handled->ahead_ms = effect.ahead_ms;
    ret_handled->session_opened = effect.session_opened;
    if (effect.result == STORE_CONFLICT) {
        ret_handled->verdict = VERDICT_DEAD_LETTER;
        ret_handled->reason = "id-conflict";
        (void)snprintf(ret_handled->detail, sizeof(ret_handled->detail),
                       "a message with this id and another body or type was handled before");
    }
    return OUTCOME_OK;
}

static enum outcome handle_event(struct event_dispatcher *dispatcher,
                                 const struct event_handler *handler, const struct message *message,
                                 bool redelivered, const struct user_event *event, int64_t now_ms,
                                 struct buffer *lines, struct handled *ret_handled,
                                 struct error *ret_error)
{
    enum outcome outcome = OUTCOME_OK;
    switch (event->kind) {
    case USER_EVENT_IDENTIFIED:
    case USER_EVENT_BARE:
        ret_handled->verdict = VERDICT_ACK;
        ret_handled->bare = event->kind == USER_EVENT_BARE;
        outcome = apply(dispatcher, handler, message, event, now_ms, ret_handled, ret_error);
        break;
    case USER_EVENT_IMPOSSIBLE:
        ret_handled->verdict = VERDICT_DEAD_LETTER;
        ret_handled->reason = event->reason;
        memcpy(ret_handled->detail, event->detail, sizeof(ret_handled->detail));
        break;
    case USER_EVENT_NO_MEMORY:
        outcome = no_memory(message, ret_error);
        break;
    }
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    bool logged =
        ret_handled->verdict == VERDICT_ACK
            ? log_handled(dispatcher, handler, message, redelivered, event, ret_handled, lines)
            : log_dead(message, ret_handled, lines);
    return logged ? OUTCOME_OK : no_memory(message, ret_error);
}

enum outcome event_dispatch(struct event_dispatcher *dispatcher, const struct message *message,
                            bool redelivered, int64_t now_ms, struct buffer *lines,
                            struct handled *ret_handled, struct error *ret_error)
{
    struct user_event event;
    const struct event_handler *handler =
        event_handlers_decode(message, &dispatcher->rules, dispatcher->message_bytes_max, &event);
    *ret_handled = (struct handled){0};
    enum outcome outcome = handle_event(dispatcher, handler, message, redelivered, &event, now_ms,
                                        lines, ret_handled, ret_error);
    user_event_done(&event);
    return outcome;
}

enum outcome event_dispatch_known(struct event_dispatcher *dispatcher,
                                  const struct message *message, bool redelivered,
                                  struct buffer *lines, bool *ret_known,
                                  struct handled *ret_handled, struct error *ret_error)
{
    const struct event_handler *handler = event_handlers_find(message->type);
    struct buffer *text = &dispatcher->scratch;
    *ret_known = false;
    if (handler == NULL || !user_event_id_is_valid(message->message_id)) {
        return OUTCOME_OK;
    }
    buffer_clear(text);
    struct slice payload = append_payload(handler, message, text);
    if (text->failed) {
        return no_memory(message, ret_error);
    }
    enum outcome outcome =
        store_knows(dispatcher->store, message->message_id, payload, ret_known, ret_error);
    if (outcome != OUTCOME_OK || !*ret_known) {
        return outcome;
    }
    *ret_handled = (struct handled){.verdict = VERDICT_ACK, .duplicate = true};
    if (!log_enabled(handler->logged_as->level)) {
        return OUTCOME_OK;
    }
    struct line line = {.count = 0};
    add(&line, log_text("message_id", message->message_id));
    add(&line, log_string("outcome", outcome_name(ret_handled)));
    add(&line, log_boolean("redelivered", redelivered));
    return append_line(lines, handler->logged_as, &line) ? OUTCOME_OK
                                                         : no_memory(message, ret_error);
}

enum outcome event_give_up(const struct message *message, int64_t deaths, struct buffer *lines,
                           struct handled *ret_handled, struct error *ret_error)
{
    *ret_handled = (struct handled){
        .verdict = VERDICT_DEAD_LETTER,
        .bare = message->message_id.length == 0,
        .reason = "too-many-redeliveries",
    };
    (void)snprintf(ret_handled->detail, sizeof(ret_handled->detail),
                   "the process ended %" PRId64 " times while it handled this message alone",
                   deaths);
    return log_dead(message, ret_handled, lines) ? OUTCOME_OK : no_memory(message, ret_error);
}

enum outcome event_attempt_key(const struct message *message, char ret_key[ATTEMPT_KEY_BYTES],
                               struct error *ret_error)
{
    if (user_event_id_is_valid(message->message_id)) {
        memcpy(ret_key, message->message_id.data, message->message_id.length);
        ret_key[message->message_id.length] = '\0';
        return OUTCOME_OK;
    }
    unsigned char digest[DIGEST_BYTES];
    char digits[DIGEST_TEXT_BYTES];
    enum outcome outcome = digest_of(message->body, digest, ret_error);
    if (outcome == OUTCOME_OK) {
        digest_text(digest, digits);
        (void)snprintf(ret_key, ATTEMPT_KEY_BYTES, "sha256:%s", digits);
    }
    return outcome;
}
