/* Atomics, one text under a lock, and the table that describes the metrics. */
#include "session-service/consumer_status.h"

#include <string.h>

static const char *const reasons[] = {DEAD_LETTER_REASONS};
enum { REASONS = sizeof(reasons) / sizeof(reasons[0]) };

void consumer_status_init(struct consumer_status *status)
{
    *status = (struct consumer_status){.last_error = {.text = ""}};
    pthread_mutex_init(&status->lock, NULL);
}

void consumer_status_done(struct consumer_status *status)
{
    pthread_mutex_destroy(&status->lock);
}

static void show_consuming(struct consumer_status *status)
{
    metric_set(&status->broker_connected,
               status->connected || (status->standing_by && !status->without_store));
    metric_set(&status->active, status->connected);
    metric_set(&status->standby, status->standing_by);
    metric_set(&status->consuming, status->connected && !status->stalled && !status->paused);
}

void consumer_status_connected(struct consumer_status *status)
{
    atomic_store(&status->connected, true);
    atomic_store(&status->standing_by, false);
    show_consuming(status);
}

void consumer_status_stand_by(struct consumer_status *status, const struct error *why,
                              bool has_store)
{
    pthread_mutex_lock(&status->lock);
    status->standby_reason = *why;
    pthread_mutex_unlock(&status->lock);
    atomic_store(&status->without_store, !has_store);
    atomic_store(&status->standing_by, true);
    show_consuming(status);
}

void consumer_status_disconnected(struct consumer_status *status, const struct error *error)
{
    pthread_mutex_lock(&status->lock);
    status->last_error = *error;
    pthread_mutex_unlock(&status->lock);
    atomic_store(&status->connected, false);
    atomic_store(&status->standing_by, false);
    atomic_store(&status->without_store, false);
    metric_set(&status->other_consumers, 0);
    show_consuming(status);
}

void consumer_status_stalled(struct consumer_status *status, bool stalled)
{
    atomic_store(&status->stalled, stalled);
    show_consuming(status);
}

void consumer_status_paused(struct consumer_status *status, const struct error *why)
{
    pthread_mutex_lock(&status->lock);
    status->pause = why != NULL ? *why : (struct error){.text = ""};
    pthread_mutex_unlock(&status->lock);
    atomic_store(&status->paused, why != NULL);
    metric_set(&status->store_paused, why != NULL);
    show_consuming(status);
}

void consumer_status_set_trouble(struct consumer_status *status, const char *text)
{
    pthread_mutex_lock(&status->lock);
    error_set(&status->trouble, OUTCOME_OK, "%s", text);
    pthread_mutex_unlock(&status->lock);
}

void consumer_status_count_dead_letter(struct consumer_status *status, const char *reason)
{
    size_t i = 0;
    while (i < REASONS && strcmp(reason, reasons[i]) != 0) {
        i++;
    }
    metric_add(&status->dead_letters[i], 1);
}

bool consumer_status_is_ready(struct consumer_status *status, const struct error *connecting,
                              struct error *ret_reason)
{
    bool is_ready = false;
    pthread_mutex_lock(&status->lock);
    if (status->paused) {
        error_set(ret_reason, OUTCOME_BUSY, "not consuming: %s", status->pause.text);
    } else if (status->standing_by) {
        is_ready = true;
        *ret_reason = status->standby_reason;
    } else if (!status->connected) {
        const char *cause =
            connecting->text[0] != '\0' ? connecting->text : status->last_error.text;
        error_set(ret_reason, OUTCOME_TRANSIENT, "not connected to the broker: %s",
                  cause[0] == '\0' ? "no attempt has ended yet" : cause);
    } else if (status->stalled) {
        error_set(ret_reason, OUTCOME_BUSY,
                  "not consuming: copies of impossible messages wait for their confirm%s%s",
                  status->trouble.text[0] == '\0' ? "" : ": ", status->trouble.text);
    } else {
        is_ready = true;
    }
    pthread_mutex_unlock(&status->lock);
    return is_ready;
}

bool consumer_status_stands_by(const struct consumer_status *status)
{
    return atomic_load(&status->standing_by);
}

bool consumer_status_has_store(const struct consumer_status *status)
{
    return !atomic_load(&status->without_store);
}

#define ROW(...) METRIC_ROW(struct consumer_status, __VA_ARGS__)
METRIC_TABLE(append_metrics, struct consumer_status, CONSUMER_METRICS(ROW))

void consumer_status_append_metrics(const struct consumer_status *status, struct buffer *text)
{
    append_metrics(text, status);
}
