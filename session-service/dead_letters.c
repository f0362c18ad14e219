/* Publishes the copies with confirms, and again until each is confirmed. */
#include "session-service/dead_letters.h"

#include "session-service/dead_letter_list.h"
#include "session-service/log_events.h"

#include "common/amqp/connector.h"
#include "common/amqp/jitter.h"
#include "common/amqp/nack_streak.h"
#include "common/base/backoff.h"
#include "common/base/clock.h"

#include <stdlib.h>

enum {
    RETRY_BASE_MS = 100,
    RETRY_CAP_MS = 10000,
    UNSENT_BYTES_MAX = 1024 * 1024, /* more is not encoded ahead of what the socket takes */
};

static const char connection_name[] = "dead-letters";

struct dead_letters {
    const struct settings *settings;
    struct consumer_status *status;
    char queue[DEAD_LETTER_QUEUE_BYTES];
    struct connector *connector;
    bool requested;
    struct broker *broker; /* NULL: none */
    uint64_t next_publish_tag;
    struct nack_streak nacks;

    struct dead_letter_list waiting, published; /* published: ascending publish tags */
    size_t pending, pending_bytes;

    struct backoff backoff;
    uint64_t retry_at_ms; /* 0: nothing was refused */
    bool declare_first;   /* the queue may be what was missing */
    struct error trouble;
};

enum outcome dead_letters_create(const struct settings *settings, struct consumer_status *status,
                                 int wake_descriptor, struct dead_letters **ret_letters,
                                 struct error *ret_error)
{
    struct dead_letters *letters = calloc(1, sizeof(*letters));
    if (letters == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the dead letters");
    }
    letters->settings = settings;
    letters->status = status;
    backoff_init(&letters->backoff, RETRY_BASE_MS, RETRY_CAP_MS);
    dead_letter_queue_name(settings->common.queue, letters->queue);
    struct connector_options options =
        common_settings_connection(&settings->common, connection_name);
    options.wake_descriptor = wake_descriptor;
    dead_letter_queue_name(settings->common.queue, options.queue);
    enum outcome outcome = connector_create(&options, &letters->connector, ret_error);
    if (outcome != OUTCOME_OK) {
        free(letters);
        return outcome;
    }
    *ret_letters = letters;
    return OUTCOME_OK;
}

static void free_list(struct dead_letters *letters, struct dead_letter_list *list)
{
    struct dead_letter *letter;
    while ((letter = dead_letter_list_take(list)) != NULL) {
        letters->pending--;
        letters->pending_bytes -= letter->size_bytes;
        free(letter);
    }
    metric_set(&letters->status->dead_letters_pending, (int64_t)letters->pending);
}

void dead_letters_free(struct dead_letters *letters)
{
    if (letters == NULL) {
        return;
    }
    dead_letters_forget(letters);
    connector_free(letters->connector);
    broker_free(letters->broker);
    free(letters);
}

void dead_letters_forget(struct dead_letters *letters)
{
    free_list(letters, &letters->waiting);
    free_list(letters, &letters->published);
}

enum outcome dead_letters_add(struct dead_letters *letters, const struct broker_delivery *delivery,
                              const char *reason, const char *detail, struct error *ret_error)
{
    struct dead_letter *letter =
        dead_letter_create(delivery, reason, detail, (int64_t)clock_wall_ms());
    if (letter == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory to copy a message of %zu bytes",
                         delivery->message.body.length);
    }
    dead_letter_list_append(&letters->waiting, letter);
    letters->pending++;
    letters->pending_bytes += letter->size_bytes;
    metric_set(&letters->status->dead_letters_pending, (int64_t)letters->pending);
    return OUTCOME_OK;
}

bool dead_letters_is_full(const struct dead_letters *letters)
{
    return letters->pending_bytes >= DEAD_LETTERS_PENDING_BYTES_MAX;
}

size_t dead_letters_pending(const struct dead_letters *letters)
{
    return letters->pending;
}

struct pollfd dead_letters_poll(const struct dead_letters *letters)
{
    if (letters->broker == NULL) {
        return (struct pollfd){.fd = -1};
    }
    /* Nothing is read while bytes are unsent, so waiting for both would spin. */
    return (struct pollfd){.fd = broker_descriptor(letters->broker),
                           .events = broker_unsent_bytes(letters->broker) > 0 ? POLLOUT : POLLIN};
}

uint64_t dead_letters_due_ms(const struct dead_letters *letters)
{
    bool retrying = letters->broker != NULL && letters->waiting.head != NULL;
    return retrying ? letters->retry_at_ms : UINT64_MAX;
}

/* Backs off once for all copies that were refused in the same breath. */
static void retry_later(struct dead_letters *letters, const char *why, uint64_t now_ms)
{
    error_set(&letters->trouble, OUTCOME_TRANSIENT, "%s: %s", letters->queue, why);
    if (letters->retry_at_ms > now_ms) {
        return;
    }
    uint32_t wait_ms = backoff_next_ms(&letters->backoff, jitter_random());
    letters->retry_at_ms = now_ms + wait_ms + 1;
    letters->declare_first = true;
    log_at(&event_dead_letters_refused, log_string("queue", letters->queue),
           log_string("error", why), log_integer("retry_ms", wait_ms));
}

static void take_confirm(struct dead_letters *letters, const struct broker_event *event,
                         struct ack_window *window, uint64_t now_ms)
{
    if (event->type == BROKER_EVENT_NACK) {
        nack_streak_record_nack(&letters->nacks, now_ms);
    } else {
        nack_streak_record_ack(&letters->nacks);
    }
    struct dead_letter_list about =
        dead_letter_list_take_confirmed(&letters->published, event->tag, event->multiple);
    struct dead_letter_list confirmed = {0};
    struct dead_letter *letter;
    while ((letter = dead_letter_list_take(&about)) != NULL) {
        if (event->type == BROKER_EVENT_NACK) {
            retry_later(letters, "the broker refused the copy", now_ms);
            dead_letter_list_append(&letters->waiting, letter);
        } else if (letter->returned) {
            retry_later(letters, "the queue is missing", now_ms);
            dead_letter_list_append(&letters->waiting, letter);
        } else {
            ack_window_settle(window, letter->delivery_tag);
            consumer_status_count_dead_letter(letters->status, letter->reason);
            dead_letter_list_append(&confirmed, letter);
        }
    }
    if (confirmed.head != NULL) {
        free_list(letters, &confirmed);
        backoff_reset(&letters->backoff);
        letters->trouble.text[0] = '\0';
        connector_succeeded(letters->connector);
    }
}

static enum outcome read_events(struct dead_letters *letters, struct ack_window *window,
                                uint64_t now_ms, struct error *ret_error)
{
    for (;;) {
        struct broker_event event;
        enum outcome outcome = broker_read(letters->broker, &event, ret_error);
        if (outcome != OUTCOME_OK || event.type == BROKER_EVENT_NONE) {
            return outcome;
        }
        switch (event.type) {
        case BROKER_EVENT_ACK:
        case BROKER_EVENT_NACK:
            take_confirm(letters, &event, window, now_ms);
            break;
        case BROKER_EVENT_RETURN:
            dead_letter_list_mark_returned(&letters->published, event.text);
            break;
        case BROKER_EVENT_BLOCKED:
            error_set(&letters->trouble, OUTCOME_TRANSIENT,
                      "the broker has blocked publishing: %.*s", (int)event.text.length,
                      event.text.data);
            log_at(&event_broker_blocked, log_string("name", connection_name),
                   log_text("reason", event.text));
            break;
        case BROKER_EVENT_UNBLOCKED:
            letters->trouble.text[0] = '\0';
            log_at(&event_broker_unblocked, log_string("name", connection_name));
            break;
        case BROKER_EVENT_NONE:
        case BROKER_EVENT_DECLARED:
        case BROKER_EVENT_DELIVERY:
        case BROKER_EVENT_EMPTY:
        case BROKER_EVENT_CANCELLED:
            break;
        }
    }
}

static enum outcome append_copy(struct dead_letters *letters, const struct dead_letter *letter,
                                struct error *ret_error)
{
    struct message_header headers[DEAD_LETTER_HEADERS];
    dead_letter_headers(letter, letters->settings->common.queue, headers);
    const struct broker_copy copy = {.queue = letters->queue,
                                     .headers = headers,
                                     .header_count = DEAD_LETTER_HEADERS,
                                     .dropped_prefix = DEAD_LETTER_HEADER_PREFIX};
    enum outcome outcome =
        broker_append_copy(letters->broker, letter->body, letter->raw_properties, &copy, ret_error);
    if (outcome == OUTCOME_INVALID) {
        /* Properties that cannot be written again: the body and the reason matter more. */
        outcome =
            broker_append_copy(letters->broker, letter->body, (struct slice){0}, &copy, ret_error);
    }
    return outcome;
}

static void publish_waiting(struct dead_letters *letters, uint64_t now_ms)
{
    if (letters->waiting.head == NULL || now_ms < letters->retry_at_ms) {
        return;
    }
    struct error error;
    enum outcome outcome = OUTCOME_OK;
    if (letters->declare_first) {
        outcome = broker_append_declare(letters->broker, letters->queue,
                                        letters->settings->common.queue_type, &error);
        letters->declare_first = outcome != OUTCOME_OK;
    }
    while (outcome == OUTCOME_OK && letters->waiting.head != NULL &&
           broker_unsent_bytes(letters->broker) < UNSENT_BYTES_MAX) {
        outcome = append_copy(letters, letters->waiting.head, &error);
        if (outcome == OUTCOME_OK) {
            struct dead_letter *letter = dead_letter_list_take(&letters->waiting);
            letter->publish_tag = letters->next_publish_tag++;
            letter->returned = false;
            dead_letter_list_append(&letters->published, letter);
        }
    }
    if (outcome != OUTCOME_OK) {
        retry_later(letters, error.text, now_ms);
    }
}

static enum outcome exchange(struct dead_letters *letters, struct ack_window *window,
                             uint64_t now_ms, struct error *ret_error)
{
    enum outcome outcome = broker_flush(letters->broker, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = read_events(letters, window, now_ms, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = nack_streak_check(&letters->nacks, now_ms, ret_error);
    }
    /* As long as the socket takes everything nothing wakes poll() for the rest. */
    while (outcome == OUTCOME_OK && broker_unsent_bytes(letters->broker) == 0 &&
           letters->waiting.head != NULL && now_ms >= letters->retry_at_ms) {
        publish_waiting(letters, now_ms);
        outcome = broker_flush(letters->broker, ret_error);
    }
    return outcome;
}

static void disconnected(struct dead_letters *letters, const struct error *error)
{
    log_at(&event_broker_disconnected, log_string("name", connection_name),
           log_string("error", error->text));
    letters->trouble = *error;
    broker_free(letters->broker);
    letters->broker = NULL;
    dead_letter_list_prepend_all(&letters->waiting, &letters->published);
}

static void connect_if_needed(struct dead_letters *letters)
{
    if (letters->broker != NULL) {
        return;
    }
    if (!letters->requested && letters->pending > 0) {
        letters->requested = true;
        connector_request(letters->connector);
    }
    letters->broker = letters->requested ? connector_take(letters->connector) : NULL;
    if (letters->broker != NULL) {
        letters->requested = false;
        letters->next_publish_tag = 1;
        nack_streak_begin(&letters->nacks);
        letters->retry_at_ms = 0;
        letters->declare_first = false;
        letters->trouble.text[0] = '\0';
    }
}

void dead_letters_turn(struct dead_letters *letters, struct ack_window *window, uint64_t now_ms)
{
    connect_if_needed(letters);
    if (letters->broker == NULL) {
        if (letters->requested) {
            connector_last_error(letters->connector, &letters->trouble);
        }
        return;
    }
    struct error error;
    if (exchange(letters, window, now_ms, &error) != OUTCOME_OK) {
        disconnected(letters, &error);
        connect_if_needed(letters);
    }
}

const char *dead_letters_trouble(const struct dead_letters *letters)
{
    return letters->trouble.text;
}

uint64_t dead_letters_connect_attempts(const struct dead_letters *letters)
{
    return connector_attempts(letters->connector);
}
