/* One function for each phase of a save. */
#include "user-service/save_user.h"

#include "common/clock.h"
#include "common/form.h"

#include <stdlib.h>
#include <strings.h>

enum media_type { MEDIA_JSON, MEDIA_FORM, MEDIA_OTHER };

/* A form is at most as large as a body; as JSON each byte may become six. */
enum {
    FORM_GROWTH = 8,
    ID_MEMBER_BYTES = 64,
    /* RabbitMQ's max_message_size since 4.0. A larger message ends the channel; from the outbox it
     * would do so each time, and whatever was saved after it would wait for ever. */
    MESSAGE_BODY_BYTES_MAX = 16 * 1024 * 1024,
    /* After the confirm timeout the outbox has so long for its commit: a disk may hang. */
    OUTBOX_PATIENCE_MS = 5000,
};

enum { REFUSED_BETWEEN_LOOKS = 16 };

void save_user_init(struct save_user *save_user, const struct settings *settings,
                    struct publisher *publisher)
{
    *save_user = (struct save_user){
        .settings = settings,
        .publisher = publisher,
        .rules = {.strict = settings->common.user_check == USER_CHECK_STRICT,
                  .required_members = settings->required_members,
                  .refused_members = settings->refused_members},
    };
    TAILQ_INIT(&save_user->parked);
    admission_init(&save_user->admission, (size_t)settings->in_flight_max,
                   (size_t)settings->in_flight_bytes_max,
                   (uint64_t)settings->overload_latency_ms * 1000);
    key_window_init(&save_user->keys, (size_t)settings->idempotency_keys);
}

void save_user_done(struct save_user *save_user)
{
    save_user_take_completed(save_user); /* those that were answered before their outcome came */
    key_window_done(&save_user->keys);
}

static bool media_type_is(struct slice value, const char *type)
{
    size_t length = strlen(type);
    if (value.length < length || strncasecmp(value.data, type, length) != 0) {
        return false;
    }
    return value.length == length || strchr("; \t", value.data[length]) != NULL;
}

static enum media_type media_type_of(const struct http_request *request)
{
    struct slice type = http_request_header(request, "Content-Type");
    struct slice coding = http_request_header(request, "Content-Encoding");
    if (coding.length > 0 && !media_type_is(coding, "identity")) {
        return MEDIA_OTHER;
    }
    if (media_type_is(type, "application/json")) {
        return MEDIA_JSON;
    }
    return media_type_is(type, "application/x-www-form-urlencoded") ? MEDIA_FORM : MEDIA_OTHER;
}

/* Limits first: what will be refused anyway must cost nothing. A turn of the loop takes long when
 * thousands of connections are refused in it: where there is no room, now and then what was
 * admitted goes to the publisher at once, and what is complete makes room. Else a turn would accept
 * no more than the limit, and its length would be taken for the broker's latency. */
static bool is_admitted(struct http_request *request, struct save_user *save_user)
{
    size_t bytes = http_request_body(request).length;
    if (admission_has_room(&save_user->admission, bytes)) {
        return true;
    }
    if (save_user->refused_since_start++ % REFUSED_BETWEEN_LOOKS == 0) {
        save_user_submit(save_user);
        save_user_take_completed(save_user);
        if (admission_has_room(&save_user->admission, bytes)) {
            return true;
        }
    }
    reply_refused(request, EVENT_OVERLOADED, &save_user->metrics);
    return false;
}

/* Writes the message id: the client's key, or a new one. */
static bool choose_message_id(struct http_request *request, struct save_user *save_user,
                              struct event *save)
{
    struct error error;
    size_t count = http_request_header_count(request, "Idempotency-Key");
    if (count == 0) {
        if (message_id_generate(&save_user->ids, save->occurred_at_ms, save->message_id, &error) !=
            OUTCOME_OK) {
            reply_refused(request, EVENT_OVERLOADED, &save_user->metrics);
            return false;
        }
        save->message_id_length = MESSAGE_ID_TEXT_BYTES - 1;
        return true;
    }
    struct slice key = http_request_header(request, "Idempotency-Key");
    if (count > 1 || !user_event_id_is_valid(key)) {
        reply_malformed(request, "invalid-idempotency-key",
                        "Idempotency-Key must be one header of 1 to 128 printable ASCII characters",
                        &save_user->metrics);
        return false;
    }
    memcpy(save->message_id, key.data, key.length);
    save->message_id[key.length] = '\0';
    save->message_id_length = key.length;
    return true;
}

/* Of the user as it will be on the queue: other white space is no other user. */
static bool derive_user_id(struct slice key, const struct user *user,
                           char user_id[MESSAGE_ID_TEXT_BYTES])
{
    struct buffer text;
    buffer_init(&text, user->text.length + ID_MEMBER_BYTES);
    user_append_text(user, NULL, &text);
    bool is_whole = !text.failed;
    if (is_whole) {
        message_id_derive(key, buffer_slice(&text), user_id);
    }
    buffer_done(&text);
    return is_whole;
}

/* A user without an id gets one. With an Idempotency-Key it is the same at each repetition: the
 * message must be the same, or it would be another one under a known id. */
static bool choose_user_id(struct http_request *request, struct save_user *save_user,
                           const struct user *user, const struct event *save,
                           char user_id[MESSAGE_ID_TEXT_BYTES])
{
    struct slice key = http_request_header(request, "Idempotency-Key");
    if (key.length > 0) {
        return derive_user_id(key, user, user_id);
    }
    struct error error;
    return message_id_generate(&save_user->ids, save->occurred_at_ms, user_id, &error) ==
           OUTCOME_OK;
}

/* A wall clock that is set back must not make what is saved now older than what was saved before.
 */
static uint64_t choose_occurred_at_ms(struct save_user *save_user)
{
    uint64_t now_ms = clock_wall_ms();
    if (now_ms > save_user->last_occurred_at_ms) {
        save_user->last_occurred_at_ms = now_ms;
    }
    return save_user->last_occurred_at_ms;
}

/* Puts the user's JSON into the save, with an id of its own where the client gave none. */
static bool write_body(struct http_request *request, struct save_user *save_user,
                       const struct user *user, struct event *save)
{
    char user_id[MESSAGE_ID_TEXT_BYTES];
    struct buffer text;
    buffer_init(&text, user->text.length + ID_MEMBER_BYTES);
    (void)buffer_reserve(&text, user->text.length + ID_MEMBER_BYTES);
    if (user->has_id || choose_user_id(request, save_user, user, save, user_id)) {
        user_append_text(user, user->has_id ? NULL : user_id, &text);
        save->body = buffer_take(&text, &save->body_length);
    }
    buffer_done(&text);
    if (save->body == NULL) {
        reply_refused(request, EVENT_OVERLOADED, &save_user->metrics);
        return false;
    }
    if (save->body_length > MESSAGE_BODY_BYTES_MAX) {
        reply_large_user(request, save->body_length, MESSAGE_BODY_BYTES_MAX, &save_user->metrics);
        return false;
    }
    return true;
}

static bool parse_user(struct http_request *request, struct save_user *save_user, struct slice json,
                       struct user *ret_user)
{
    struct user_problems problems = {.count = 0};
    switch (user_parse(json, &save_user->rules, ret_user, &problems)) {
    case USER_OK:
        return true;
    case USER_MALFORMED:
        reply_malformed(request, "malformed-json", problems.items[0].detail, &save_user->metrics);
        return false;
    case USER_INVALID:
        reply_invalid_user(request, &problems, &save_user->metrics);
        return false;
    case USER_NO_MEMORY:
        reply_refused(request, EVENT_OVERLOADED, &save_user->metrics);
        return false;
    }
    return false;
}

static void take_traceparent(const struct http_request *request, struct event *save)
{
    struct slice traceparent = http_request_header(request, "traceparent");
    if (user_event_traceparent_is_valid(traceparent)) {
        memcpy(save->traceparent, traceparent.data, traceparent.length);
        save->traceparent[traceparent.length] = '\0';
    }
}

/* From here on the request is the save's: it is answered when the publisher gives it back, or that
 * with the same key. Takes the save. */
static void accept_save(struct http_request *request, struct save_user *save_user,
                        struct event *save, bool is_repeated)
{
    save->request = request;
    save->accepted_us = clock_monotonic_us();
    save->deadline_ms =
        save->accepted_us / 1000 + (uint64_t)save_user->settings->confirm_timeout_ms;
    admission_enter(&save_user->admission, save->body_length);
    http_request_defer(request);
    TAILQ_INSERT_TAIL(&save_user->parked, save, parked);
    if (is_repeated) {
        key_window_wait(save);
    } else {
        handover_list_append(&save_user->outgoing, &save->node);
    }
}

/* Takes the save. */
static void accept_with_key(struct http_request *request, struct save_user *save_user,
                            struct event *save)
{
    enum key_verdict verdict = KEY_NEW;
    struct error error;
    if (key_window_claim(&save_user->keys, save, &verdict, &save->outcome, &error) != OUTCOME_OK) {
        reply_refused(request, EVENT_OVERLOADED, &save_user->metrics);
        event_free(save);
        return;
    }
    switch (verdict) {
    case KEY_NEW:
        accept_save(request, save_user, save, false);
        return;
    case KEY_IN_FLIGHT:
        metric_add(&save_user->repeated, 1);
        accept_save(request, save_user, save, true);
        return;
    case KEY_SETTLED:
        metric_add(&save_user->repeated, 1);
        reply_to_save(request, save, &save_user->metrics);
        break;
    case KEY_REUSED:
        reply_key_reused(request, &save_user->metrics);
        break;
    }
    event_free(save);
}

static void save_json(struct http_request *request, struct save_user *save_user, struct slice json)
{
    struct user user = {0};
    if (!parse_user(request, save_user, json, &user)) {
        return;
    }
    struct event *save = calloc(1, sizeof(*save));
    if (save == NULL) {
        reply_refused(request, EVENT_OVERLOADED, &save_user->metrics);
    } else {
        save->occurred_at_ms = choose_occurred_at_ms(save_user);
        take_traceparent(request, save);
        if (choose_message_id(request, save_user, save) &&
            write_body(request, save_user, &user, save)) {
            if (http_request_header(request, "Idempotency-Key").length > 0) {
                accept_with_key(request, save_user, save);
            } else {
                accept_save(request, save_user, save, false);
            }
            save = NULL;
        }
    }
    event_free(save);
    user_done(&user);
}

static void save_form(struct http_request *request, struct save_user *save_user)
{
    struct buffer json;
    struct error error;
    buffer_init(&json, FORM_GROWTH * (size_t)save_user->settings->body_bytes_max);
    switch (form_to_json(http_request_body(request), &json, &error)) {
    case OUTCOME_OK:
        save_json(request, save_user, buffer_slice(&json));
        break;
    case OUTCOME_INVALID:
        reply_malformed(request, "malformed-form", error.text, &save_user->metrics);
        break;
    case OUTCOME_BUSY:
    case OUTCOME_TRANSIENT:
    case OUTCOME_BROKEN:
        reply_refused(request, EVENT_OVERLOADED, &save_user->metrics);
        break;
    }
    buffer_done(&json);
}

void save_user_handle(struct http_request *request, struct save_user *save_user)
{
    if (!is_admitted(request, save_user)) {
        return;
    }
    switch (media_type_of(request)) {
    case MEDIA_JSON:
        save_json(request, save_user, http_request_body(request));
        return;
    case MEDIA_FORM:
        save_form(request, save_user);
        return;
    case MEDIA_OTHER:
        reply_wrong_media_type(request, &save_user->metrics);
        return;
    }
}

void save_user_submit(struct save_user *save_user)
{
    if (save_user->outgoing.head != NULL) {
        publisher_submit(save_user->publisher, &save_user->outgoing);
    }
}

static void finish(struct save_user *save_user, struct event *save, uint64_t now_us)
{
    /* What was late, or lost with its connection, says nothing about how fast saves are. */
    if (save->outcome == EVENT_CONFIRMED || (save->outcome == EVENT_STORED && !save->published)) {
        admission_note_confirm(&save_user->admission, now_us - save->accepted_us, now_us);
    }
    admission_leave(&save_user->admission, save->body_length);
    if (save->request != NULL) {
        TAILQ_REMOVE(&save_user->parked, save, parked);
        reply_to_save(save->request, save, &save_user->metrics);
    }
    event_free(save);
}

/* What becomes of it is still noted, for its key and for the limits, when it is known. */
void save_user_give_up_late(struct save_user *save_user)
{
    struct event *save = NULL;
    uint64_t now_ms = clock_monotonic_ms();
    while ((save = TAILQ_FIRST(&save_user->parked)) != NULL &&
           save->deadline_ms + OUTBOX_PATIENCE_MS < now_ms) {
        TAILQ_REMOVE(&save_user->parked, save, parked);
        reply_to_unknown_save(save->request, save, &save_user->metrics);
        save->request = NULL;
    }
}

/* Those that came with its key while it was under way become what it has become. */
static void finish_waiting(struct save_user *save_user, struct event *save, uint64_t now_us)
{
    struct handover_list waiting = key_window_settle(&save_user->keys, save);
    struct handover_node *node = NULL;
    while ((node = handover_list_take(&waiting)) != NULL) {
        struct event *repeated = (struct event *)node;
        repeated->outcome = save->outcome;
        repeated->published = save->published;
        finish(save_user, repeated, now_us);
    }
}

void save_user_take_completed(struct save_user *save_user)
{
    uint64_t now_us = clock_monotonic_us();
    struct handover_list completed = handover_take_all(publisher_completed(save_user->publisher));
    struct handover_node *node = NULL;
    while ((node = handover_list_take(&completed)) != NULL) {
        struct event *save = (struct event *)node;
        if (save->key != NULL) {
            finish_waiting(save_user, save, now_us);
        }
        finish(save_user, save, now_us);
    }
}

#define ROW(...) METRIC_ROW(struct save_user, __VA_ARGS__)
METRIC_TABLE(append_own_metrics, struct save_user, SAVE_USER_METRICS(ROW))

void save_user_append_metrics(struct save_user *save_user, struct buffer *text)
{
    metric_set(&save_user->limit, (int64_t)save_user->admission.limit);
    reply_append_metrics(&save_user->metrics, text);
    append_own_metrics(text, save_user);
}
