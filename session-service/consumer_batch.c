/* A batch on its way to disk, log and ack, and the pause when the store cannot take it. */
#include "session-service/consumer_internal.h"

#include "session-service/log_events.h"

#include "common/base/clock.h"

enum {
    /* RabbitMQ 4 drops a message of a quorum queue after 20 deliveries that failed. */
    BROKER_DELIVERIES_MAX = 15,
    PRUNE_EVERY_MS = 250,
};

void consumer_write_lines(struct consumer *consumer)
{
    if (consumer->lines.length > 0) {
        log_write(buffer_slice(&consumer->lines));
    }
    if (consumer->lines.capacity > 2 * BATCH_BYTES_MAX) {
        buffer_done(&consumer->lines);
        buffer_init(&consumer->lines, LOG_BATCH_BYTES_MAX);
    } else {
        buffer_clear(&consumer->lines);
    }
}

static void count_delivery(struct consumer *consumer, const struct batch_item *item)
{
    struct consumer_status *status = consumer->status;
    const struct handled *handled = &item->handled;
    if (item->delivery.redelivered) {
        metric_add(&status->redelivered, 1);
    }
    if (handled->session_opened) {
        metric_add(&status->sessions_opened, 1);
    }
    if (handled->verdict == VERDICT_DEAD_LETTER) {
        metric_add(&status->deliveries[DELIVERY_DEAD], 1);
    } else if (handled->duplicate) {
        metric_add(&status->deliveries[DELIVERY_DUPLICATE], 1);
    } else if (handled->outdated) {
        metric_add(&status->deliveries[DELIVERY_OUTDATED], 1);
    } else {
        metric_add(&status->deliveries[handled->bare ? DELIVERY_BARE : DELIVERY_HANDLED], 1);
    }
}

/* The effects are on disk: log, and leave the delivery to its ack or to the dead letters. Fails
 * only where there is no memory for a copy; then the rest of the group is finished later. */
static enum outcome finish_group(struct consumer *consumer, size_t end, struct error *ret_error)
{
    struct delivery_batch *batch = &consumer->batch;
    consumer_write_lines(consumer);
    for (; batch->next < end; batch->next++) {
        struct batch_item *item = &batch->items[batch->next];
        if (item->handled.verdict == VERDICT_DEAD_LETTER) {
            enum outcome outcome =
                dead_letters_add(consumer->dead_letters, &item->delivery, item->handled.reason,
                                 item->handled.detail, ret_error);
            if (outcome != OUTCOME_OK) {
                return outcome;
            }
        } else {
            ack_window_settle(&consumer->window, item->delivery.tag);
        }
        count_delivery(consumer, item);
    }
    return OUTCOME_OK;
}

static enum outcome handle_items(struct consumer *consumer, size_t end, int64_t now_wall_ms,
                                 struct error *ret_error)
{
    struct delivery_batch *batch = &consumer->batch;
    enum outcome outcome = store_begin(consumer->store, ret_error);
    for (size_t i = batch->next; outcome == OUTCOME_OK && i < end; i++) {
        struct batch_item *item = &batch->items[i];
        outcome = event_dispatch(&consumer->dispatcher, &item->delivery.message,
                                 item->delivery.redelivered, now_wall_ms, &consumer->lines,
                                 &item->handled, ret_error);
    }
    return outcome;
}

static enum outcome handle_group(struct consumer *consumer, size_t end, struct error *ret_error)
{
    enum outcome outcome = handle_items(consumer, end, (int64_t)clock_wall_ms(), ret_error);
    outcome = store_end(consumer->store, outcome, ret_error);
    if (outcome != OUTCOME_OK) {
        buffer_clear(&consumer->lines);
        return outcome;
    }
    return finish_group(consumer, end, ret_error);
}

static int64_t broker_deliveries(const struct message *message)
{
    const struct message_header *count =
        message_find_header(message, BROKER_HEADER_DELIVERY_COUNT, MESSAGE_HEADER_INTEGER);
    return count != NULL ? count->integer : 0;
}

/* A message that was delivered before may be what ended the process then. It is handled alone, and
 * that it was begun is on disk first, so that one message cannot end the process for ever, nor take
 * its neighbours along. */
static enum outcome handle_suspect(struct consumer *consumer, struct error *ret_error)
{
    struct delivery_batch *batch = &consumer->batch;
    struct batch_item *item = &batch->items[batch->next];
    const struct message *message = &item->delivery.message;
    int64_t now_ms = (int64_t)clock_wall_ms();
    char key[ATTEMPT_KEY_BYTES];
    int64_t attempts = 0;
    enum outcome outcome = event_attempt_key(message, key, ret_error);
    if (outcome == OUTCOME_OK && !item->attempt_counted) {
        outcome = store_count_attempt(consumer->store, slice_of(key), now_ms, &attempts, ret_error);
        item->attempt_counted = outcome == OUTCOME_OK;
    }
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    int64_t delivered = broker_deliveries(message);
    bool too_often =
        attempts > consumer->settings->redelivery_limit || delivered >= BROKER_DELIVERIES_MAX;
    if (too_often) {
        outcome = store_begin(consumer->store, ret_error);
        if (outcome == OUTCOME_OK) {
            outcome = event_give_up(message, attempts > delivered ? attempts - 1 : delivered,
                                    &consumer->lines, &item->handled, ret_error);
        }
    } else {
        outcome = handle_items(consumer, batch->next + 1, now_ms, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = store_forget_attempts(consumer->store, slice_of(key), ret_error);
    }
    outcome = store_end(consumer->store, outcome, ret_error);
    if (outcome != OUTCOME_OK) {
        buffer_clear(&consumer->lines);
        return outcome;
    }
    return finish_group(consumer, batch->next + 1, ret_error);
}

static void pause_consumer(struct consumer *consumer, const struct error *error, uint64_t now_ms)
{
    consumer->resume_at_ms = now_ms + backoff_next_ms(&consumer->pause_backoff) + 1;
    if (!consumer->paused) {
        log_at(&event_consumer_paused, log_string("error", error->text));
    }
    consumer->paused = true;
    consumer_status_paused(consumer->status, error);
}

static void resume_consumer(struct consumer *consumer)
{
    backoff_reset(&consumer->pause_backoff);
    if (consumer->paused) {
        consumer->paused = false;
        consumer_status_paused(consumer->status, NULL);
        log_event(&event_consumer_resumed, NULL, 0);
    }
}

bool consumer_handle_batch(struct consumer *consumer, uint64_t now_ms)
{
    struct delivery_batch *batch = &consumer->batch;
    struct error error;
    enum outcome outcome = OUTCOME_OK;
    while (outcome == OUTCOME_OK && batch->next < batch->count) {
        if (batch->items[batch->next].delivery.redelivered) {
            outcome = handle_suspect(consumer, &error);
            continue;
        }
        size_t end = batch->next + 1;
        while (end < batch->count && !batch->items[end].delivery.redelivered) {
            end++;
        }
        outcome = handle_group(consumer, end, &error);
    }
    if (outcome == OUTCOME_OK && consumer->paused && batch->count == 0) {
        outcome = store_prune(consumer->store, (int64_t)clock_wall_ms(), &error);
    }
    if (outcome != OUTCOME_OK) {
        pause_consumer(consumer, &error, now_ms);
        return false;
    }
    resume_consumer(consumer);
    delivery_batch_clear(batch);
    return true;
}

void consumer_prune(struct consumer *consumer, uint64_t now_ms)
{
    if (consumer->paused || now_ms < consumer->prune_at_ms) {
        return;
    }
    consumer->prune_at_ms = now_ms + PRUNE_EVERY_MS;
    struct error error;
    if (store_prune(consumer->store, (int64_t)clock_wall_ms(), &error) != OUTCOME_OK) {
        pause_consumer(consumer, &error, now_ms);
    }
}
