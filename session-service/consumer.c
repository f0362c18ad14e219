/* The consumer's loop: wait, read a batch, finish it. */
#include "session-service/consumer.h"

#include "session-service/consumer_internal.h"
#include "session-service/log_events.h"

#include "common/base/clock.h"

#include <assert.h>
#include <poll.h>

enum {
    PROVED_AFTER_MS = 5000,
    DRAIN_WAIT_MS = 2000,
    LONGEST_WAIT_MS = 1000,
    FINISH_MS = 1000, /* for what is left of a batch without a connection, or at the end */
};

/* What ended the reading of a batch, and with it decides what happens to it. */
enum batch_end {
    BATCH_COMPLETE,  /* acks are sent */
    BATCH_CANCELLED, /* acks are sent, then a new connection declares and consumes again */
    BATCH_BROKEN, /* the connection is gone, or a message cannot be kept: everything comes again */
};

static enum batch_end take_delivery(struct consumer *consumer,
                                    const struct broker_delivery *delivery, struct error *ret_error)
{
    uint64_t now_us = clock_monotonic_us();
    const struct ack_window_entry entry = {
        .tag = delivery->tag, .read_us = now_us, .consumer = delivery->consumer};
    if (ack_window_add(&consumer->window, &entry, ret_error) != OUTCOME_OK ||
        delivery_batch_add(&consumer->batch, delivery, ret_error) != OUTCOME_OK) {
        return BATCH_BROKEN;
    }
    consumer_look_at(&consumer->batch.items[consumer->batch.count - 1]);
    if (delivery->consumer > 0) {
        consumer_shares_delivered(consumer, delivery->consumer, now_us / 1000);
    }
    return BATCH_COMPLETE;
}

static enum batch_end cancelled(const struct consumer *consumer, size_t number,
                                struct error *ret_error)
{
    struct shard_name name;
    const char *queue = shard_consumed_queue(consumer->settings->common.queue, number, &name);
    log_at(&event_consumer_cancelled, log_string("queue", queue));
    error_set(ret_error, OUTCOME_BROKEN, "the broker ended the consumer of queue '%s'", queue);
    return BATCH_CANCELLED;
}

static enum batch_end read_batch(struct consumer *consumer, struct error *ret_error)
{
    consumer->more = false;
    if (broker_flush(consumer->broker, ret_error) != OUTCOME_OK) {
        return BATCH_BROKEN;
    }
    while (!dead_letters_is_full(consumer->dead_letters) &&
           !delivery_batch_is_full(&consumer->batch)) {
        struct broker_event event;
        if (broker_read(consumer->broker, &event, ret_error) != OUTCOME_OK) {
            return BATCH_BROKEN;
        }
        switch (event.type) {
        case BROKER_EVENT_NONE:
            return BATCH_COMPLETE;
        case BROKER_EVENT_CANCELLED:
            return cancelled(consumer, event.consumer, ret_error);
        case BROKER_EVENT_DELIVERY: {
            enum batch_end end = take_delivery(consumer, &event.delivery, ret_error);
            if (end != BATCH_COMPLETE) {
                return end;
            }
            consumer->proved = true;
            break;
        }
        case BROKER_EVENT_DECLARED:
            consumer_record_others(consumer, event.text, event.consumers);
            break;
        case BROKER_EVENT_ACK:
        case BROKER_EVENT_NACK:
        case BROKER_EVENT_RETURN:
        case BROKER_EVENT_BLOCKED:
        case BROKER_EVENT_UNBLOCKED:
        case BROKER_EVENT_EMPTY:
            break;
        }
    }
    consumer->more = true;
    return BATCH_COMPLETE;
}

static enum outcome send_acks(struct consumer *consumer, struct error *ret_error)
{
    struct ack_batch batch = ack_window_take_acks(&consumer->window);
    for (size_t i = 0; i < batch.ack_count; i++) {
        enum outcome outcome = broker_append_ack(consumer->broker, batch.acks[i].tag,
                                                 batch.acks[i].multiple, ret_error);
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
    }
    enum outcome outcome = broker_flush(consumer->broker, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    uint64_t now_us = batch.delivery_count > 0 ? clock_monotonic_us() : 0;
    for (size_t i = 0; i < batch.delivery_count; i++) {
        metric_observe_us(&consumer->status->ack_latency, now_us - batch.read_us[i]);
    }
    return OUTCOME_OK;
}

/* Says in logs and status when impossible messages hold everything up, and when no longer. */
static void record_stall(struct consumer *consumer)
{
    const struct dead_letters *letters = consumer->dead_letters;
    size_t pending = dead_letters_pending(letters);
    consumer->stalled = dead_letters_is_full(letters);
    bool held_up = consumer->stalled || pending == consumer->window.capacity;
    if (held_up != consumer->held_up) {
        consumer->held_up = held_up;
        log_at(held_up ? &event_consumer_stalled : &event_consumer_resumed,
               log_integer("dead_letters_pending", (int64_t)pending));
        consumer_status_stalled(consumer->status, held_up);
    }
    if (held_up) {
        consumer_status_set_trouble(consumer->status, dead_letters_trouble(letters));
    }
}

static bool is_reading(const struct consumer *consumer)
{
    /* While copies are awaited nothing is handled, and so a full batch has no room. */
    bool is_full = consumer->awaits_copies && delivery_batch_is_full(&consumer->batch);
    return !consumer->stalled && !consumer->paused && !is_full;
}

/* Not while the store takes nothing: what a connection brings is counted as delivered, and RabbitMQ
 * 4 drops what was delivered 20 times. */
static void connect_again(struct consumer *consumer)
{
    assert(consumer->broker == NULL);
    if (!consumer->paused) {
        connector_request(consumer->connector);
    }
}

static void disconnect(struct consumer *consumer, enum batch_end end, const struct error *error)
{
    if (end != BATCH_CANCELLED) {
        log_at(&event_broker_disconnected, log_string("name", CONSUMER_NAME),
               log_string("error", error->text));
    }
    consumer_status_disconnected(consumer->status, error);
    consumer_drop_connection(consumer);
    record_stall(consumer);
    connect_again(consumer);
}

static void take_connection(struct consumer *consumer, uint64_t now_ms)
{
    struct error why;
    bool stands_by = connector_stands_by(consumer->connector, &why); /* before it succeeds */
    consumer->broker = connector_take(consumer->connector);
    if (consumer->broker == NULL) {
        consumer_show_standby(consumer, stands_by, &why);
        return;
    }
    assert(!consumer->paused);
    consumer->connected_ms = now_ms;
    consumer->proved = consumer->proof_reported = false;
    if (consumer->connections++ > 0) {
        metric_add(&consumer->status->reconnects, 1);
    }
    consumer_status_connected(consumer->status);
    consumer_end_standby(consumer, now_ms);
    consumer_shares_begin(consumer, now_ms);
    char queues[SHARDS_TEXT_BYTES];
    log_at(
        &event_consumer_consuming,
        log_string("queue", shards_text(consumer->settings->common.queue,
                                        (size_t)consumer->settings->common.shards, true, queues)),
        log_integer("prefetch", consumer->settings->prefetch));
}

static void report_proof(struct consumer *consumer, uint64_t now_ms)
{
    if (!consumer->proof_reported &&
        (consumer->proved || now_ms - consumer->connected_ms >= PROVED_AFTER_MS)) {
        consumer->proof_reported = true;
        connector_succeeded(consumer->connector);
    }
}

/* For a while: what is left comes again. Not if this process was held up so long that another
 * session-service may have it by now. */
static void handle_rest(struct consumer *consumer)
{
    uint64_t until_ms = clock_monotonic_ms() + FINISH_MS;
    uint64_t now_ms = until_ms - FINISH_MS;
    struct error held_up;
    while (consumer_has_work(consumer) && !consumer->awaits_copies && now_ms < until_ms &&
           consumer_check_hold(consumer, now_ms, &held_up) == OUTCOME_OK &&
           consumer_handle_group(consumer, now_ms)) {
        now_ms = clock_monotonic_ms();
    }
}

/* The log has the group: now it may be put aside and acked. */
static enum outcome finish_batch(struct consumer *consumer, uint64_t now_ms,
                                 struct error *ret_error)
{
    struct error held_up;
    /* Asked before anything is sent: the disk may have held up the group. */
    enum outcome hold = consumer_check_hold(consumer, clock_monotonic_ms(), &held_up);
    dead_letters_turn(consumer->dead_letters, &consumer->window, now_ms);
    record_stall(consumer);
    /* While the copies leave no room to read, or the store takes nothing, nothing else does. */
    enum outcome outcome = broker_heartbeat_if_due(consumer->broker, ret_error);
    if (outcome == OUTCOME_OK && is_reading(consumer)) {
        outcome = consumer_ask_for_others(consumer, now_ms, ret_error);
    }
    if (outcome == OUTCOME_OK && is_reading(consumer)) {
        outcome = consumer_shares_turn(consumer, now_ms, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = send_acks(consumer, ret_error);
    }
    if (outcome == OUTCOME_OK && hold != OUTCOME_OK) {
        /* The group was acked, in case the broker still waits for that. Nothing more is applied. */
        *ret_error = held_up;
        outcome = hold;
    }
    return outcome;
}

static void turn(struct consumer *consumer)
{
    uint64_t now_ms = clock_monotonic_ms();
    if (consumer->broker == NULL) {
        take_connection(consumer, now_ms);
    }
    if (consumer->broker == NULL) {
        dead_letters_turn(consumer->dead_letters, &consumer->window, now_ms);
        /* Whether the store takes what it did not take shows only by trying that. It comes again:
         * what is to be put aside is so then. */
        if (consumer->paused && now_ms >= consumer->resume_at_ms &&
            consumer_handle_group(consumer, now_ms)) {
            delivery_batch_clear(&consumer->batch);
            dead_letters_forget(consumer->dead_letters);
            connect_again(consumer);
        }
        return;
    }
    struct error error = {.text = ""};
    if (consumer_check_hold(consumer, now_ms, &error) != OUTCOME_OK) {
        disconnect(consumer, BATCH_BROKEN, &error);
        return;
    }
    report_proof(consumer, now_ms);
    enum batch_end end = BATCH_COMPLETE;
    if (!consumer->paused) {
        end = read_batch(consumer, &error);
    }
    if (end == BATCH_BROKEN && consumer_divides(consumer)) {
        /* Another one has its shards now, and may be at later messages of the same users. */
        disconnect(consumer, end, &error);
        return;
    }
    /* What a lost connection has brought is handled too: better than to have it all come again. */
    bool due = !consumer->paused || now_ms >= consumer->resume_at_ms;
    if (due && consumer_handle_group(consumer, now_ms)) {
        consumer_prune(consumer, now_ms);
    }
    if (end != BATCH_COMPLETE && !consumer->paused) {
        handle_rest(consumer);
    }
    if (end == BATCH_COMPLETE || end == BATCH_CANCELLED) {
        if (finish_batch(consumer, now_ms, &error) != OUTCOME_OK) {
            end = BATCH_BROKEN;
        }
    }
    struct error left;
    bool leaves = consumer_check_store(consumer, now_ms, &left) != OUTCOME_OK;
    if (end != BATCH_COMPLETE || leaves) {
        disconnect(consumer, leaves ? BATCH_BROKEN : end, leaves ? &left : &error);
    }
    if (leaves) {
        consumer->gave_back = true;
        consumer_forget_batch(consumer);
    }
}

/* Returns whether a connection that is not read from was lost meanwhile. */
static bool wait_for_events(struct consumer *consumer, bool reading, uint64_t wait_ms)
{
    struct pollfd watched[3] = {
        {.fd = consumer->worker.wake_descriptor, .events = POLLIN},
        broker_poll(consumer->broker),
        dead_letters_poll(consumer->dead_letters),
    };
    if (watched[1].events == POLLIN && !reading) {
        watched[1].events = POLLRDHUP;
    }
    if (poll(watched, 3, (int)wait_ms) <= 0) {
        return false;
    }
    if (watched[0].revents != 0) {
        worker_clear_wake(&consumer->worker); /* who has woken it left the news elsewhere */
    }
    return watched[1].events == POLLRDHUP && watched[1].revents != 0;
}

/* `wait_ms`, or less where the copies are due before. */
static uint64_t until_copies_ms(const struct consumer *consumer, uint64_t now_ms, uint64_t wait_ms)
{
    uint64_t due_ms = dead_letters_due_ms(consumer->dead_letters);
    if (due_ms <= now_ms) {
        return dead_letters_poll(consumer->dead_letters).events == POLLOUT ? wait_ms : 0;
    }
    return due_ms - now_ms < wait_ms ? due_ms - now_ms : wait_ms;
}

static uint64_t time_to_wait_ms(const struct consumer *consumer)
{
    if (consumer_has_work(consumer) && !consumer->paused && !consumer->awaits_copies) {
        return 0;
    }
    if (consumer->broker != NULL && consumer->more && is_reading(consumer) &&
        broker_unsent_bytes(consumer->broker) == 0) {
        return 0;
    }
    uint64_t wait_ms = (uint64_t)consumer->settings->common.heartbeat_ms / 3;
    if (wait_ms > LONGEST_WAIT_MS) {
        wait_ms = LONGEST_WAIT_MS;
    }
    uint64_t now_ms = clock_monotonic_ms();
    if (consumer->paused && !worker_is_stopping(&consumer->worker)) {
        uint64_t left_ms = consumer->resume_at_ms > now_ms ? consumer->resume_at_ms - now_ms : 0;
        wait_ms = left_ms < wait_ms ? left_ms : wait_ms;
    }
    if (consumer->awaits_copies) {
        uint64_t left_ms = consumer_copies_wait_ms(consumer, now_ms);
        wait_ms = left_ms < wait_ms ? left_ms : wait_ms;
    }
    return until_copies_ms(consumer, now_ms, wait_ms);
}

/* Nothing new is read; what is settled is acked, and copies on their way get a short time. */
static void drain(struct consumer *consumer)
{
    uint64_t deadline_ms = clock_monotonic_ms() + DRAIN_WAIT_MS;
    while (consumer->broker != NULL) {
        uint64_t now_ms = clock_monotonic_ms();
        struct error error;
        dead_letters_turn(consumer->dead_letters, &consumer->window, now_ms);
        if (send_acks(consumer, &error) != OUTCOME_OK) {
            log_at(&event_broker_disconnected, log_string("name", CONSUMER_NAME),
                   log_string("error", error.text));
            break;
        }
        bool finished = dead_letters_pending(consumer->dead_letters) == 0 &&
                        dead_letters_moving(consumer->dead_letters) == 0 &&
                        broker_unsent_bytes(consumer->broker) == 0;
        if (finished || now_ms >= deadline_ms) {
            break;
        }
        uint64_t wait_ms = until_copies_ms(consumer, now_ms, deadline_ms - now_ms);
        if (wait_for_events(consumer, false, wait_ms)) {
            break;
        }
    }
}

void consumer_run(void *owner)
{
    struct consumer *consumer = owner;
    if (!consumer_await_directory(consumer)) {
        return; /* it never had anything */
    }
    consumer_prune(consumer, clock_monotonic_ms());
    connect_again(consumer);
    while (worker_begin_turn(&consumer->worker)) {
        turn(consumer);
        if (wait_for_events(consumer, is_reading(consumer), time_to_wait_ms(consumer))) {
            struct error error;
            error_set(&error, OUTCOME_BROKEN, "the connection was lost while nothing was read");
            disconnect(consumer, BATCH_BROKEN, &error);
        }
    }
    consumer->more = false;
    if (!consumer->paused && consumer->broker != NULL) {
        handle_rest(consumer);
    }
    drain(consumer);
    struct error stopped;
    error_set(&stopped, OUTCOME_OK, "stopped");
    consumer_status_disconnected(consumer->status, &stopped);
    consumer_drop_connection(consumer);
}
