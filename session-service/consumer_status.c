/* Atomics, one text under a lock, and the table that describes the metrics. */
#include "session-service/consumer_status.h"

#include <string.h>

static const struct {
    const char *reason, *labels;
} reasons[DEAD_LETTER_REASONS] = {
    {"not-json", "reason=\"not-json\""},
    {"invalid-user", "reason=\"invalid-user\""},
    {"too-large", "reason=\"too-large\""},
    {"invalid-message-id", "reason=\"invalid-message-id\""},
    {"id-conflict", "reason=\"id-conflict\""},
    {"too-many-redeliveries", "reason=\"too-many-redeliveries\""},
    {"", "reason=\"other\""},
};

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
    while (i < DEAD_LETTER_REASONS - 1 && strcmp(reason, reasons[i].reason) != 0) {
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

void consumer_status_metric_rows(const struct consumer_status *status,
                                 struct metric_row rows[CONSUMER_METRIC_ROWS])
{
    const char *deliveries = "session_service_deliveries_total";
    const struct metric_row table[] = {
        {deliveries, "outcome=\"handled\"", "Deliveries by what became of them.", METRIC_COUNTER,
         &status->handled, 0},
        {deliveries, "outcome=\"duplicate\"", "", METRIC_COUNTER, &status->duplicate, 0},
        {deliveries, "outcome=\"bare\"", "", METRIC_COUNTER, &status->bare, 0},
        {deliveries, "outcome=\"dead\"", "", METRIC_COUNTER, &status->dead, 0},
        {"session_service_redelivered_total", NULL, "Deliveries that had been delivered before.",
         METRIC_COUNTER, &status->redelivered, 0},
        {"session_service_ack_latency_seconds", NULL, "From reading a delivery to sending its ack.",
         METRIC_HISTOGRAM, &status->ack_latency, 0},
        {"session_service_dead_letters_pending", NULL,
         "Impossible messages whose copy is not confirmed yet.", METRIC_GAUGE,
         &status->dead_letters_pending, 0},
        {"session_service_consuming", NULL, "1 while deliveries are taken.", METRIC_GAUGE,
         &status->consuming, 0},
        {"session_service_store_paused", NULL, "1 while the store can take nothing.", METRIC_GAUGE,
         &status->store_paused, 0},
        {"session_service_sessions_opened_total", NULL, "Sessions opened.", METRIC_COUNTER,
         &status->sessions_opened, 0},
        {"session_service_broker_connected", NULL, "1 while the consuming connection is up.",
         METRIC_GAUGE, &status->broker_connected, 0},
        {"session_service_broker_reconnects_total", NULL,
         "Consuming connections made after the first.", METRIC_COUNTER, &status->reconnects, 0},
    };
    size_t count = sizeof(table) / sizeof(table[0]);
    _Static_assert(sizeof(table) / sizeof(table[0]) + DEAD_LETTER_REASONS == CONSUMER_METRIC_ROWS,
                   "one row for each metric");
    memcpy(rows, table, sizeof(table));
    for (size_t i = 0; i < DEAD_LETTER_REASONS; i++) {
        rows[count + i] =
            (struct metric_row){"session_service_dead_letters_total",
                                reasons[i].labels,
                                "Impossible messages with a confirmed copy, by reason.",
                                METRIC_COUNTER,
                                &status->dead_letters[i],
                                0};
    }
}
