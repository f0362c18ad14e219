/* The outbox's state as other threads see it, and its metrics. */
#include "user-service/outbox_internal.h"

#include "user-service/log_events.h"

#include "common/base/clock.h"

void outbox_record_trouble(struct outbox *outbox, const struct error *error)
{
    pthread_mutex_lock(&outbox->lock);
    bool is_new = strcmp(outbox->trouble.text, error->text) != 0;
    bool had = outbox->trouble.text[0] != '\0';
    outbox->trouble = *error;
    pthread_mutex_unlock(&outbox->lock);
    if (!is_new) {
        return;
    }
    if (error->text[0] != '\0') {
        log_at(&event_outbox_refuses, log_string("error", error->text));
    } else if (had) {
        log_event(&event_outbox_takes, NULL, 0);
    }
}

void outbox_show_state(struct outbox *outbox)
{
    struct outbox_store_content content;
    outbox_store_content(outbox->store, &content);
    pthread_mutex_lock(&outbox->lock);
    outbox->content = content;
    pthread_mutex_unlock(&outbox->lock);
    if (outbox->now_ms < outbox->store_at_ms) {
        return; /* what the file said last is still so */
    }
    struct error trouble = {.text = ""};
    if (outbox_store_open(outbox->store, &trouble) == OUTCOME_OK &&
        outbox_store_has_room(outbox->store, outbox->settings->max_body_bytes, &trouble)) {
        trouble.text[0] = '\0';
    }
    outbox_record_trouble(outbox, &trouble);
}

bool outbox_has_room(struct outbox *outbox, struct error *ret_reason)
{
    pthread_mutex_lock(&outbox->lock);
    *ret_reason = outbox->trouble;
    pthread_mutex_unlock(&outbox->lock);
    return ret_reason->text[0] == '\0';
}

#define ROW(...) METRIC_ROW(struct outbox_metrics, __VA_ARGS__)
METRIC_TABLE(append_metrics, struct outbox_metrics, OUTBOX_METRICS(ROW))

void outbox_append_metrics(struct outbox *outbox, struct buffer *text)
{
    struct outbox_metrics *metrics = &outbox->metrics;
    pthread_mutex_lock(&outbox->lock);
    struct outbox_store_content content = outbox->content;
    pthread_mutex_unlock(&outbox->lock);
    int64_t age_ms = content.oldest_ms > 0 ? (int64_t)clock_wall_ms() - content.oldest_ms : 0;
    metric_set(&metrics->events, content.events);
    metric_set(&metrics->bytes, content.bytes);
    metric_set(&metrics->oldest_age_s, age_ms > 0 ? age_ms / 1000 : 0);
    append_metrics(text, metrics);
}
