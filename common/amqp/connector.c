/* The connector's thread: wait for a request, try host after host with backoff, hand over. */
#include "common/amqp/connector.h"

#include "common/amqp/broker_hosts.h"
#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/log/log_events.h"

#include <stdlib.h>
#include <string.h>

enum {
    BACKOFF_BASE_MS = 100,
    BACKOFF_CAP_MS = 5000,
    WRONG_CONFIGURATION_WAIT_MS =
        15000, /* only a person can mend it: do not fill the broker's log */
    SAME_ERROR_LOG_INTERVAL_MS = 30000,
    END_WAIT_MS = 1000,
    LOCK_LOOK_MS = 1000,
    /* An attempt is an error in the broker's log. Without a reason they become ever rarer. */
    LOCK_ATTEMPT_BASE_MS = 1000,
    LOCK_ATTEMPT_CAP_MS = 30000,
};

struct connector {
    struct connector_options options;
    struct worker worker;
    atomic_bool wanted, reset_backoff;
    atomic_bool holds_lock; /* the connection that was made last */
    atomic_uint_least64_t attempts, failed_rounds;

    /* The thread's own. */
    struct broker_hosts hosts;
    size_t next_address;
    size_t failed_hosts; /* of the round */
    struct backoff backoff;
    struct error logged_error;
    uint64_t logged_ms;
    struct error logged_not_locked;

    pthread_mutex_t lock; /* guards what follows, and the owner: who has stopped us is not woken */
    struct broker *ready;
    struct error last_error;
    struct broker_queue_finding finding; /* the thread writes it; others read what it discards */
    bool stands_by;
    struct error standby_reason;
};

struct broker_queue connector_queue(const struct connector_options *options)
{
    return (struct broker_queue){options->queue, options->queue_type, options->declare};
}

static bool has_exchange(const struct connector_options *options)
{
    return options->route.exchange != NULL && options->route.exchange[0] != '\0';
}

struct broker_route connector_route(const struct connector_options *options)
{
    const char *key = options->route.routing_key;
    return has_exchange(options)
               ? (struct broker_route){options->route.exchange, key != NULL ? key : options->queue}
               : (struct broker_route){"", options->queue};
}

bool connector_minds_queue(const struct connector_options *options)
{
    return !has_exchange(options) || options->bind;
}

/* Once, and again where it has changed. */
static void log_finding(struct connector *connector, const struct broker_queue_finding *finding)
{
    const char *queue = connector->options.queue;
    const struct broker_queue_finding *logged = &connector->finding;
    if (finding->difference.text[0] != '\0' &&
        strcmp(finding->difference.text, logged->difference.text) != 0) {
        log_at(&event_queue_other_arguments, log_string("queue", queue),
               log_string("difference", finding->difference.text));
    }
    if (finding->discards.text[0] != '\0' &&
        strcmp(finding->discards.text, logged->discards.text) != 0) {
        log_at(&event_queue_discards, log_string("queue", queue),
               log_string("discards", finding->discards.text));
    }
    if (finding->not_declared.text[0] != '\0' &&
        strcmp(finding->not_declared.text, logged->not_declared.text) != 0) {
        log_at(&event_queue_not_declared, log_string("queue", queue),
               log_string("error", finding->not_declared.text));
    }
    pthread_mutex_lock(&connector->lock);
    connector->finding = *finding;
    pthread_mutex_unlock(&connector->lock);
}

static enum outcome set_up_queue(struct connector *connector, struct broker *broker,
                                 struct error *ret_error)
{
    const struct broker_queue queue = connector_queue(&connector->options);
    struct broker_queue_finding finding;
    enum outcome outcome = broker_declare_and_wait(broker, &queue, &finding, ret_error);
    if (outcome == OUTCOME_OK) {
        log_finding(connector, &finding);
    }
    return outcome;
}

static enum outcome set_up_exchange(struct connector *connector, struct broker *broker,
                                    struct error *ret_error)
{
    const struct connector_options *options = &connector->options;
    const struct broker_route route = connector_route(options);
    enum outcome outcome = broker_check_exchange(broker, route.exchange, ret_error);
    if (outcome == OUTCOME_OK && options->bind) {
        outcome = set_up_queue(connector, broker, ret_error);
    }
    if (outcome == OUTCOME_OK && options->bind) {
        outcome = broker_bind_and_wait(broker, options->queue, &route, ret_error);
    }
    return outcome == OUTCOME_OK ? broker_enable_confirms(broker, ret_error) : outcome;
}

/* Waits so long, or until it is to stop. */
static void wait_for(struct connector *connector, uint32_t wait_ms)
{
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t deadline_ms = now_ms + wait_ms;
    while (now_ms < deadline_ms && !worker_is_stopping(&connector->worker)) {
        worker_clear_wake(&connector->worker);
        worker_wait(&connector->worker, (int)(deadline_ms - now_ms));
        now_ms = clock_monotonic_ms();
    }
}

/* The owner is not woken once it has stopped us. */
static void stand_by(struct connector *connector, const struct error *why)
{
    pthread_mutex_lock(&connector->lock);
    if (!worker_is_stopping(&connector->worker) && !connector->stands_by) {
        connector->stands_by = true;
        connector->standby_reason = *why;
        worker_wake(connector->options.owner);
    }
    pthread_mutex_unlock(&connector->lock);
}

/* Until nobody consumes from the queue, or for `longest_ms`: a quorum queue goes on counting the
 * consumers of a node that is down. */
static enum outcome wait_until_free(struct connector *connector, struct broker *broker,
                                    uint64_t longest_ms, struct error *ret_error)
{
    uint64_t until_ms = clock_monotonic_ms() + longest_ms;
    uint64_t consumers = 1;
    enum outcome outcome = OUTCOME_OK;
    while (outcome == OUTCOME_OK && consumers > 0 && clock_monotonic_ms() < until_ms) {
        wait_for(connector, LOCK_LOOK_MS);
        outcome = worker_is_stopping(&connector->worker)
                      ? error_set(ret_error, OUTCOME_TRANSIENT, "stopped")
                      : broker_count_consumers_and_wait(broker, connector->options.queue,
                                                        &consumers, ret_error);
    }
    return outcome;
}

/* Once, and again where it has changed. */
static void log_not_locked(struct connector *connector, const struct error *why)
{
    if (strcmp(why->text, connector->logged_not_locked.text) != 0) {
        connector->logged_not_locked = *why;
        log_at(&event_queue_not_locked, log_string("queue", connector->options.queue),
               log_string("lock", connector->options.lock), log_string("error", why->text));
    }
}

/* Without the right to the lock there is none to wait for. */
static enum outcome take_lock(struct connector *connector, struct broker *broker,
                              struct error *ret_error)
{
    const char *name = connector->options.lock;
    enum broker_lock lock = BROKER_LOCK_HELD;
    uint64_t longest_ms = LOCK_ATTEMPT_BASE_MS;
    struct error why;
    enum outcome outcome = broker_lock_and_wait(broker, name, &lock, &why, ret_error);
    if (outcome == OUTCOME_OK && lock == BROKER_LOCK_OF_ANOTHER) {
        outcome = broker_check_lock(broker, name, ret_error);
    }
    while (outcome == OUTCOME_OK && lock == BROKER_LOCK_OF_ANOTHER) {
        stand_by(connector, &why);
        outcome = wait_until_free(connector, broker, longest_ms, ret_error);
        longest_ms = 2 * longest_ms < LOCK_ATTEMPT_CAP_MS ? 2 * longest_ms : LOCK_ATTEMPT_CAP_MS;
        if (outcome == OUTCOME_OK) {
            outcome = broker_lock_and_wait(broker, name, &lock, &why, ret_error);
        }
    }
    if (outcome == OUTCOME_OK && lock == BROKER_LOCK_DENIED) {
        log_not_locked(connector, &why);
    }
    connector->holds_lock = outcome == OUTCOME_OK && lock == BROKER_LOCK_HELD;
    return outcome;
}

static enum outcome begin_consuming(struct connector *connector, struct broker *broker,
                                    struct error *ret_error)
{
    const struct connector_options *options = &connector->options;
    enum outcome outcome =
        options->lock[0] != '\0' ? take_lock(connector, broker, ret_error) : OUTCOME_OK;
    return outcome == OUTCOME_OK
               ? broker_consume(broker, options->queue, options->prefetch, ret_error)
               : outcome;
}

static enum outcome set_up(struct connector *connector, struct broker *broker,
                           struct error *ret_error)
{
    const struct connector_options *options = &connector->options;
    if (has_exchange(options)) {
        return set_up_exchange(connector, broker, ret_error);
    }
    enum outcome outcome = set_up_queue(connector, broker, ret_error);
    if (outcome == OUTCOME_OK && options->prefetch > 0) {
        return begin_consuming(connector, broker, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = broker_enable_confirms(broker, ret_error);
    }
    return outcome == OUTCOME_OK ? broker_check_publishing(broker, ret_error) : outcome;
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
        outcome = set_up(connector, broker, ret_error);
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

/* Takes the broker. */
static void succeed_locked(struct connector *connector, const struct broker_address *address,
                           struct broker *broker)
{
    log_at(&event_broker_connected, log_string("name", connector->options.open.connection_name),
           log_string("host", address->host), log_integer("port", address->port));
    connector->logged_error.text[0] = '\0';
    connector->last_error.text[0] = '\0';
    connector->failed_hosts = 0;
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
    wait_for(connector, wait_ms);
}

static void destroy(void *owner)
{
    struct connector *connector = owner;
    broker_free(connector->ready);
    broker_hosts_done(&connector->hosts);
    worker_done(&connector->worker);
    pthread_mutex_destroy(&connector->lock);
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
            wait_for(connector, backoff_next_ms(&connector->backoff));
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
    pthread_mutex_init(&connector->lock, NULL);
    backoff_init(&connector->backoff, BACKOFF_BASE_MS, BACKOFF_CAP_MS, clock_monotonic_us());
    enum outcome outcome = worker_init(&connector->worker, ret_error);
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
    if (connector->finding.discards.text[0] != '\0') {
        error_set(ret_discards, OUTCOME_OK, "queue '%.255s': %s", connector->options.queue,
                  connector->finding.discards.text);
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
