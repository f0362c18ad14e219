/* The publisher's thread: one turn takes what was handed over, reads what the broker says, sends
 * one batch, gives back what is complete, and waits. */
#include "user-service/publisher_internal.h"

#include "user-service/log_events.h"

#include "common/base/clock.h"

#include <stdlib.h>

enum { LONGEST_WAIT_MS = 1000 };

static void take_connection(struct publisher *publisher)
{
    if (confirming_publisher_connect(&publisher->confirms)) {
        metric_add(&publisher->metrics.reconnects, publisher->ever_connected ? 1 : 0);
        publisher->ever_connected = publisher->is_first_try_over = true;
        publisher->read_at_ms = publisher->now_ms;
        publisher_show_connected(publisher);
    }
}

static void lose_connection(struct publisher *publisher, const struct error *error)
{
    if (broker_has_refused(publisher->confirms.broker)) {
        publisher_record_refusal(publisher, error);
    }
    confirming_publisher_disconnect(&publisher->confirms, error);
    publisher->late = false;
    publisher_set_state(publisher, PUBLISHER_DISCONNECTED, error->text);
    publisher_keep_for_next_connection(publisher);
    take_connection(publisher);
}

/* Those who came while the first connection was being made have waited in vain. */
static void end_first_try(struct publisher *publisher)
{
    if (!publisher->is_first_try_over &&
        connector_failed_rounds(publisher->confirms.connector) > 0) {
        publisher->is_first_try_over = true;
        publisher_keep_for_next_connection(publisher);
    }
}

/* Reads where there is something to read, and often enough that heartbeats are sent and missed. */
static enum outcome use_connection(struct publisher *publisher, bool readable,
                                   struct error *ret_error)
{
    uint64_t pump_ms = (uint64_t)publisher->settings->common.heartbeat_ms / 3;
    enum outcome outcome = OUTCOME_OK;
    if (readable || publisher->now_ms - publisher->read_at_ms >= pump_ms) {
        publisher->read_at_ms = publisher->now_ms;
        outcome = confirming_publisher_read(&publisher->confirms, publisher->now_ms, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = publisher_check_confirms(publisher, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = publisher_send_waiting(publisher, ret_error);
    }
    return outcome == OUTCOME_OK ? broker_flush(publisher->confirms.broker, ret_error) : outcome;
}

static void take_submitted(struct publisher *publisher)
{
    struct work_list batch;
    struct work_item *item = NULL;
    worker_take_all(&publisher->worker, &batch);
    while ((item = work_list_take(&batch)) != NULL) {
        publisher_accept(publisher, (struct event *)item);
    }
}

static int wait_time_ms(const struct publisher *publisher)
{
    uint64_t wait_ms = (uint64_t)publisher->settings->common.heartbeat_ms / 3;
    const struct event *oldest = TAILQ_FIRST(&publisher->owned);
    if (wait_ms > LONGEST_WAIT_MS) {
        wait_ms = LONGEST_WAIT_MS;
    }
    if (oldest != NULL) {
        uint64_t left_ms =
            oldest->deadline_ms > publisher->now_ms ? oldest->deadline_ms - publisher->now_ms : 0;
        wait_ms = left_ms < wait_ms ? left_ms : wait_ms;
    }
    return (int)wait_ms;
}

/* Returns whether the broker has something to read. */
static bool wait_for_work(struct publisher *publisher)
{
    struct pollfd polled[2] = {{.fd = publisher->worker.wake_descriptor, .events = POLLIN},
                               broker_poll(publisher->confirms.broker)};
    int ready = poll(polled, 2, wait_time_ms(publisher));
    publisher->now_ms = clock_monotonic_ms();
    return ready > 0 && (polled[1].revents & ~POLLOUT) != 0;
}

static void give_back(struct publisher *publisher)
{
    worker_push(publisher->completed, &publisher->done);
    if (publisher->outbox != NULL) {
        worker_push(publisher->outbox, &publisher->to_outbox);
    }
}

static void run(void *argument)
{
    struct publisher *publisher = argument;
    bool readable = false;
    publisher->now_ms = clock_monotonic_ms();
    while (worker_begin_turn(&publisher->worker)) {
        take_connection(publisher);
        end_first_try(publisher);
        take_submitted(publisher);
        take_connection(publisher); /* its wake-up may have been taken with that of the events */
        if (publisher->confirms.broker != NULL) {
            struct error error = {.text = ""};
            if (use_connection(publisher, readable, &error) != OUTCOME_OK) {
                lose_connection(publisher, &error);
            }
        }
        publisher_expire(publisher);
        metric_set(&publisher->metrics.in_flight,
                   (int64_t)confirm_window_count(&publisher->confirms.window));
        give_back(publisher);
        readable = !worker_is_stopping(&publisher->worker) && wait_for_work(publisher);
    }
    take_submitted(publisher);
    publisher_complete_all(publisher);
    give_back(publisher);
    broker_free(publisher->confirms.broker);
    publisher->confirms.broker = NULL;
}

static enum outcome create_parts(struct publisher *publisher, struct error *ret_error)
{
    enum outcome outcome = worker_init(&publisher->worker, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    struct confirming_publisher_options options = {
        .connection = common_settings_connection(&publisher->settings->common, "publisher"),
        .window = (size_t)publisher->settings->max_in_flight,
        .settled = publisher_settle,
        .heard = publisher_hear,
        .context = publisher,
    };
    options.connection.owner = &publisher->worker;
    options.connection.route =
        (struct broker_route){publisher->settings->exchange, publisher->settings->routing_key};
    options.connection.bind = publisher->settings->bind == BIND_ON;
    return confirming_publisher_init(&publisher->confirms, &options, ret_error);
}

enum outcome publisher_create(const struct settings *settings, struct worker *outbox,
                              struct publisher **ret_publisher, struct error *ret_error)
{
    struct publisher *publisher = calloc(1, sizeof(*publisher));
    if (publisher == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the publisher");
    }
    publisher->settings = settings;
    publisher->outbox = outbox;
    TAILQ_INIT(&publisher->owned);
    TAILQ_INIT(&publisher->forwarded);
    TAILQ_INIT(&publisher->waiting);
    TAILQ_INIT(&publisher->lost);
    STAILQ_INIT(&publisher->done);
    STAILQ_INIT(&publisher->to_outbox);
    pthread_mutex_init(&publisher->lock, NULL);
    error_set(&publisher->reason, OUTCOME_OK, "no attempt has been made yet");
    enum outcome outcome = create_parts(publisher, ret_error);
    if (outcome != OUTCOME_OK) {
        publisher_free(publisher);
        return outcome;
    }
    *ret_publisher = publisher;
    return OUTCOME_OK;
}

enum outcome publisher_start(struct publisher *publisher, struct worker *completed,
                             struct error *ret_error)
{
    publisher->completed = completed;
    return worker_start(&publisher->worker, "publisher", run, publisher, ret_error);
}

/* What was handed over after the thread had ended. What the outbox has forwarded it has still. */
static void complete_rest(struct publisher *publisher)
{
    struct work_list batch;
    struct work_item *item = NULL;
    worker_take_all(&publisher->worker, &batch);
    while ((item = work_list_take(&batch)) != NULL) {
        struct event *event = (struct event *)item;
        if (event->outbox_sequence != 0) {
            event_free(event);
        } else {
            publisher_accept(publisher, event);
        }
    }
    /* The outbox may have ended too. */
    worker_push(publisher->completed, &publisher->done);
    worker_push(publisher->completed, &publisher->to_outbox);
}

void publisher_submit(struct publisher *publisher, struct work_list *batch)
{
    if (!STAILQ_EMPTY(batch)) { /* most are empty: each turn of the loop has one */
        worker_push(&publisher->worker, batch);
    }
    if (worker_has_ended(&publisher->worker)) {
        complete_rest(publisher);
    }
}

void publisher_free(struct publisher *publisher)
{
    if (publisher == NULL) {
        return;
    }
    complete_rest(publisher); /* of requests' none are left */
    confirming_publisher_done(&publisher->confirms);
    worker_done(&publisher->worker);
    pthread_mutex_destroy(&publisher->lock);
    free(publisher);
}

struct worker *publisher_worker(struct publisher *publisher)
{
    return &publisher->worker;
}

struct worker *publisher_completed(struct publisher *publisher)
{
    return publisher->completed;
}
