/* The connector's thread: wait for a request, try host after host with backoff, hand over. */
#include "common/amqp/connector.h"

#include "common/amqp/broker_hosts.h"
#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/log/log_events.h"
#include "common/threads/thread.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BACKOFF_BASE_MS = 100,
    BACKOFF_CAP_MS = 5000,
    WRONG_CONFIGURATION_WAIT_MS =
        15000, /* only a person can mend it: do not fill the broker's log */
    SAME_ERROR_LOG_INTERVAL_MS = 30000,
    END_WAIT_MS = 1000,
};

struct connector {
    struct connector_options options;
    pthread_t thread;
    struct broker_hosts hosts;
    size_t next_address; /* the thread's own, as the rest up to the lock */
    size_t failed_hosts; /* of the round */
    struct backoff backoff;
    struct error logged_error;
    uint64_t logged_ms;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool wanted, stopping, reset_backoff, ended, abandoned;
    struct broker *ready;
    struct error last_error;
    uint64_t attempts, failed_rounds;
};

static enum outcome set_up(struct broker *broker, const struct connector_options *options,
                           struct error *ret_error)
{
    enum outcome outcome =
        broker_declare_and_wait(broker, options->queue, options->queue_type, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    return options->prefetch > 0
               ? broker_consume(broker, options->queue, options->prefetch, ret_error)
               : broker_enable_confirms(broker, ret_error);
}

static enum outcome attempt(struct connector *connector, const struct broker_address *address,
                            struct broker **ret_broker, struct error *ret_error)
{
    const struct connector_options *options = &connector->options;
    struct broker *broker = NULL;
    enum outcome outcome =
        broker_hosts_open(address, &options->open, options->password_file, &broker, ret_error);
    /* A password is rotated while the daemons run: a refused login is worth the usual pace. */
    if (outcome == OUTCOME_INVALID) {
        outcome = OUTCOME_TRANSIENT;
    }
    if (outcome == OUTCOME_OK) {
        outcome = set_up(broker, options, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        broker_free(broker);
        return outcome;
    }
    *ret_broker = broker;
    return OUTCOME_OK;
}

static void next_host(struct connector *connector)
{
    connector->next_address = (connector->next_address + 1) % connector->hosts.count;
}

/* A whole round over the hosts is tried before the first wait. */
static uint32_t wait_after_failure_ms(struct connector *connector, enum outcome outcome,
                                      bool round_failed)
{
    if (outcome == OUTCOME_INVALID) {
        return WRONG_CONFIGURATION_WAIT_MS;
    }
    return round_failed ? backoff_next_ms(&connector->backoff) : 0;
}

/* The same failure again and again is told once in a while, a new one at once. */
static void log_failure(struct connector *connector, const struct broker_address *address,
                        const struct error *error, uint32_t wait_ms)
{
    uint64_t now_ms = clock_monotonic_ms();
    if (strcmp(error->text, connector->logged_error.text) == 0 &&
        now_ms - connector->logged_ms < SAME_ERROR_LOG_INTERVAL_MS) {
        return;
    }
    connector->logged_error = *error;
    connector->logged_ms = now_ms;
    log_at(&event_broker_connecting_failed,
           log_string("name", connector->options.open.connection_name),
           log_string("host", address->host), log_integer("port", address->port),
           log_string("error", error->text), log_integer("retry_ms", wait_ms));
}

static void wait_locked(struct connector *connector, uint32_t wait_ms)
{
    uint64_t deadline_ms = clock_monotonic_ms() + wait_ms;
    struct timespec deadline = {.tv_sec = (time_t)(deadline_ms / 1000),
                                .tv_nsec = (long)(deadline_ms % 1000) * 1000000};
    while (!connector->stopping && clock_monotonic_ms() < deadline_ms) {
        pthread_cond_timedwait(&connector->changed, &connector->lock, &deadline);
    }
}

static void wake_owner(struct connector *connector)
{
    uint64_t one = 1;
    /* Fails only where the counter is at its limit, and then the owner is awake anyway. */
    (void)!write(connector->options.wake_descriptor, &one, sizeof(one));
}

/* Called and returns with the lock held. */
static void connect_locked(struct connector *connector)
{
    connector->attempts++;
    if (connector->reset_backoff) {
        connector->reset_backoff = false;
        backoff_reset(&connector->backoff);
    }
    const struct broker_address *address = &connector->hosts.addresses[connector->next_address];
    pthread_mutex_unlock(&connector->lock);

    struct broker *broker = NULL;
    struct error error = {.text = ""};
    enum outcome outcome = attempt(connector, address, &broker, &error);
    uint32_t wait_ms = 0;
    pthread_mutex_lock(&connector->lock);
    if (outcome == OUTCOME_OK && !connector->stopping) {
        log_at(&event_broker_connected, log_string("name", connector->options.open.connection_name),
               log_string("host", address->host), log_integer("port", address->port));
        connector->logged_error.text[0] = '\0';
        connector->last_error.text[0] = '\0';
        connector->failed_hosts = 0;
        connector->wanted = false;
        connector->ready = broker;
        wake_owner(connector);
        return;
    }
    broker_free(broker);
    if (connector->stopping) {
        return;
    }
    connector->last_error = error;
    next_host(connector);
    bool round_failed = ++connector->failed_hosts % connector->hosts.count == 0;
    wait_ms = wait_after_failure_ms(connector, outcome, round_failed);
    log_failure(connector, address, &error, wait_ms);
    if (outcome == OUTCOME_INVALID || round_failed) {
        connector->failed_rounds++;
        wake_owner(connector);
    }
    wait_locked(connector, wait_ms);
}

static void destroy(struct connector *connector)
{
    broker_hosts_done(&connector->hosts);
    pthread_cond_destroy(&connector->changed);
    pthread_mutex_destroy(&connector->lock);
    free(connector);
}

static void *connector_thread(void *argument)
{
    struct connector *connector = argument;
    bool reconnecting = false;
    pthread_mutex_lock(&connector->lock);
    while (!connector->stopping) {
        if (!connector->wanted) {
            pthread_cond_wait(&connector->changed, &connector->lock);
            continue;
        }
        if (reconnecting && connector->ready == NULL && !connector->reset_backoff) {
            /* The last connection did not last: a broker that accepts and closes is no reason to
             * spin. */
            wait_locked(connector, backoff_next_ms(&connector->backoff));
        }
        if (reconnecting) {
            /* The last one may still take connections, and be of no use: cut off from the rest of
             * its cluster. */
            next_host(connector);
        }
        while (connector->wanted && !connector->stopping) {
            connect_locked(connector);
        }
        reconnecting = true;
    }
    connector->ended = true;
    pthread_cond_broadcast(&connector->changed);
    bool abandoned = connector->abandoned;
    pthread_mutex_unlock(&connector->lock);
    if (abandoned) {
        destroy(connector);
    }
    return NULL;
}

static enum outcome start_thread(struct connector *connector, struct error *ret_error)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&connector->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&connector->lock, NULL);
    return thread_start(&connector->thread, "connector", connector_thread, connector, ret_error);
}

enum outcome connector_create(const struct connector_options *options,
                              struct connector **ret_connector, struct error *ret_error)
{
    struct connector *connector = calloc(1, sizeof(*connector));
    if (connector == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the connector");
    }
    connector->options = *options;
    backoff_init(&connector->backoff, BACKOFF_BASE_MS, BACKOFF_CAP_MS, clock_monotonic_us());
    enum outcome outcome = broker_hosts_parse(options->urls, &connector->hosts, ret_error);
    if (outcome != OUTCOME_OK) {
        free(connector);
        return outcome;
    }
    outcome = start_thread(connector, ret_error);
    if (outcome != OUTCOME_OK) {
        destroy(connector);
        return outcome;
    }
    *ret_connector = connector;
    return OUTCOME_OK;
}

void connector_request(struct connector *connector)
{
    pthread_mutex_lock(&connector->lock);
    connector->wanted = true;
    pthread_cond_broadcast(&connector->changed);
    pthread_mutex_unlock(&connector->lock);
}

void connector_succeeded(struct connector *connector)
{
    pthread_mutex_lock(&connector->lock);
    connector->reset_backoff = true;
    pthread_mutex_unlock(&connector->lock);
}

struct broker *connector_take(struct connector *connector)
{
    pthread_mutex_lock(&connector->lock);
    struct broker *broker = connector->ready;
    connector->ready = NULL;
    pthread_mutex_unlock(&connector->lock);
    return broker;
}

void connector_last_error(struct connector *connector, struct error *ret_error)
{
    pthread_mutex_lock(&connector->lock);
    *ret_error = connector->last_error;
    pthread_mutex_unlock(&connector->lock);
}

uint64_t connector_failed_rounds(struct connector *connector)
{
    pthread_mutex_lock(&connector->lock);
    uint64_t rounds = connector->failed_rounds;
    pthread_mutex_unlock(&connector->lock);
    return rounds;
}

uint64_t connector_attempts(struct connector *connector)
{
    pthread_mutex_lock(&connector->lock);
    uint64_t attempts = connector->attempts;
    pthread_mutex_unlock(&connector->lock);
    return attempts;
}

void connector_free(struct connector *connector)
{
    if (connector == NULL) {
        return;
    }
    pthread_mutex_lock(&connector->lock);
    connector->stopping = true;
    pthread_cond_broadcast(&connector->changed);
    uint64_t deadline_ms = clock_monotonic_ms() + END_WAIT_MS;
    struct timespec deadline = {.tv_sec = (time_t)(deadline_ms / 1000),
                                .tv_nsec = (long)(deadline_ms % 1000) * 1000000};
    while (!connector->ended && clock_monotonic_ms() < deadline_ms) {
        pthread_cond_timedwait(&connector->changed, &connector->lock, &deadline);
    }
    struct broker *ready = connector->ready;
    connector->ready = NULL;
    bool ended = connector->ended;
    pthread_t thread = connector->thread;
    connector->abandoned = !ended;
    pthread_mutex_unlock(&connector->lock);
    broker_free(ready);
    if (ended) {
        pthread_join(thread, NULL);
        destroy(connector);
    } else {
        pthread_detach(thread);
    }
}
