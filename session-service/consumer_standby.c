/* Who has the messages: what is shown while another one has the state directory or the lock of the
 * queue, what makes sure, with the lock, that nobody else has the messages too, and when they are
 * left to another one because of the store. */
#include "session-service/consumer_internal.h"

#include "session-service/log_events.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    COUNT_FIRST_MS = 5000, /* after a connection; what was closed before it is forgotten by then */
    COUNT_EVERY_MS = 30000,
    COUNT_SHARED_MS = 5000, /* who shares shards with others */
    DIRECTORY_LOOK_MS = 1000,
};

void consumer_lock_name(const char *queue, char ret_name[SHORT_STRING_BYTES_MAX + 1])
{
    /* As long as the name of the queue of dead letters, whose length common_settings_check() has
     * checked. */
    (void)snprintf(ret_name, SHORT_STRING_BYTES_MAX + 1, "%.250s.lock", queue);
}

static void begin_standby(struct consumer *consumer, const struct error *why, bool has_store)
{
    consumer->has_stood_by = true;
    log_at(&event_consumer_standby, log_string("queue", consumer->settings->common.queue),
           log_string("reason", why->text));
    consumer_status_stand_by(consumer->status, why, has_store);
}

/* Who cannot use the directory could not take over, and is no stand-by. */
static void show_wait(struct consumer *consumer, enum outcome outcome, const struct error *why)
{
    if (outcome == OUTCOME_OK) {
        begin_standby(consumer, why, false);
    } else {
        log_at(&event_store_unavailable, log_string("error", why->text));
    }
}

bool consumer_await_directory(struct consumer *consumer)
{
    struct error shown = {.text = ""};
    while (consumer->directory->lock_descriptor < 0 && worker_begin_turn(&consumer->worker)) {
        bool is_held = false;
        struct error why;
        enum outcome outcome = state_directory_try(consumer->directory, &is_held, &why);
        consumer_status_paused(consumer->status, outcome == OUTCOME_OK ? NULL : &why);
        if (outcome == OUTCOME_OK && is_held) {
            consumer_status_disconnected(consumer->status, &(struct error){.text = ""});
        } else {
            if (strcmp(why.text, shown.text) != 0) {
                show_wait(consumer, outcome, &why);
                shown = why;
            }
            worker_clear_wake(&consumer->worker);
            worker_wait(&consumer->worker, DIRECTORY_LOOK_MS);
        }
    }
    return consumer->directory->lock_descriptor >= 0;
}

void consumer_show_standby(struct consumer *consumer, bool stands_by, const struct error *why)
{
    if (stands_by == consumer->stands_by) {
        return;
    }
    struct error reason;
    consumer->stands_by = stands_by;
    if (stands_by) {
        error_set(&reason, OUTCOME_OK, "another session-service consumes from the queue: %s",
                  why->text);
        begin_standby(consumer, &reason, true);
    } else {
        connector_last_error(consumer->connector, &reason);
        consumer_status_disconnected(consumer->status, &reason);
    }
}

void consumer_end_standby(struct consumer *consumer, uint64_t now_ms)
{
    consumer->holds_lock = connector_holds_lock(consumer->connector);
    consumer->count_at_ms = now_ms + COUNT_FIRST_MS;
    consumer->others = 0;
    consumer->stands_by = false;
    if (consumer->has_stood_by) {
        consumer->has_stood_by = false;
        log_at(&event_consumer_active, log_string("queue", consumer->settings->common.queue));
    }
}

enum outcome consumer_check_hold(const struct consumer *consumer, uint64_t now_ms,
                                 struct error *ret_error)
{
    bool has_others = consumer->holds_lock || consumer_divides(consumer);
    if (!has_others || !broker_is_given_up(consumer->broker, now_ms)) {
        return OUTCOME_OK;
    }
    return error_set(ret_error, OUTCOME_TRANSIENT,
                     "this process was held up for two heartbeats, so that another session-service "
                     "may have taken over; what was delivered is left to be delivered again");
}

enum outcome consumer_check_store(const struct consumer *consumer, uint64_t now_ms,
                                  struct error *ret_error)
{
    if (!consumer->paused) {
        return OUTCOME_OK;
    }
    if (store_is_displaced(consumer->store)) {
        return error_set(ret_error, OUTCOME_TRANSIENT,
                         "the store is not in its place, and the queue is left to another "
                         "session-service");
    }
    int64_t longest_ms = consumer->settings->give_back_after_ms;
    if (!settings_consumes_alone(consumer->settings) && !consumer->gave_back &&
        now_ms >= consumer->paused_ms + (uint64_t)longest_ms) {
        return error_set(ret_error, OUTCOME_TRANSIENT,
                         "nothing was handled for %" PRId64 " s, and what was delivered is left to "
                         "another session-service",
                         longest_ms / 1000);
    }
    return OUTCOME_OK;
}

enum outcome consumer_ask_for_others(struct consumer *consumer, uint64_t now_ms,
                                     struct error *ret_error)
{
    bool divides = consumer_divides(consumer);
    if ((!settings_consumes_alone(consumer->settings) && !divides) ||
        now_ms < consumer->count_at_ms) {
        return OUTCOME_OK;
    }
    consumer->count_at_ms = now_ms + (divides ? COUNT_SHARED_MS : COUNT_EVERY_MS);
    char lock[SHORT_STRING_BYTES_MAX + 1];
    const struct broker_queue queue = {.name = consumer->settings->common.queue};
    consumer_lock_name(queue.name, lock);
    enum outcome outcome =
        consumer->holds_lock ? broker_append_lock(consumer->broker, lock, ret_error) : OUTCOME_OK;
    return outcome == OUTCOME_OK ? broker_append_declare(consumer->broker, &queue, true, ret_error)
                                 : outcome;
}

void consumer_record_others(struct consumer *consumer, struct slice queue, uint64_t consumers)
{
    if (!slice_equal(queue, slice_of(consumer->settings->common.queue))) {
        return; /* the lock */
    }
    uint64_t others = consumers > 0 ? consumers - 1 : 0;
    if (consumer_divides(consumer)) {
        consumer->others = others;
        return;
    }
    if (others > 0 && consumer->others == 0) {
        log_at(&event_consumer_not_alone, log_string("queue", consumer->settings->common.queue),
               log_integer("others", (int64_t)others));
    }
    consumer->others = others;
    metric_set(&consumer->status->other_consumers, (int64_t)others);
}
