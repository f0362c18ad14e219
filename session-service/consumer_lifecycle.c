/* Creates, starts, stops and frees the consumer, and answers the other threads' questions. */
#include "session-service/consumer.h"

#include "session-service/consumer_internal.h"

#include "common/base/clock.h"

#include <stdlib.h>

static enum outcome create_parts(struct consumer *consumer, struct error *ret_error)
{
    const struct settings *settings = consumer->settings;
    enum outcome outcome = worker_init(&consumer->worker, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = ack_window_init(&consumer->window, settings_deliveries_max(settings), ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = delivery_batch_init(&consumer->batch, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = dead_letters_create(settings, consumer->status, &consumer->worker,
                                      &consumer->dead_letters, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        struct connector_options options =
            common_settings_connection(&settings->common, CONSUMER_NAME);
        options.prefetch = (uint16_t)settings_queue_prefetch(settings);
        if (settings_consumes_alone(settings)) {
            consumer_lock_name(options.queue, options.lock);
        }
        options.owner = &consumer->worker;
        outcome = connector_create(&options, &consumer->connector, ret_error);
    }
    return outcome;
}

enum outcome consumer_create(const struct settings *settings, struct state_directory *directory,
                             struct store *store, struct consumer_status *status,
                             struct consumer **ret_consumer, struct error *ret_error)
{
    struct consumer *consumer = calloc(1, sizeof(*consumer));
    if (consumer == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the consumer");
    }
    consumer->settings = settings;
    consumer->directory = directory;
    consumer->store = store;
    consumer->status = status;
    in_hand_init(&consumer->in_hand, store_directory(store));
    backoff_init(&consumer->pause_backoff, CONSUMER_PAUSE_BASE_MS, CONSUMER_PAUSE_CAP_MS,
                 clock_monotonic_us());
    struct user_rules rules = settings_user_rules(settings);
    consumer->group_max = CONSUMER_FIRST_GROUP;
    store_on_wait(store, consumer_wait_begins, consumer);
    store_on_delay(store, consumer_show_life, consumer);
    buffer_init(&consumer->lines, LOG_BATCH_BYTES_MAX);
    enum outcome outcome =
        event_dispatcher_init(&consumer->dispatcher, &rules, (size_t)settings->max_message_bytes,
                              settings->common.log_payload, store, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = create_parts(consumer, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        consumer_free(consumer);
        return outcome;
    }
    *ret_consumer = consumer;
    return OUTCOME_OK;
}

enum outcome consumer_start(struct consumer *consumer, struct error *ret_error)
{
    return worker_start(&consumer->worker, CONSUMER_NAME, consumer_run, consumer, ret_error);
}

struct worker *consumer_worker(struct consumer *consumer)
{
    return &consumer->worker;
}

void consumer_forget_batch(struct consumer *consumer)
{
    delivery_batch_clear(&consumer->batch);
    event_dispatcher_clear(&consumer->dispatcher);
}

void consumer_drop_connection(struct consumer *consumer)
{
    ack_window_clear(&consumer->window);
    if (!consumer->paused || !settings_consumes_alone(consumer->settings)) {
        /* Another one has what is in hand, and may be at later messages of the same users when this
         * one goes on. */
        consumer_forget_batch(consumer);
    }
    dead_letters_forget(consumer->dead_letters);
    consumer->awaits_copies = consumer->gave_up = false;
    consumer->more = false;
    broker_free(consumer->broker);
    consumer->broker = NULL;
    consumer_shares_begin(consumer, 0);
}

void consumer_free(struct consumer *consumer)
{
    if (consumer == NULL) {
        return;
    }
    connector_free(consumer->connector);
    dead_letters_free(consumer->dead_letters);
    ack_window_done(&consumer->window);
    delivery_batch_done(&consumer->batch);
    in_hand_done(&consumer->in_hand);
    store_on_wait(consumer->store, NULL, NULL);
    store_on_delay(consumer->store, NULL, NULL);
    event_dispatcher_done(&consumer->dispatcher);
    buffer_done(&consumer->lines);
    worker_done(&consumer->worker);
    free(consumer);
}

bool consumer_is_ready(struct consumer *consumer, struct error *ret_reason)
{
    struct error cause;
    connector_last_error(consumer->connector, &cause);
    return consumer_status_is_ready(consumer->status, &cause, ret_reason);
}

void consumer_warning(const struct consumer *consumer, struct error *ret_warning)
{
    struct error one;
    store_warning(consumer->store, ret_warning);
    connector_discards(consumer->connector, &one);
    error_join(ret_warning, "; ", one.text);
    dead_letters_warning(consumer->dead_letters, &one);
    error_join(ret_warning, "; ", one.text);
}

uint64_t consumer_connect_attempts(const struct consumer *consumer)
{
    return connector_attempts(consumer->connector);
}

uint64_t consumer_dead_letter_attempts(const struct consumer *consumer)
{
    return dead_letters_connect_attempts(consumer->dead_letters);
}
