/* Publishes the copies with confirms, and again until each is confirmed. */
#include "session-service/dead_letters.h"

#include "session-service/dead_letter.h"
#include "session-service/log_events.h"

#include "common/amqp/confirming_publisher.h"
#include "common/base/backoff.h"
#include "common/base/clock.h"

#include <assert.h>
#include <stdlib.h>

enum {
    RETRY_BASE_MS = 100,
    RETRY_CAP_MS = 10000,
    LOST_CONFIRM_MS = 10000,        /* then the connection is given up */
    UNSENT_BYTES_MAX = 1024 * 1024, /* more is not encoded ahead of what the socket takes */
};

static const char connection_name[] = "dead-letters";

struct dead_letters {
    const struct settings *settings;
    struct consumer_status *status;
    struct confirming_publisher publisher;
    const char *queue;         /* the publisher's */
    struct ack_window *window; /* borrowed for the turn */
    uint64_t now_ms;           /* of the turn */

    struct dead_letter_queue waiting, published;
    size_t pending, pending_bytes; /* of both lists */
    size_t moving;                 /* those of them that go to the end of their own queue */

    struct backoff backoff;
    uint64_t retry_at_ms; /* 0: nothing was refused */
    struct error trouble; /* until a copy is confirmed */
};

static void count(struct dead_letters *letters, const struct dead_letter *letter, bool is_added)
{
    size_t one = is_added ? 1 : (size_t)-1;
    letters->pending += one;
    letters->pending_bytes += is_added ? letter->size_bytes : -letter->size_bytes;
    letters->moving += letter->reason == NULL ? one : 0;
    metric_set(&letters->status->dead_letters_pending, (int64_t)dead_letters_pending(letters));
}

static void drop(struct dead_letters *letters, struct dead_letter_queue *queue,
                 struct dead_letter *letter)
{
    TAILQ_REMOVE(queue, letter, in_order);
    count(letters, letter, false);
    free(letter);
}

/* Backs off once for all copies that were refused in the same breath. */
static void retry_later(struct dead_letters *letters, const char *why)
{
    error_set(&letters->trouble, OUTCOME_TRANSIENT, "%s: %s", letters->queue, why);
    if (letters->retry_at_ms > letters->now_ms) {
        return;
    }
    uint32_t wait_ms = backoff_next_ms(&letters->backoff);
    letters->retry_at_ms = letters->now_ms + wait_ms + 1;
    log_at(&event_dead_letters_refused, log_string("queue", letters->queue),
           log_string("error", why), log_integer("retry_ms", wait_ms));
}

static void settle(void *item, enum confirm_result result, void *context)
{
    struct dead_letters *letters = context;
    struct dead_letter *letter = item;
    if (letter == NULL) {
        return; /* dead_letters_forget() */
    }
    assert(letter->publish_tag != 0);
    letter->publish_tag = 0;
    if (result == CONFIRM_CONFIRMED) {
        ack_window_settle(letters->window, letter->delivery_tag);
        if (letter->reason == NULL) {
            metric_add(&letters->status->moved, 1);
        } else {
            consumer_status_count_dead_letter(letters->status, letter->reason);
            backoff_reset(&letters->backoff);
            letters->trouble.text[0] = '\0';
        }
        drop(letters, &letters->published, letter);
    } else if (letter->reason == NULL) {
        drop(letters, &letters->published, letter);
    } else if (result != CONFIRM_LOST) {
        retry_later(letters, result == CONFIRM_REFUSED ? "the broker refused the copy"
                                                       : "the queue is missing");
        TAILQ_REMOVE(&letters->published, letter, in_order);
        TAILQ_INSERT_TAIL(&letters->waiting, letter, in_order);
    }
}

static bool hear(void *context, const struct broker_event *event)
{
    struct dead_letters *letters = context;
    if (event->type == BROKER_EVENT_BLOCKED) {
        error_set(&letters->trouble, OUTCOME_TRANSIENT, "the broker has blocked publishing: %.*s",
                  (int)event->text.length, event->text.data);
        log_at(&event_broker_blocked, log_string("name", connection_name),
               log_text("reason", event->text));
    } else if (event->type == BROKER_EVENT_UNBLOCKED) {
        letters->trouble.text[0] = '\0';
        log_at(&event_broker_unblocked, log_string("name", connection_name));
    }
    return true;
}

enum outcome dead_letters_create(const struct settings *settings, struct consumer_status *status,
                                 struct worker *owner, struct dead_letters **ret_letters,
                                 struct error *ret_error)
{
    struct dead_letters *letters = calloc(1, sizeof(*letters));
    if (letters == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the dead letters");
    }
    letters->settings = settings;
    letters->status = status;
    TAILQ_INIT(&letters->waiting);
    TAILQ_INIT(&letters->published);
    backoff_init(&letters->backoff, RETRY_BASE_MS, RETRY_CAP_MS, clock_monotonic_us());
    struct confirming_publisher_options options = {
        .connection = common_settings_connection(&settings->common, connection_name),
        .window = settings_deliveries_max(settings),
        .settled = settle,
        .heard = hear,
        .context = letters,
    };
    options.connection.owner = owner;
    options.connection.shards = 0; /* one queue for the letters of all */
    dead_letter_queue_name(settings->common.queue, options.connection.queue);
    enum outcome outcome = confirming_publisher_init(&letters->publisher, &options, ret_error);
    letters->queue = letters->publisher.options.connection.queue;
    if (outcome != OUTCOME_OK) {
        dead_letters_free(letters);
        return outcome;
    }
    *ret_letters = letters;
    return OUTCOME_OK;
}

void dead_letters_free(struct dead_letters *letters)
{
    if (letters == NULL) {
        return;
    }
    dead_letters_forget(letters);
    confirming_publisher_done(&letters->publisher);
    free(letters);
}

void dead_letters_forget(struct dead_letters *letters)
{
    struct dead_letter *letter = NULL;
    TAILQ_CONCAT(&letters->waiting, &letters->published, in_order);
    while ((letter = TAILQ_FIRST(&letters->waiting)) != NULL) {
        confirm_window_forget(&letters->publisher.window, letter->publish_tag);
        drop(letters, &letters->waiting, letter);
    }
}

static enum outcome add(struct dead_letters *letters, const struct broker_delivery *delivery,
                        const char *reason, const char *detail, struct error *ret_error)
{
    struct dead_letter *letter =
        dead_letter_create(delivery, reason, detail, (int64_t)clock_wall_ms());
    if (letter == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory to copy a message of %zu bytes",
                         delivery->message.body.length);
    }
    TAILQ_INSERT_TAIL(&letters->waiting, letter, in_order);
    count(letters, letter, true);
    return OUTCOME_OK;
}

enum outcome dead_letters_add(struct dead_letters *letters, const struct broker_delivery *delivery,
                              const char *reason, const char *detail, struct error *ret_error)
{
    return add(letters, delivery, reason, detail, ret_error);
}

enum outcome dead_letters_move(struct dead_letters *letters, const struct broker_delivery *delivery,
                               struct error *ret_error)
{
    return add(letters, delivery, NULL, "", ret_error);
}

size_t dead_letters_moving(const struct dead_letters *letters)
{
    return letters->moving;
}

static void drop_moving(struct dead_letters *letters, struct dead_letter_queue *queue)
{
    struct dead_letter *next = NULL;
    for (struct dead_letter *letter = TAILQ_FIRST(queue); letter != NULL; letter = next) {
        next = TAILQ_NEXT(letter, in_order);
        if (letter->reason == NULL) {
            confirm_window_forget(&letters->publisher.window, letter->publish_tag);
            drop(letters, queue, letter);
        }
    }
}

void dead_letters_stop_moving(struct dead_letters *letters)
{
    if (letters->moving > 0) {
        drop_moving(letters, &letters->waiting);
        drop_moving(letters, &letters->published);
    }
}

bool dead_letters_is_full(const struct dead_letters *letters)
{
    return letters->pending_bytes >= DEAD_LETTERS_PENDING_BYTES_MAX;
}

size_t dead_letters_pending(const struct dead_letters *letters)
{
    return letters->pending - letters->moving;
}

struct pollfd dead_letters_poll(const struct dead_letters *letters)
{
    return broker_poll(letters->publisher.broker);
}

uint64_t dead_letters_due_ms(const struct dead_letters *letters)
{
    bool retrying =
        !TAILQ_EMPTY(&letters->waiting) && confirming_publisher_has_room(&letters->publisher);
    return retrying ? letters->retry_at_ms : UINT64_MAX;
}

/* From which it came. */
static const char *queue_of(const struct dead_letters *letters, const struct dead_letter *letter,
                            struct shard_name *ret_name)
{
    return shard_consumed_queue(letters->settings->common.queue, letter->consumer, ret_name);
}

static enum outcome append_moving(struct dead_letters *letters, const struct dead_letter *letter,
                                  struct error *ret_error)
{
    const struct message_header header = {.name = slice_of(EARLIER_DELIVERIES),
                                          .type = MESSAGE_HEADER_INTEGER,
                                          .integer = letter->earlier_deliveries};
    struct shard_name name;
    const struct broker_copy copy = {.queue = queue_of(letters, letter, &name),
                                     .headers = &header,
                                     .header_count = 1,
                                     .whole = true};
    return broker_append_copy(letters->publisher.broker, letter->body, letter->raw_properties,
                              &copy, ret_error);
}

static enum outcome append_dead(struct dead_letters *letters, struct dead_letter *letter,
                                struct error *ret_error)
{
    struct broker *broker = letters->publisher.broker;
    struct message_header headers[DEAD_LETTER_HEADERS];
    struct shard_name name;
    dead_letter_headers(letter, queue_of(letters, letter, &name), headers);
    const struct broker_copy copy = {.queue = letters->queue,
                                     .headers = headers,
                                     .header_count = DEAD_LETTER_HEADERS,
                                     .dropped_prefix = DEAD_LETTER_HEADER_PREFIX};
    enum outcome outcome =
        broker_append_copy(broker, letter->body, letter->raw_properties, &copy, ret_error);
    if (outcome == OUTCOME_INVALID) {
        /* Properties that cannot be written again: the body and the reason matter more. */
        letter->message_id = letter->raw_properties = (struct slice){0};
        outcome =
            broker_append_copy(broker, letter->body, letter->raw_properties, &copy, ret_error);
    }
    return outcome;
}

static void publish_next(struct dead_letters *letters)
{
    struct dead_letter *letter = TAILQ_FIRST(&letters->waiting);
    assert(letter->publish_tag == 0);
    struct error error;
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): one that was dropped is in no queue any more */
    enum outcome outcome = letter->reason == NULL ? append_moving(letters, letter, &error)
                                                  : append_dead(letters, letter, &error);
    if (outcome != OUTCOME_OK && letter->reason == NULL) {
        drop(letters, &letters->waiting, letter);
        return;
    }
    if (outcome != OUTCOME_OK) {
        retry_later(letters, error.text);
        return;
    }
    letter->publish_tag =
        confirm_window_add(&letters->publisher.window, letter, letter->message_id, letters->now_ms);
    TAILQ_REMOVE(&letters->waiting, letter, in_order);
    TAILQ_INSERT_TAIL(&letters->published, letter, in_order);
}

static enum outcome exchange(struct dead_letters *letters, struct error *ret_error)
{
    struct confirming_publisher *publisher = &letters->publisher;
    enum outcome outcome = confirming_publisher_read(publisher, letters->now_ms, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome =
            confirming_publisher_check(publisher, letters->now_ms, LOST_CONFIRM_MS, ret_error);
    }
    while (outcome == OUTCOME_OK && dead_letters_due_ms(letters) <= letters->now_ms &&
           broker_unsent_bytes(publisher->broker) < UNSENT_BYTES_MAX) {
        publish_next(letters);
        /* As long as the socket takes everything nothing wakes poll() for the rest. */
        if (broker_unsent_bytes(publisher->broker) >= UNSENT_BYTES_MAX) {
            outcome = broker_flush(publisher->broker, ret_error);
        }
    }
    return outcome == OUTCOME_OK ? broker_flush(publisher->broker, ret_error) : outcome;
}

static void connect_if_needed(struct dead_letters *letters)
{
    bool is_wanted = letters->pending > 0 || letters->publisher.requested;
    if (is_wanted && confirming_publisher_connect(&letters->publisher)) {
        letters->retry_at_ms = 0;
    }
}

void dead_letters_turn(struct dead_letters *letters, struct ack_window *window, uint64_t now_ms)
{
    letters->window = window;
    letters->now_ms = now_ms;
    struct error error;
    connect_if_needed(letters);
    if (letters->publisher.broker == NULL) {
        connector_last_error(letters->publisher.connector, &error);
        if (error.text[0] != '\0') {
            letters->trouble = error;
        }
        return;
    }
    if (exchange(letters, &error) != OUTCOME_OK) {
        letters->trouble = error;
        confirming_publisher_disconnect(&letters->publisher, &error);
        TAILQ_CONCAT(&letters->published, &letters->waiting, in_order);
        TAILQ_CONCAT(&letters->waiting, &letters->published, in_order);
        connect_if_needed(letters);
    }
}

void dead_letters_show_life(struct dead_letters *letters)
{
    if (letters->publisher.broker != NULL) {
        (void)!broker_heartbeat_if_due(letters->publisher.broker, NULL); /* the next turn fails */
    }
}

const char *dead_letters_trouble(const struct dead_letters *letters)
{
    return letters->trouble.text;
}

void dead_letters_warning(const struct dead_letters *letters, struct error *ret_warning)
{
    connector_discards(letters->publisher.connector, ret_warning);
}

uint64_t dead_letters_connect_attempts(const struct dead_letters *letters)
{
    return connector_attempts(letters->publisher.connector);
}
