/* What is set up on a new connection, in the connector's thread: queues, bindings, the lock,
 * consumers. */
#include "common/amqp/connector_internal.h"
#include "common/base/clock.h"
#include "common/log/log_events.h"

#include <string.h>

enum {
    LOCK_LOOK_MS = 1000,
    /* An attempt is an error in the broker's log. Without a reason they become ever rarer. */
    LOCK_ATTEMPT_BASE_MS = 1000,
    LOCK_ATTEMPT_CAP_MS = 30000,
};

/* Once, and again where it has changed. */
static void log_finding(struct connector *connector, size_t number, const char *queue,
                        const struct broker_queue_finding *finding)
{
    const struct broker_queue_finding *logged = &connector->findings[number];
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
    connector->findings[number] = *finding;
    pthread_mutex_unlock(&connector->lock);
}

static enum outcome stopped(struct error *ret_error)
{
    return error_set(ret_error, OUTCOME_TRANSIENT, "stopped");
}

/* Declares the queue, and binds it where that is asked for. */
static enum outcome set_up_queue(struct connector *connector, struct broker *broker, size_t number,
                                 struct error *ret_error)
{
    const struct connector_options *options = &connector->options;
    struct shard_name name;
    struct shard_name key;
    const struct broker_queue queue = connector_queue(options, number, &name);
    struct broker_queue_finding finding;
    enum outcome outcome = broker_declare_and_wait(broker, &queue, &finding, ret_error);
    if (outcome == OUTCOME_OK) {
        log_finding(connector, number, queue.name, &finding);
    }
    if (outcome == OUTCOME_OK && options->bind) {
        const struct broker_route route = connector_route(options, number, &key);
        outcome = broker_bind_and_wait(broker, queue.name, &route, ret_error);
    }
    return outcome;
}

static enum outcome set_up_queues(struct connector *connector, struct broker *broker,
                                  struct error *ret_error)
{
    enum outcome outcome = OUTCOME_OK;
    size_t count = connector_queue_count(&connector->options);
    for (size_t i = 0; outcome == OUTCOME_OK && i < count; i++) {
        /* To make many takes longer than the end of the process may. */
        outcome = worker_is_stopping(&connector->worker)
                      ? stopped(ret_error)
                      : set_up_queue(connector, broker, i, ret_error);
    }
    return outcome;
}

static enum outcome set_up_exchange(struct connector *connector, struct broker *broker,
                                    struct error *ret_error)
{
    const struct connector_options *options = &connector->options;
    enum outcome outcome = broker_check_exchange(broker, options->route.exchange, ret_error);
    if (outcome == OUTCOME_OK && options->bind) {
        outcome = set_up_queues(connector, broker, ret_error);
    }
    return outcome == OUTCOME_OK ? broker_enable_confirms(broker, ret_error) : outcome;
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
                                    uint32_t longest_ms, struct error *ret_error)
{
    uint64_t until_ms = clock_monotonic_ms() + longest_ms;
    uint64_t consumers = 1;
    enum outcome outcome = OUTCOME_OK;
    while (outcome == OUTCOME_OK && consumers > 0 && clock_monotonic_ms() < until_ms) {
        connector_wait(connector, LOCK_LOOK_MS);
        outcome = worker_is_stopping(&connector->worker)
                      ? stopped(ret_error)
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
    uint32_t longest_ms = LOCK_ATTEMPT_BASE_MS;
    struct error why;
    enum outcome outcome = broker_lock_and_wait(broker, name, &lock, &why, ret_error);
    if (outcome == OUTCOME_OK && lock == BROKER_LOCK_OF_ANOTHER) {
        outcome = broker_check_lock(broker, name, ret_error);
    }
    while (outcome == OUTCOME_OK && lock == BROKER_LOCK_OF_ANOTHER) {
        stand_by(connector, &why);
        outcome = wait_until_free(connector, broker, longest_ms, ret_error);
        longest_ms = backoff_longer_ms(longest_ms, LOCK_ATTEMPT_BASE_MS, LOCK_ATTEMPT_CAP_MS);
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
    if (outcome == OUTCOME_OK) {
        outcome = broker_set_prefetch(broker, options->prefetch, ret_error);
    }
    size_t count = connector_queue_count(options);
    for (size_t i = 0; outcome == OUTCOME_OK && i < count; i++) {
        struct shard_name name;
        outcome = broker_consume(broker, connector_queue(options, i, &name).name, i, ret_error);
    }
    return outcome;
}

enum outcome connector_set_up(struct connector *connector, struct broker *broker,
                              struct error *ret_error)
{
    const struct connector_options *options = &connector->options;
    if (connector_has_exchange(options)) {
        return set_up_exchange(connector, broker, ret_error);
    }
    enum outcome outcome = set_up_queues(connector, broker, ret_error);
    if (outcome == OUTCOME_OK && options->prefetch > 0) {
        return begin_consuming(connector, broker, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = broker_enable_confirms(broker, ret_error);
    }
    return outcome == OUTCOME_OK ? broker_check_publishing(broker, ret_error) : outcome;
}
