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
    metric_set(&status->broker_connected, status->connected);
    metric_set(&status->consuming, status->connected && !status->stalled && !status->paused);
}

void consumer_status_connected(struct consumer_status *status)
{
    atomic_store(&status->connected, true);
    show_consuming(status);
}

void consumer_status_disconnected(struct consumer_status *status, const struct error *error)
{
    pthread_mutex_lock(&status->lock);
    status->last_error = *error;
    pthread_mutex_unlock(&status->lock);
    atomic_store(&status->connected, false);
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

void consumer_status_pause(struct consumer_status *status, struct error *ret_error)
{
    pthread_mutex_lock(&status->lock);
    *ret_error = status->pause;
    pthread_mutex_unlock(&status->lock);
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

void consumer_status_last_error(struct consumer_status *status, struct error *ret_error)
{
    pthread_mutex_lock(&status->lock);
    *ret_error = status->last_error;
    pthread_mutex_unlock(&status->lock);
}

void consumer_status_trouble(struct consumer_status *status, struct error *ret_error)
{
    pthread_mutex_lock(&status->lock);
    *ret_error = status->trouble;
    pthread_mutex_unlock(&status->lock);
}

#define ROW(...) METRIC_ROW(struct consumer_status, __VA_ARGS__)
METRIC_TABLE(append_metrics, struct consumer_status, CONSUMER_METRICS(ROW))

void consumer_status_append_metrics(const struct consumer_status *status, struct buffer *text)
{
    append_metrics(text, status);
}
