/* From messages to their effects, verdicts and log lines: what all types of events share. */
#include "session-service/event_dispatcher.h"

#include "common/base/digest.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEY_BYTES_MAX = 512 /* 128 characters */, TEXT_SPARE_BYTES = 256 /* prefixes, digests */ };

enum { SCRATCH_GROWTH_MAX = 8, SCRATCH_SPARE_BYTES = 65536 };

/* A message of the group. */
struct member {
    const struct message *message;
    bool redelivered;
    struct handled *handled;
    const struct event_handler *handler;
    struct user_event event;
    bool is_stored; /* the store has it, in the order of the members */
    size_t text_at; /* in the texts: its key, and behind it perhaps its payload */
    size_t key_length;
};

struct event_group {
    struct member members[EVENT_GROUP_MAX];
    size_t count;
    struct store_event stored[EVENT_GROUP_MAX];
    struct store_effect effects[EVENT_GROUP_MAX];
    size_t stored_count;
    bool is_taken;
};

enum outcome event_dispatcher_init(struct event_dispatcher *dispatcher,
                                   const struct user_rules *rules, size_t message_bytes_max,
                                   enum log_payload payload, struct store *store,
                                   struct error *ret_error)
{
    *dispatcher = (struct event_dispatcher){
        .rules = *rules,
        .message_bytes_max = message_bytes_max,
        .payload = payload,
        .store = store,
        .group = calloc(1, sizeof(*dispatcher->group)),
    };
    /* Only memory can run out: what is appended is shorter than this. Masking and escaping lengthen
     * a text by less than the growth. */
    buffer_init(&dispatcher->scratch, SCRATCH_GROWTH_MAX * message_bytes_max + SCRATCH_SPARE_BYTES);
    buffer_init(&dispatcher->texts, EVENT_GROUP_BYTES_MAX + message_bytes_max +
                                        EVENT_GROUP_MAX * (KEY_BYTES_MAX + TEXT_SPARE_BYTES));
    if (dispatcher->group == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for a group of events");
    }
    return OUTCOME_OK;
}

void event_dispatcher_done(struct event_dispatcher *dispatcher)
{
    if (dispatcher->group != NULL) {
        event_dispatcher_clear(dispatcher);
    }
    free(dispatcher->group);
    buffer_done(&dispatcher->texts);
    buffer_done(&dispatcher->scratch);
}

void event_dispatcher_clear(struct event_dispatcher *dispatcher)
{
    struct event_group *group = dispatcher->group;
    for (size_t i = 0; i < group->count; i++) {
        user_event_done(&group->members[i].event);
    }
    group->count = group->stored_count = 0;
    group->is_taken = false;
    buffer_clear(&dispatcher->texts);
}

size_t event_dispatcher_untold(const struct event_dispatcher *dispatcher)
{
    return dispatcher->group->is_taken ? dispatcher->group->count : 0;
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
static bool payload_is_body(const struct event_handler *handler)
{
    return handler == &handle_user_saved;
}

static void append_payload(const struct event_handler *handler, const struct message *message,
                           struct buffer *text)
{
    if (!payload_is_body(handler)) {
        buffer_append_slice(text, event_type_name(handler->type));
        buffer_append_byte(text, '\0');
        buffer_append_slice(text, message->body);
    }
}

/* The texts move while they grow, so that event_dispatcher_take() points into them. */
static enum outcome add_to_stored(struct event_dispatcher *dispatcher, struct member *member,
                                  struct slice attempt_key, struct error *ret_error)
{
    struct event_group *group = dispatcher->group;
    struct buffer *texts = &dispatcher->texts;
    const struct message *message = member->message;
    member->text_at = texts->length;
    enum outcome outcome = append_user_key(message, &member->event.user, texts, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    member->key_length = texts->length - member->text_at;
    append_payload(member->handler, message, texts);
    if (texts->failed) {
        return no_memory(message, ret_error);
    }
    group->stored[group->stored_count++] = (struct store_event){
        .change = member->handler->change,
        .message_id = message->message_id,
        .payload = {.data = NULL, .length = texts->length - member->text_at - member->key_length},
        .body = message->body,
        .attempt_key = attempt_key,
        .saved_at_ms = member->event.saved_at_ms,
    };
    member->is_stored = true;
    return OUTCOME_OK;
}

enum outcome event_dispatcher_decode(struct event_dispatcher *dispatcher,
                                     const struct message *message, bool redelivered,
                                     struct slice attempt_key, struct handled *ret_handled,
                                     struct error *ret_error)
{
    struct event_group *group = dispatcher->group;
    assert(!group->is_taken && group->count < EVENT_GROUP_MAX);
    struct member *member = &group->members[group->count++];
    member->message = message;
    member->redelivered = redelivered;
    member->handled = ret_handled;
    member->is_stored = false;
    member->handler = event_handlers_decode(message, &dispatcher->rules,
                                            dispatcher->message_bytes_max, &member->event);
    enum outcome outcome = OUTCOME_OK;
    switch (member->event.kind) {
    case USER_EVENT_IDENTIFIED:
    case USER_EVENT_BARE:
        outcome = add_to_stored(dispatcher, member, attempt_key, ret_error);
        break;
    case USER_EVENT_IMPOSSIBLE:
        break;
    case USER_EVENT_NO_MEMORY:
        outcome = no_memory(message, ret_error);
        break;
    }
    if (outcome != OUTCOME_OK) {
        event_dispatcher_clear(dispatcher);
    }
    return outcome;
}

enum outcome event_dispatcher_take(struct event_dispatcher *dispatcher, int64_t now_ms,
                                   struct error *ret_error)
{
    struct event_group *group = dispatcher->group;
    struct store_event *stored = group->stored;
    for (size_t i = 0; i < group->count; i++) {
        const struct member *member = &group->members[i];
        if (member->is_stored) {
            const char *key = dispatcher->texts.data + member->text_at;
            stored->user_key = (struct slice){key, member->key_length};
            if (payload_is_body(member->handler)) {
                stored->payload = member->message->body;
            } else {
                stored->payload.data = key + member->key_length;
            }
            stored++;
        }
    }
    enum outcome outcome = store_take(dispatcher->store, group->stored, group->stored_count, now_ms,
                                      group->effects, ret_error);
    group->is_taken = outcome == OUTCOME_OK;
    if (outcome != OUTCOME_OK) {
        event_dispatcher_clear(dispatcher);
    }
    return outcome;
}

static void judge_stored(const struct member *member, const struct store_effect *effect)
{
    struct handled *handled = member->handled;
    *handled = (struct handled){
        .verdict = VERDICT_ACK,
        .bare = member->event.kind == USER_EVENT_BARE,
        .duplicate = effect->result == STORE_DUPLICATE,
        .outdated = effect->result == STORE_APPLIED && !effect->user_changed,
        .ahead_ms = effect->ahead_ms,
        .session_opened = effect->session_opened,
    };
    if (effect->result == STORE_CONFLICT) {
        handled->verdict = VERDICT_DEAD_LETTER;
        handled->reason = "id-conflict";
        (void)snprintf(handled->detail, sizeof(handled->detail),
                       "a message with this id and another body or type was handled before");
    }
}

static void judge_impossible(const struct member *member)
{
    struct handled *handled = member->handled;
    *handled = (struct handled){.verdict = VERDICT_DEAD_LETTER, .reason = member->event.reason};
    memcpy(handled->detail, member->event.detail, sizeof(handled->detail));
}

enum outcome event_dispatcher_tell(struct event_dispatcher *dispatcher, struct buffer *lines,
                                   struct error *ret_error)
{
    const struct event_group *group = dispatcher->group;
    const struct store_effect *effect = group->effects;
    size_t length_before = lines->length;
    for (size_t i = 0; i < group->count; i++) {
        const struct member *member = &group->members[i];
        if (member->is_stored) {
            judge_stored(member, effect++);
        } else {
            judge_impossible(member);
        }
        const struct event_line line = {.message = member->message,
                                        .handler = member->handler,
                                        .event = &member->event,
                                        .handled = member->handled,
                                        .redelivered = member->redelivered};
        if (!event_line_append(&line, dispatcher->payload, &dispatcher->scratch, lines)) {
            lines->length = length_before;
            return no_memory(member->message, ret_error);
        }
    }
    event_dispatcher_clear(dispatcher);
    return OUTCOME_OK;
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
    append_payload(handler, message, text);
    if (text->failed) {
        return no_memory(message, ret_error);
    }
    struct slice payload = payload_is_body(handler) ? message->body : buffer_slice(text);
    enum outcome outcome =
        store_knows(dispatcher->store, message->message_id, payload, ret_known, ret_error);
    if (outcome != OUTCOME_OK || !*ret_known) {
        return outcome;
    }
    *ret_handled = (struct handled){.verdict = VERDICT_ACK, .duplicate = true};
    const struct event_line line = {
        .message = message, .handler = handler, .handled = ret_handled, .redelivered = redelivered};
    return event_line_append(&line, dispatcher->payload, text, lines)
               ? OUTCOME_OK
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
    const struct event_line line = {.message = message, .handled = ret_handled};
    return event_line_append(&line, LOG_PAYLOAD_NONE, NULL, lines) ? OUTCOME_OK
                                                                   : no_memory(message, ret_error);
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
