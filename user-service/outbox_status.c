/* The outbox's state as other threads see it, and its metrics. */
#include "user-service/outbox_internal.h"

#include "user-service/log_events.h"

#include "common/base/clock.h"
#include "common/database/database.h"

#include <stdio.h>

enum { IDS_BYTES_MAX = 2000, IDS_MAX = 50, LOOK_EVERY_MS = 250 };

/* Changes the trouble, and returns what it was. */
static struct error set_trouble(struct outbox *outbox, const struct error *error, bool is_displaced)
{
    pthread_mutex_lock(&outbox->lock);
    struct error before = outbox->trouble;
    outbox->trouble = *error;
    outbox->is_displaced = is_displaced;
    pthread_mutex_unlock(&outbox->lock);
    return before;
}

void outbox_record_trouble(struct outbox *outbox, const struct error *error)
{
    struct error before = set_trouble(outbox, error, false);
    if (strcmp(before.text, error->text) == 0) {
        return;
    }
    if (error->text[0] != '\0') {
        log_at(&event_outbox_refuses, log_string("error", error->text));
    } else {
        log_event(&event_outbox_takes, NULL, 0);
    }
}

/* Writes the message ids of the oldest events, separated by blanks. */
static void read_ids(struct outbox *outbox, char ret_ids[IDS_BYTES_MAX])
{
    struct outbox_store_row row = {.sequence = 0};
    struct error error;
    size_t length = 0;
    size_t count = 0;
    ret_ids[0] = '\0';
    while (count++ < IDS_MAX &&
           outbox_store_next(outbox->store, row.sequence, &row, &error) == OUTCOME_OK &&
           row.sequence != 0) {
        if (row.event != NULL && length + row.event->message_id_length + 2 < IDS_BYTES_MAX) {
            length += (size_t)snprintf(ret_ids + length, IDS_BYTES_MAX - length, "%s%s",
                                       length == 0 ? "" : " ", row.event->message_id);
        }
        event_free(row.event);
    }
}

void outbox_record_displaced(struct outbox *outbox, const struct error *error)
{
    bool was_displaced = outbox->is_displaced; /* only this thread writes it */
    (void)set_trouble(outbox, error, true);
    if (was_displaced) {
        return;
    }
    struct outbox_store_content content;
    char ids[IDS_BYTES_MAX];
    outbox_store_content(outbox->store, &content);
    read_ids(outbox, ids);
    outbox->is_written_out = outbox->write_out_failed = false;
    backoff_reset(&outbox->write_out_backoff);
    outbox->write_out_at_ms = outbox->now_ms;
    log_at(&event_outbox_displaced, log_string("error", error->text),
           log_integer("saves", content.events), log_string("ids", ids));
}

/* A gigabyte takes longer than a turn may, and a process that the watchdog ends would lose it. */
static void show_progress(void *worker)
{
    (void)worker_begin_turn(worker);
}

/* What is only in files that the next process does not find is written to one that it finds, or
 * that an operator finds. Tried until there is a directory, and room. */
static void write_out(struct outbox *outbox)
{
    struct outbox_store_content content;
    outbox_store_content(outbox->store, &content);
    if (content.events == 0 || outbox->is_written_out || outbox->now_ms < outbox->write_out_at_ms ||
        !outbox_store_is_out_of_reach(outbox->store) ||
        !outbox_store_has_directory(outbox->store)) {
        return;
    }
    struct error path;
    struct database_progress progress = {.call = show_progress, .context = &outbox->worker};
    int64_t now_ms = (int64_t)clock_wall_ms();
    if (outbox_store_write_out(outbox->store, now_ms, &progress, &path) == OUTCOME_OK) {
        outbox->is_written_out = true;
        log_at(&event_outbox_written_out, log_string("file", path.text),
               log_integer("saves", content.events));
        return;
    }
    outbox->write_out_at_ms = outbox->now_ms + backoff_next_ms(&outbox->write_out_backoff) + 1;
    if (!outbox->write_out_failed) {
        outbox->write_out_failed = true;
        log_at(&event_outbox_write_out_failed, log_string("error", path.text));
    }
}

/* Most turns follow soon after a batch that has looked. */
static bool is_look_due(const struct outbox *outbox)
{
    return outbox->is_displaced || outbox->now_ms - outbox->looked_at_ms >= LOOK_EVERY_MS;
}

void outbox_show_state(struct outbox *outbox)
{
    struct outbox_store_content content;
    outbox_store_content(outbox->store, &content);
    pthread_mutex_lock(&outbox->lock);
    outbox->content = content;
    pthread_mutex_unlock(&outbox->lock);
    if (outbox->now_ms < outbox->store_at_ms) { /* what the file said last is still so */
        if (outbox->is_displaced) {
            write_out(outbox);
        }
        return;
    }
    struct error trouble = {.text = ""};
    bool takes = outbox_store_open(outbox->store, &trouble) == OUTCOME_OK &&
                 outbox_store_check_room(outbox->store, outbox->settings->max_body_bytes,
                                         &trouble) == OUTCOME_OK;
    if (!takes || is_look_due(outbox)) {
        struct error error;
        outbox->looked_at_ms = outbox->now_ms;
        if (outbox_store_in_place(outbox->store, &error) != OUTCOME_OK) {
            outbox_record_displaced(outbox, &error);
            write_out(outbox);
            return;
        }
    }
    if (takes) {
        trouble.text[0] = '\0';
    }
    outbox_record_trouble(outbox, &trouble);
}

void outbox_look_last(struct outbox *outbox)
{
    struct error error;
    if (outbox_store_in_place(outbox->store, &error) != OUTCOME_OK) {
        outbox_record_displaced(outbox, &error);
        outbox->write_out_at_ms = outbox->now_ms; /* there is no later */
        write_out(outbox);
    }
}

bool outbox_has_room(struct outbox *outbox, struct error *ret_reason)
{
    pthread_mutex_lock(&outbox->lock);
    *ret_reason = outbox->trouble;
    pthread_mutex_unlock(&outbox->lock);
    return ret_reason->text[0] == '\0';
}

bool outbox_is_in_place(struct outbox *outbox, struct error *ret_reason)
{
    pthread_mutex_lock(&outbox->lock);
    bool is_displaced = outbox->is_displaced;
    if (is_displaced) {
        *ret_reason = outbox->trouble;
    }
    pthread_mutex_unlock(&outbox->lock);
    return !is_displaced;
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
