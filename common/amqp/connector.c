/* The connector's thread: wait for a request, try host after host with backoff, hand over. */
#include "common/amqp/connector.h"

#include "common/amqp/connector_internal.h"
#include "common/base/clock.h"
#include "common/log/log_events.h"

#include <stdlib.h>
#include <string.h>

enum {
    BACKOFF_BASE_MS = 100,
    BACKOFF_CAP_MS = 5000,
    /* Only a person can mend it, who may be about to; and the broker's log is not to be filled. */
    WRONG_CONFIGURATION_BASE_MS = 1000,
    WRONG_CONFIGURATION_CAP_MS = 15000,
    SAME_ERROR_LOG_INTERVAL_MS = 30000,
    END_WAIT_MS = 1000,
};

void connector_wait(struct connector *connector, uint32_t wait_ms)
{
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t deadline_ms = now_ms + wait_ms;
    while (now_ms < deadline_ms && !worker_is_stopping(&connector->worker)) {
        worker_clear_wake(&connector->worker);
        worker_wait(&connector->worker, (int)(deadline_ms - now_ms));
        now_ms = clock_monotonic_ms();
    }
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
        outcome = connector_set_up(connector, broker, ret_error);
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
        connector->wrong_wait_ms = backoff_longer_ms(
            connector->wrong_wait_ms, WRONG_CONFIGURATION_BASE_MS, WRONG_CONFIGURATION_CAP_MS);
        return connector->wrong_wait_ms;
    }
    connector->wrong_wait_ms = 0;
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

/* Takes the broker. */
static void succeed_locked(struct connector *connector, const struct broker_address *address,
                           struct broker *broker)
{
    log_at(&event_broker_connected, log_string("name", connector->options.open.connection_name),
           log_string("host", address->host), log_integer("port", address->port));
    connector->logged_error.text[0] = '\0';
    connector->last_error.text[0] = '\0';
    connector->failed_hosts = 0;
    connector->wrong_wait_ms = 0;
    connector->wanted = false;
    connector->stands_by = false;
    connector->ready = broker;
    worker_wake(connector->options.owner);
}

/* Returns how long to wait before the next attempt. */
static uint32_t fail_locked(struct connector *connector, const struct broker_address *address,
                            enum outcome outcome, const struct error *error)
{
    connector->last_error = *error;
    if (connector->stands_by) {
        connector->stands_by = false;
        worker_wake(connector->options.owner);
    }
    next_host(connector);
    bool round_failed = ++connector->failed_hosts % connector->hosts.count == 0;
    uint32_t wait_ms = wait_after_failure_ms(connector, outcome, round_failed);
    log_failure(connector, address, error, wait_ms);
    if (outcome == OUTCOME_INVALID || round_failed) {
        connector->failed_rounds++;
        worker_wake(connector->options.owner);
    }
    return wait_ms;
}

static void connect_once(struct connector *connector)
{
    connector->attempts++;
    if (atomic_exchange(&connector->reset_backoff, false)) {
        backoff_reset(&connector->backoff);
    }
    const struct broker_address *address = &connector->hosts.addresses[connector->next_address];
    struct broker *broker = NULL;
    struct error error = {.text = ""};
    enum outcome outcome = attempt(connector, address, &broker, &error);
    uint32_t wait_ms = 0;
    pthread_mutex_lock(&connector->lock);
    if (worker_is_stopping(&connector->worker)) {
        broker_free(broker);
    } else if (outcome == OUTCOME_OK) {
        succeed_locked(connector, address, broker);
    } else {
        wait_ms = fail_locked(connector, address, outcome, &error);
    }
    pthread_mutex_unlock(&connector->lock);
    connector_wait(connector, wait_ms);
}

static void destroy(void *owner)
{
    struct connector *connector = owner;
    broker_free(connector->ready);
    broker_hosts_done(&connector->hosts);
    worker_done(&connector->worker);
    pthread_mutex_destroy(&connector->lock);
    free(connector->findings);
    free(connector);
}

static void run(void *owner)
{
    struct connector *connector = owner;
    bool reconnecting = false;
    while (worker_begin_turn(&connector->worker)) {
        worker_clear_wake(&connector->worker);
        if (!connector->wanted) {
            worker_wait(&connector->worker, -1);
            continue;
        }
        if (reconnecting && !connector->reset_backoff) {
            /* The last connection did not last: a broker that accepts and closes is no reason to
             * spin. */
            connector_wait(connector, backoff_next_ms(&connector->backoff));
        }
        if (reconnecting) {
            /* The last one may still take connections, and be of no use: cut off from the rest of
             * its cluster. */
            next_host(connector);
        }
        while (connector->wanted && !worker_is_stopping(&connector->worker)) {
            connect_once(connector);
        }
        reconnecting = true;
    }
}

enum outcome connector_create(const struct connector_options *options,
                              struct connector **ret_connector, struct error *ret_error)
{
    struct connector *connector = calloc(1, sizeof(*connector));
    if (connector == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the connector");
    }
    connector->options = *options;
    connector->findings = calloc(connector_queue_count(options), sizeof(*connector->findings));
    pthread_mutex_init(&connector->lock, NULL);
    backoff_init(&connector->backoff, BACKOFF_BASE_MS, BACKOFF_CAP_MS, clock_monotonic_us());
    enum outcome outcome = worker_init(&connector->worker, ret_error);
    if (outcome == OUTCOME_OK && connector->findings == NULL) {
        outcome = error_set(ret_error, OUTCOME_BUSY, "no memory for the connector");
    }
    if (outcome == OUTCOME_OK) {
        outcome = broker_hosts_parse(options->urls, &connector->hosts, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = worker_start(&connector->worker, "connector", run, connector, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        destroy(connector);
        return outcome;
    }
    *ret_connector = connector;
    return OUTCOME_OK;
}

void connector_request(struct connector *connector)
{
    connector->wanted = true;
    worker_wake(&connector->worker);
}

void connector_succeeded(struct connector *connector)
{
    connector->reset_backoff = true;
}

struct broker *connector_take(struct connector *connector)
{
    pthread_mutex_lock(&connector->lock);
    struct broker *broker = connector->ready;
    connector->ready = NULL;
    pthread_mutex_unlock(&connector->lock);
    return broker;
}

bool connector_stands_by(struct connector *connector, struct error *ret_why)
{
    pthread_mutex_lock(&connector->lock);
    bool stands_by = connector->stands_by;
    *ret_why = connector->standby_reason;
    pthread_mutex_unlock(&connector->lock);
    return stands_by;
}

bool connector_holds_lock(const struct connector *connector)
{
    return connector->holds_lock;
}

void connector_last_error(struct connector *connector, struct error *ret_error)
{
    pthread_mutex_lock(&connector->lock);
    *ret_error = connector->last_error;
    pthread_mutex_unlock(&connector->lock);
}

void connector_discards(struct connector *connector, struct error *ret_discards)
{
    pthread_mutex_lock(&connector->lock);
    *ret_discards = (struct error){.text = ""};
    size_t count = connector_queue_count(&connector->options);
    for (size_t i = 0; i < count && ret_discards->text[0] == '\0'; i++) {
        struct shard_name name;
        if (connector->findings[i].discards.text[0] != '\0') {
            error_set(ret_discards, OUTCOME_OK, "queue '%s': %s",
                      connector_queue(&connector->options, i, &name).name,
                      connector->findings[i].discards.text);
        }
    }
    pthread_mutex_unlock(&connector->lock);
}

uint64_t connector_failed_rounds(struct connector *connector)
{
    return connector->failed_rounds;
}

uint64_t connector_attempts(struct connector *connector)
{
    return connector->attempts;
}

void connector_free(struct connector *connector)
{
    if (connector == NULL) {
        return;
    }
    pthread_mutex_lock(&connector->lock);
    worker_stop(&connector->worker);
    pthread_mutex_unlock(&connector->lock);
    if (worker_join(&connector->worker, END_WAIT_MS, destroy)) {
        destroy(connector);
    }
}
