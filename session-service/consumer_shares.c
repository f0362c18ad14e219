/* Shards between several session-services: each consumes from all of them, and the broker lets one
 * at a time have the messages of a shard. The one that came first has them all, so it gives some
 * up.
 *
 * A shard is given up where nobody can have a later message of a user before an earlier one is
 * committed. Its acks are held back first. Once as many of its messages are here as the prefetch
 * allows, or none has come for a while, and all of them are committed, the consumer ends, and only
 * then they are acked. Then it begins again, behind the others. */
#include "session-service/consumer_internal.h"

#include "session-service/log_events.h"

enum {
    LOOK_EVERY_MS = 5000,
    HOLD_MAX_MS = 5000,
    BEGIN_AGAIN_MS = 1000,
    NOBODY_WANTED_IT_MS = 60000, /* those that were counted consume no more */
};

static size_t shards_of(const struct consumer *consumer)
{
    size_t shards = (size_t)consumer->settings->common.shards;
    return shards > 1 ? shards : 0;
}

bool consumer_divides(const struct consumer *consumer)
{
    return !settings_consumes_alone(consumer->settings) && shards_of(consumer) > 0;
}

static void show_active(struct consumer *consumer)
{
    size_t active = 0;
    for (size_t i = 1; i <= shards_of(consumer); i++) {
        active += consumer->shares.items[i].is_active ? 1 : 0;
    }
    consumer->shares.active = active;
    metric_set(&consumer->status->active_shards, (int64_t)active);
}

void consumer_shares_begin(struct consumer *consumer, uint64_t now_ms)
{
    consumer->shares = (struct shares){.look_at_ms = now_ms + LOOK_EVERY_MS};
    show_active(consumer);
}

void consumer_shares_delivered(struct consumer *consumer, uint8_t number, uint64_t now_ms)
{
    struct share *share = &consumer->shares.items[number];
    if (number > shards_of(consumer) || number == 0) {
        return;
    }
    share->delivered_ms = now_ms;
    if (share->is_active || share->begin_again_ms != 0) {
        return; /* what was under way when it was given up */
    }
    if (share->is_given_up) {
        share->is_given_up = false;
        consumer->shares.look_at_ms = now_ms + NOBODY_WANTED_IT_MS;
    }
    share->is_active = true;
    show_active(consumer);
}

/* The last active one, where this one is active on more than its share; else 0. */
static uint8_t choose(const struct consumer *consumer)
{
    size_t shards = shards_of(consumer);
    size_t services = (size_t)consumer->others + 1;
    size_t fair = (shards + services - 1) / services;
    uint8_t number = (uint8_t)(consumer->shares.active > fair ? shards : 0);
    while (number > 0 && !consumer->shares.items[number].is_active) {
        number--;
    }
    return number;
}

static void look(struct consumer *consumer, uint64_t now_ms)
{
    struct shares *shares = &consumer->shares;
    if (now_ms >= shares->look_at_ms) {
        shares->look_at_ms = now_ms + LOOK_EVERY_MS;
        shares->held = choose(consumer);
        shares->held_until_ms = now_ms + HOLD_MAX_MS;
        ack_window_hold(&consumer->window, shares->held);
    }
}

static enum outcome give_up(struct consumer *consumer, uint64_t now_ms, struct error *ret_error)
{
    struct shares *shares = &consumer->shares;
    struct share *share = &shares->items[shares->held];
    const struct ack_window_share held = ack_window_share_of(&consumer->window, shares->held);
    bool has_all = held.count >= settings_queue_prefetch(consumer->settings);
    if (held.unsettled > 0 || (!has_all && !share_is_quiet(share, now_ms))) {
        if (now_ms >= shares->held_until_ms) {
            shares->held = 0;
            ack_window_hold(&consumer->window, 0);
        }
        return OUTCOME_OK;
    }
    struct shard_name name;
    enum outcome outcome = broker_append_cancel(consumer->broker, shares->held, ret_error);
    log_at(&event_consumer_shard_given_up,
           log_string("queue",
                      shard_consumed_queue(consumer->settings->common.queue, shares->held, &name)),
           log_integer("others", (int64_t)consumer->others));
    *share = (struct share){.is_given_up = true, .begin_again_ms = now_ms + BEGIN_AGAIN_MS};
    shares->held = 0;
    ack_window_hold(&consumer->window, 0);
    show_active(consumer);
    return outcome;
}

static enum outcome begin_again(struct consumer *consumer, uint64_t now_ms, struct error *ret_error)
{
    enum outcome outcome = OUTCOME_OK;
    for (size_t i = 1; outcome == OUTCOME_OK && i <= shards_of(consumer); i++) {
        struct share *share = &consumer->shares.items[i];
        struct shard_name name;
        if (share->begin_again_ms != 0 && now_ms >= share->begin_again_ms) {
            share->begin_again_ms = 0;
            outcome = broker_append_consume(
                consumer->broker, shard_consumed_queue(consumer->settings->common.queue, i, &name),
                i, ret_error);
        }
    }
    return outcome;
}

enum outcome consumer_shares_turn(struct consumer *consumer, uint64_t now_ms,
                                  struct error *ret_error)
{
    if (!consumer_divides(consumer)) {
        return OUTCOME_OK;
    }
    enum outcome outcome = begin_again(consumer, now_ms, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    if (consumer->shares.held == 0) {
        look(consumer, now_ms);
        return OUTCOME_OK;
    }
    return give_up(consumer, now_ms, ret_error);
}
