/* Creates, starts, stops and frees the consumer, and answers the other threads' questions. */
#include "session-service/consumer.h"

#include "session-service/consumer_internal.h"

#include "common/base/clock.h"
#include "common/threads/thread.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static enum outcome create_parts(struct consumer *consumer, struct error *ret_error)
{
    const struct settings *settings = consumer->settings;
    consumer->wake_descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (consumer->wake_descriptor < 0) {
        return error_set_errno(ret_error, OUTCOME_TRANSIENT, errno, "create an eventfd");
    }
    enum outcome outcome =
        ack_window_init(&consumer->window, (size_t)settings->prefetch, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = delivery_batch_init(&consumer->batch, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = dead_letters_create(settings, consumer->status, consumer->wake_descriptor,
                                      &consumer->dead_letters, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        struct connector_options options =
            common_settings_connection(&settings->common, CONSUMER_NAME);
        options.prefetch = (uint16_t)settings->prefetch;
        options.wake_descriptor = consumer->wake_descriptor;
        outcome = connector_create(&options, &consumer->connector, ret_error);
    }
    return outcome;
}

static void init_lock(struct consumer *consumer)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&consumer->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&consumer->lock, NULL);
}

enum outcome consumer_create(const struct settings *settings, struct store *store,
                             struct consumer_status *status, struct consumer **ret_consumer,
                             struct error *ret_error)
{
    struct consumer *consumer = calloc(1, sizeof(*consumer));
    if (consumer == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the consumer");
    }
    consumer->settings = settings;
    consumer->store = store;
    consumer->status = status;
    backoff_init(&consumer->pause_backoff, CONSUMER_PAUSE_BASE_MS, CONSUMER_PAUSE_CAP_MS,
                 clock_monotonic_us());
    init_lock(consumer);
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

static void *thread_main(void *argument)
{
    struct consumer *consumer = argument;
    consumer_run(consumer);
    pthread_mutex_lock(&consumer->lock);
    consumer->ended = true;
    pthread_cond_signal(&consumer->changed);
    pthread_mutex_unlock(&consumer->lock);
    return NULL;
}

enum outcome consumer_start(struct consumer *consumer, struct error *ret_error)
{
    enum outcome outcome =
        thread_start(&consumer->thread, CONSUMER_NAME, thread_main, consumer, ret_error);
    consumer->started = outcome == OUTCOME_OK;
    return outcome;
}

void consumer_begin_stop(struct consumer *consumer)
{
    atomic_store(&consumer->stopping, true);
    uint64_t one = 1;
    /* Fails only where the counter is at its limit, and then the thread is awake anyway. */
    (void)!write(consumer->wake_descriptor, &one, sizeof(one));
}

bool consumer_wait(struct consumer *consumer, uint64_t timeout_ms)
{
    if (!consumer->started || consumer->joined) {
        return true;
    }
    uint64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    struct timespec deadline = {.tv_sec = (time_t)(deadline_ms / 1000),
                                .tv_nsec = (long)(deadline_ms % 1000) * 1000000};
    pthread_mutex_lock(&consumer->lock);
    while (!consumer->ended && clock_monotonic_ms() < deadline_ms) {
        pthread_cond_timedwait(&consumer->changed, &consumer->lock, &deadline);
    }
    bool ended = consumer->ended;
    pthread_mutex_unlock(&consumer->lock);
    if (ended) {
        pthread_join(consumer->thread, NULL);
        consumer->joined = true;
    }
    return ended;
}

void consumer_drop_connection(struct consumer *consumer)
{
    ack_window_clear(&consumer->window);
    if (!consumer->paused) {
        delivery_batch_clear(&consumer->batch);
    }
    dead_letters_forget(consumer->dead_letters);
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
    event_dispatcher_done(&consumer->dispatcher);
    buffer_done(&consumer->lines);
    if (consumer->wake_descriptor >= 0) {
        close(consumer->wake_descriptor);
    }
    pthread_cond_destroy(&consumer->changed);
    pthread_mutex_destroy(&consumer->lock);
    free(consumer);
}

const atomic_uint_least64_t *consumer_turns(const struct consumer *consumer)
{
    return &consumer->turns;
}

bool consumer_is_ready(struct consumer *consumer, struct error *ret_reason)
{
    struct error cause;
    connector_last_error(consumer->connector, &cause);
    return consumer_status_is_ready(consumer->status, &cause, ret_reason);
}

uint64_t consumer_connect_attempts(const struct consumer *consumer)
{
    return connector_attempts(consumer->connector);
}

uint64_t consumer_dead_letter_attempts(const struct consumer *consumer)
{
    return dead_letters_connect_attempts(consumer->dead_letters);
}
