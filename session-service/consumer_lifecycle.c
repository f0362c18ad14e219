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
        outcome = ack_window_init(&consumer->window, (size_t)settings->prefetch, ret_error);
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
        options.prefetch = (uint16_t)settings->prefetch;
        if (settings->consumer == CONSUMER_EXCLUSIVE) {
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
    event_dispatcher_init(&consumer->dispatcher, &rules, (size_t)settings->max_message_bytes,
                          settings->common.log_payload, store);
    buffer_init(&consumer->lines, LOG_BATCH_BYTES_MAX);
    enum outcome outcome = create_parts(consumer, ret_error);
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

void consumer_drop_connection(struct consumer *consumer)
{
    ack_window_clear(&consumer->window);
    if (!consumer->paused) {
        delivery_batch_clear(&consumer->batch);
    }
    dead_letters_forget(consumer->dead_letters);
    consumer->awaits_copies = consumer->gave_up = false;
    consumer->more = false;
    broker_free(consumer->broker);
    consumer->broker = NULL;
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
    struct error dead_letters;
    connector_discards(consumer->connector, ret_warning);
    dead_letters_warning(consumer->dead_letters, &dead_letters);
    if (ret_warning->text[0] == '\0') {
        *ret_warning = dead_letters;
    } else if (dead_letters.text[0] != '\0') {
        struct error queue = *ret_warning;
        error_set(ret_warning, OUTCOME_OK, "%.240s; %.240s", queue.text, dead_letters.text);
    }
}

uint64_t consumer_connect_attempts(const struct consumer *consumer)
{
    return connector_attempts(consumer->connector);
}

uint64_t consumer_dead_letter_attempts(const struct consumer *consumer)
{
    return dead_letters_connect_attempts(consumer->dead_letters);
}
