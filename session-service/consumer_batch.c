/* A batch on its way to disk, log and ack, and the pause when the store cannot take it. */
#include "session-service/consumer_internal.h"

#include "session-service/log_events.h"

#include "common/base/clock.h"

enum { PRUNE_EVERY_MS = 250, CLOCK_EVERY = 16 /* messages */ };

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

/* The effects are durable: log, and leave the delivery to its ack or to the dead letters. Fails
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
    consumer->gave_back = false;
    return OUTCOME_OK;
}

enum outcome consumer_decode(struct consumer *consumer, struct batch_item *item,
                             struct slice attempt_key, struct error *ret_error)
{
    return event_dispatcher_decode(&consumer->dispatcher, &item->delivery.message,
                                   item->delivery.redelivered, attempt_key, &item->handled,
                                   ret_error);
}

uint64_t consumer_turn_ends_ms(const struct consumer *consumer)
{
    return consumer->batch.retried > 0 ? UINT64_MAX : clock_monotonic_ms() + CONSUMER_TURN_MS;
}

enum outcome consumer_take(struct consumer *consumer, size_t end, struct error *ret_error)
{
    struct delivery_batch *batch = &consumer->batch;
    consumer->take_began_ms = clock_monotonic_ms();
    enum outcome outcome =
        event_dispatcher_take(&consumer->dispatcher, (int64_t)clock_wall_ms(), ret_error);
    size_t count = end - batch->next;
    batch->retried = outcome == OUTCOME_OK ? 0 : count;
    if (store_is_shared(consumer->settings->store) &&
        clock_monotonic_ms() - consumer->take_began_ms >= CONSUMER_SLOW_TAKE_MS) {
        consumer->group_max = count > 1 ? count / 2 : 1; /* the next one */
    }
    return outcome;
}

void consumer_wait_begins(void *context)
{
    struct consumer *consumer = context;
    if (consumer->is_marked) {
        /* Who is killed while the disk is waited for was not killed by a message. */
        (void)!in_hand_mark(&consumer->in_hand, 1, (struct slice){0}, NULL);
    }
    if (clock_monotonic_ms() - consumer->take_began_ms >= CONSUMER_TURN_MS) {
        consumer->group_max = consumer->group_max > 1 ? consumer->group_max / 2 : 1;
    } else if (consumer->group_max < BATCH_DELIVERIES_MAX) {
        consumer->group_max *= 2;
    }
}

enum outcome consumer_tell_group(struct consumer *consumer, size_t end, struct error *ret_error)
{
    struct delivery_batch *batch = &consumer->batch;
    enum outcome outcome =
        event_dispatcher_tell(&consumer->dispatcher, &consumer->lines, ret_error);
    if (batch->items[batch->next].is_suspect) {
        in_hand_finish(&consumer->in_hand, outcome == OUTCOME_OK ? end - batch->next : 0);
    }
    return outcome == OUTCOME_OK ? finish_group(consumer, end, ret_error) : outcome;
}

/* Messages that are delivered for the first time. */
static enum outcome handle_group(struct consumer *consumer, struct error *ret_error)
{
    struct delivery_batch *batch = &consumer->batch;
    uint64_t until_ms = consumer_turn_ends_ms(consumer);
    size_t most = batch->retried > 0 ? batch->retried : consumer->group_max;
    enum outcome outcome = OUTCOME_OK;
    size_t end = batch->next;
    bool goes_on = true;
    while (goes_on) {
        outcome = consumer_decode(consumer, &batch->items[end], (struct slice){0}, ret_error);
        end++;
        goes_on = outcome == OUTCOME_OK && end < batch->count && !batch->items[end].is_suspect &&
                  end - batch->next < most &&
                  (end % CLOCK_EVERY != 0 || clock_monotonic_ms() < until_ms);
    }
    if (outcome == OUTCOME_OK) {
        outcome = consumer_take(consumer, end, ret_error);
    }
    return outcome == OUTCOME_OK ? consumer_tell_group(consumer, end, ret_error) : outcome;
}

static void pause_consumer(struct consumer *consumer, const struct error *error, uint64_t now_ms)
{
    consumer->resume_at_ms = now_ms + backoff_next_ms(&consumer->pause_backoff) + 1;
    if (!consumer->paused) {
        consumer->paused_ms = now_ms;
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

static enum outcome handle_next_group(struct consumer *consumer, uint64_t now_ms,
                                      struct error *ret_error)
{
    struct delivery_batch *batch = &consumer->batch;
    size_t untold = event_dispatcher_untold(&consumer->dispatcher);
    if (untold > 0) {
        return consumer_tell_group(consumer, batch->next + untold, ret_error);
    }
    enum outcome outcome = consumer_move_worn(consumer, now_ms, ret_error);
    if (outcome != OUTCOME_OK || consumer->awaits_copies || batch->next == batch->count) {
        return outcome;
    }
    return batch->items[batch->next].is_suspect ? consumer_handle_suspects(consumer, ret_error)
                                                : handle_group(consumer, ret_error);
}

bool consumer_handle_group(struct consumer *consumer, uint64_t now_ms)
{
    struct delivery_batch *batch = &consumer->batch;
    struct error error;
    enum outcome outcome = OUTCOME_OK;
    if (consumer_has_work(consumer)) {
        outcome = handle_next_group(consumer, now_ms, &error);
    } else if (consumer->paused) {
        outcome = store_prune(consumer->store, (int64_t)clock_wall_ms(), &error);
    }
    if (outcome != OUTCOME_OK) {
        pause_consumer(consumer, &error, now_ms);
        return false;
    }
    resume_consumer(consumer);
    if (!consumer_has_work(consumer)) {
        delivery_batch_clear(batch);
    }
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
    } else {
        consumer_report_store(consumer);
    }
}
