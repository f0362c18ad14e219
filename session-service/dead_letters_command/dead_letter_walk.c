/* One connection: gets, publishes and acks, many on their way at once. */
#include "session-service/dead_letters_command/dead_letter_walk.h"

#include "session-service/dead_letter.h"
#include "session-service/delivery_batch.h"

#include "common/amqp/broker_hosts.h"
#include "common/amqp/confirming_publisher.h"
#include "common/base/clock.h"
#include "common/user/user_shard.h"

#include <stdlib.h>

enum {
    WINDOW = 256, /* letters asked for, at hand or waiting for their confirm */
    LONGEST_WAIT_MS = 500,
    PROGRESS_EVERY_MS = 2000,
    ACK_ROUNDS = 3,
    LETTERS_BACK_MAX_MS = 5000, /* another command may have taken them */
    LETTERS_BACK_LOOK_MS = 10,
};

struct letter {
    uint64_t delivery_tag;
    char message_id[SHORT_STRING_BYTES_MAX];
    bool moved; /* to the end of its own queue */
};

struct walk {
    const struct dead_letter_walk_options *options;
    struct dead_letter_walk_result *result;
    char queue[DEAD_LETTER_QUEUE_BYTES];
    struct confirming_publisher publisher;
    struct letter letters[WINDOW]; /* that are published, by their tags */
    struct delivery_batch batch;
    uint64_t limit, asked, delivered, sent, acked; /* letters */
    size_t gets;                                   /* without a reply yet */
    bool at_end;                                   /* nothing more is asked for */
    bool ending;                                   /* and nothing more is decided */
    struct error refusal;                          /* "": none */
    uint64_t now_ms, started_ms, progress_ms, reported_ms;
};

/* What is on its way is still waited for. */
static void refuse(struct walk *walk, const char *why)
{
    walk->ending = true;
    if (walk->refusal.text[0] == '\0') {
        error_set(&walk->refusal, OUTCOME_TRANSIENT, "%s", why);
    }
}

/* An original is acked only after the confirm of what was published; the others stay where they
 * are. */
static void settle(void *item, enum confirm_result result, void *context)
{
    struct walk *walk = context;
    const struct letter *letter = item;
    struct error error;
    if (result == CONFIRM_REFUSED) {
        refuse(walk, "the queue to send to refuses messages");
    } else if (result != CONFIRM_CONFIRMED) {
        refuse(walk, "the queue to send to does not exist");
    } else if (broker_append_ack(walk->publisher.broker, letter->delivery_tag, false, &error) !=
               OUTCOME_OK) {
        refuse(walk, error.text);
    } else {
        walk->acked++;
        walk->result->sent_back += letter->moved ? 0 : 1;
    }
}

static bool hear(void *context, const struct broker_event *event)
{
    struct walk *walk = context;
    struct error error;
    walk->progress_ms = walk->now_ms;
    if (event->type == BROKER_EVENT_DELIVERY) {
        walk->gets--;
        walk->delivered++;
        if (delivery_batch_add(&walk->batch, &event->delivery, &error) != OUTCOME_OK) {
            refuse(walk, error.text);
        }
    } else if (event->type == BROKER_EVENT_EMPTY) {
        walk->gets--;
        walk->at_end = true;
    }
    return !delivery_batch_is_full(&walk->batch);
}

static enum outcome open_connection(struct walk *walk, struct error *ret_error)
{
    struct confirming_publisher_options confirming = {
        .window = WINDOW, .settled = settle, .heard = hear, .context = walk};
    enum outcome outcome = confirming_publisher_init(&walk->publisher, &confirming, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    struct connector_options connection =
        common_settings_connection(&walk->options->settings->common, "dead-letters command");
    connection.open.timeout_ms = DEAD_LETTER_WALK_PATIENCE_MS;
    struct broker_hosts hosts;
    outcome = broker_hosts_parse(connection.urls, &hosts, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    for (size_t i = 0; i < hosts.count; i++) {
        struct error cause;
        const struct broker_address *address = &hosts.addresses[i];
        outcome = broker_hosts_open(address, &connection.open, connection.password_file,
                                    &walk->publisher.broker, &cause);
        if (outcome == OUTCOME_OK) {
            break;
        }
        error_set(ret_error, outcome, "broker %s:%d: %s", address->host, address->port, cause.text);
    }
    broker_hosts_done(&hosts);
    return outcome;
}

static uint64_t letters_allowed(const struct walk *walk)
{
    uint64_t rate = walk->options->rate;
    return rate == 0 ? UINT64_MAX : 1 + (walk->now_ms - walk->started_ms) * rate / 1000;
}

/* Every letter at hand may have to be sent back, so no more are taken than may be sent. */
static enum outcome ask_for_letters(struct walk *walk, struct error *ret_error)
{
    uint64_t allowed = letters_allowed(walk);
    while (!walk->ending && !walk->at_end && walk->asked < walk->limit &&
           walk->gets + confirm_window_count(&walk->publisher.window) < WINDOW &&
           walk->sent + walk->gets < allowed) {
        enum outcome outcome = broker_append_get(walk->publisher.broker, walk->queue, ret_error);
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
        walk->asked++;
        walk->gets++;
    }
    return OUTCOME_OK;
}

/* Where the user's messages go now, whichever queue the letter came from: every session-service
 * consumes from that one. */
static enum outcome choose_queue(const struct walk *walk, const struct broker_delivery *delivery,
                                 struct shard_name *ret_name, const char **ret_queue,
                                 struct error *ret_error)
{
    const struct common_settings *settings = &walk->options->settings->common;
    size_t shards = (size_t)settings->shards;
    size_t shard = 0;
    enum outcome outcome = user_shard_of_body(delivery->message.body, shards, &shard, ret_error);
    *ret_queue = shards > 1 ? shard_name_of(settings->queue, shard, ret_name) : settings->queue;
    return outcome;
}

static enum outcome publish(struct walk *walk, const struct broker_delivery *delivery, bool moved,
                            struct error *ret_error)
{
    /* What the session-service counts on stays; the rest would be about a time that is over. */
    struct message_header kept[2];
    struct broker_copy copy = {.queue = walk->queue, .headers = kept};
    struct shard_name name;
    enum outcome outcome = OUTCOME_OK;
    if (!moved) {
        outcome = choose_queue(walk, delivery, &name, &copy.queue, ret_error);
        copy.dropped_prefix = DEAD_LETTER_HEADER_PREFIX;
        const char *const names[] = {DEAD_LETTER_FIRST_AT, DEAD_LETTER_COUNT};
        for (size_t i = 0; i < 2; i++) {
            const struct message_header *header =
                message_find_header(&delivery->message, names[i], MESSAGE_HEADER_INTEGER);
            if (header != NULL) {
                kept[copy.header_count++] = *header;
            }
        }
    }
    if (outcome == OUTCOME_OK) {
        outcome = broker_append_copy(walk->publisher.broker, delivery->message.body,
                                     delivery->raw_properties, &copy, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        struct confirm_window *window = &walk->publisher.window;
        struct letter *letter = &walk->letters[window->next % WINDOW];
        struct slice id = delivery->message.message_id;
        *letter = (struct letter){.delivery_tag = delivery->tag, .moved = moved};
        if (id.length > 0) {
            memcpy(letter->message_id, id.data, id.length);
        }
        (void)confirm_window_add(window, letter, (struct slice){letter->message_id, id.length}, 0);
    }
    return outcome;
}

static enum outcome act(struct walk *walk, const struct broker_delivery *delivery,
                        struct error *ret_error)
{
    struct dead_letter_walk_result *result = walk->result;
    result->seen++;
    enum outcome outcome = OUTCOME_OK;
    switch (walk->options->decide(walk->options->context, &delivery->message, result->seen)) {
    case DEAD_LETTER_LEAVE:
        if (dead_letter_is_worn(&delivery->message)) {
            outcome = publish(walk, delivery, true, ret_error);
        }
        break;
    case DEAD_LETTER_REMOVE:
        outcome = broker_append_ack(walk->publisher.broker, delivery->tag, false, ret_error);
        result->removed += outcome == OUTCOME_OK ? 1 : 0;
        walk->acked++;
        break;
    case DEAD_LETTER_SEND_BACK:
        outcome = publish(walk, delivery, false, ret_error);
        walk->sent++;
        break;
    }
    return outcome;
}

static enum outcome act_on_batch(struct walk *walk, struct error *ret_error)
{
    struct delivery_batch *batch = &walk->batch;
    enum outcome outcome = OUTCOME_OK;
    for (size_t i = 0; outcome == OUTCOME_OK && !walk->ending && i < batch->count; i++) {
        outcome = act(walk, &batch->items[i].delivery, ret_error);
    }
    delivery_batch_clear(batch);
    return outcome;
}

static bool is_finished(const struct walk *walk)
{
    bool asks_more = !walk->ending && !walk->at_end && walk->asked < walk->limit;
    return !asks_more && walk->gets == 0 && confirm_window_count(&walk->publisher.window) == 0 &&
           broker_unsent_bytes(walk->publisher.broker) == 0;
}

static enum outcome check_patience(struct walk *walk, struct error *ret_error)
{
    if (walk->gets == 0 && confirm_window_count(&walk->publisher.window) == 0) {
        walk->progress_ms = walk->now_ms;
    }
    if (walk->now_ms - walk->progress_ms < DEAD_LETTER_WALK_PATIENCE_MS) {
        return OUTCOME_OK;
    }
    return error_set(ret_error, OUTCOME_TRANSIENT, "the broker has not answered for %d s%s",
                     DEAD_LETTER_WALK_PATIENCE_MS / 1000,
                     walk->publisher.blocked ? ": it blocks publishing (memory or disk alarm)"
                                             : "");
}

static void report_progress(struct walk *walk)
{
    const struct dead_letter_walk_options *options = walk->options;
    if (options->report_progress != NULL && walk->now_ms - walk->reported_ms >= PROGRESS_EVERY_MS) {
        walk->reported_ms = walk->now_ms;
        options->report_progress(options->context, walk->result->seen, walk->limit);
    }
}

static void wait_for_broker(const struct walk *walk, uint64_t longest_ms)
{
    struct pollfd watched = broker_poll(walk->publisher.broker);
    uint64_t rate = walk->options->rate;
    uint64_t wait_ms = rate > 0 && rate < 1000 ? 1000 / rate : rate > 0 ? 1 : longest_ms;
    wait_ms = wait_ms < longest_ms ? wait_ms : longest_ms;
    const struct timespec timeout = {.tv_nsec = (long)wait_ms * 1000000};
    /* Whatever it says, the loop looks at everything: a signal only ends the wait. */
    (void)ppoll(&watched, 1, &timeout, walk->options->signals_while_waiting);
}

static enum outcome go_over_letters(struct walk *walk, struct error *ret_error)
{
    while (!is_finished(walk)) {
        walk->now_ms = clock_monotonic_ms();
        if (*walk->options->stop != 0) {
            walk->ending = true;
        }
        enum outcome outcome = ask_for_letters(walk, ret_error);
        if (outcome == OUTCOME_OK) {
            outcome = confirming_publisher_read(&walk->publisher, walk->now_ms, ret_error);
        }
        bool was_full = delivery_batch_is_full(&walk->batch);
        if (outcome == OUTCOME_OK) {
            outcome = act_on_batch(walk, ret_error);
        }
        if (outcome == OUTCOME_OK) {
            outcome = broker_flush(walk->publisher.broker, ret_error);
        }
        if (outcome == OUTCOME_OK) {
            outcome = check_patience(walk, ret_error);
        }
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
        report_progress(walk);
        if (!was_full && !is_finished(walk)) {
            wait_for_broker(walk, LONGEST_WAIT_MS);
        }
    }
    return OUTCOME_OK;
}

/* A quorum queue's acks are commands that the channel sends on when the queue has caught up, and
 * forgets when it is closed before. A get is answered by the queue itself, after the acks before
 * it; what the channel had kept back it sends then, before it takes the next request. */
static enum outcome see_acks_taken(struct walk *walk, struct error *ret_error)
{
    struct error cause;
    enum outcome outcome = OUTCOME_OK;
    walk->ending = true;
    for (int round = 0; outcome == OUTCOME_OK && round < ACK_ROUNDS; round++) {
        bool exists = false;
        uint64_t count = 0;
        outcome = broker_append_get(walk->publisher.broker, walk->queue, &cause);
        if (outcome == OUTCOME_OK) {
            walk->gets++;
            outcome = go_over_letters(walk, &cause);
        }
        if (outcome == OUTCOME_OK) {
            outcome =
                broker_count_and_wait(walk->publisher.broker, walk->queue, &exists, &count, &cause);
        }
    }
    return outcome == OUTCOME_OK
               ? OUTCOME_OK
               : error_set(ret_error, OUTCOME_TRANSIENT,
                           "the broker does not say whether it took the last acks, so that some "
                           "letters may still be there: %s",
                           cause.text);
}

/* The connection's close gives them back too, but a moment after this process has ended, and a
 * command that follows at once would not find them. A signal ends the wait, but not a count. */
static enum outcome give_back(struct walk *walk, struct error *ret_error)
{
    sig_atomic_t signals = *walk->options->stop;
    bool exists = false;
    uint64_t ready = 0;
    enum outcome outcome =
        broker_count_and_wait(walk->publisher.broker, walk->queue, &exists, &ready, ret_error);
    if (outcome == OUTCOME_OK && exists) {
        outcome = broker_reopen_channel(walk->publisher.broker, ret_error);
    }
    uint64_t awaited = ready + walk->delivered - walk->acked;
    uint64_t until_ms = clock_monotonic_ms() + LETTERS_BACK_MAX_MS;
    while (outcome == OUTCOME_OK && exists && ready < awaited && *walk->options->stop == signals &&
           clock_monotonic_ms() < until_ms) {
        wait_for_broker(walk, LETTERS_BACK_LOOK_MS);
        outcome =
            broker_count_and_wait(walk->publisher.broker, walk->queue, &exists, &ready, ret_error);
    }
    return outcome;
}

static enum outcome walk_connected(struct walk *walk, struct error *ret_error)
{
    struct dead_letter_walk_result *result = walk->result;
    enum outcome outcome = broker_count_and_wait(walk->publisher.broker, walk->queue,
                                                 &result->queue_exists, &result->total, ret_error);
    if (outcome != OUTCOME_OK || !result->queue_exists) {
        return outcome;
    }
    outcome = broker_enable_confirms(walk->publisher.broker, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    walk->options->defer_signals(walk->options->context);
    uint64_t letters_max = walk->options->letters_max;
    walk->limit = letters_max > 0 && letters_max < result->total ? letters_max : result->total;
    walk->started_ms = walk->progress_ms = walk->reported_ms = clock_monotonic_ms();
    outcome = go_over_letters(walk, ret_error);
    if (outcome == OUTCOME_OK && walk->acked > 0) {
        outcome = see_acks_taken(walk, ret_error);
    }
    if (outcome == OUTCOME_OK && walk->delivered > walk->acked) {
        outcome = give_back(walk, ret_error);
    }
    if (outcome == OUTCOME_OK && walk->refusal.text[0] != '\0') {
        outcome = error_set(ret_error, OUTCOME_TRANSIENT, "%s", walk->refusal.text);
    }
    return outcome;
}

enum outcome dead_letter_walk(const struct dead_letter_walk_options *options,
                              struct dead_letter_walk_result *ret_result, struct error *ret_error)
{
    *ret_result = (struct dead_letter_walk_result){0};
    struct walk *walk = calloc(1, sizeof(*walk));
    if (walk == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory");
    }
    walk->options = options;
    walk->result = ret_result;
    dead_letter_queue_name(options->settings->common.queue, walk->queue);
    enum outcome outcome = delivery_batch_init(&walk->batch, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = open_connection(walk, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = walk_connected(walk, ret_error);
    }
    confirming_publisher_done(&walk->publisher);
    delivery_batch_done(&walk->batch);
    free(walk);
    return outcome;
}
