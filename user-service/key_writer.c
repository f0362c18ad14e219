/* One turn looks whether the file is in its place, takes what has arrived, writes it, hands its
 * events on to the publisher, and syncs. */
#include "user-service/key_writer.h"

#include "user-service/key_file.h"
#include "user-service/log_events.h"

#include "common/base/backoff.h"
#include "common/base/clock.h"

#include <stdlib.h>

enum {
    LONGEST_WAIT_MS = 1000,
    RETRY_BASE_MS = 100,
    RETRY_CAP_MS = 5000,
    CHANGES_AT_ONCE = 256,
};

struct key_write {
    struct work_item item; /* first: see worker.h */
    struct key_change change;
    struct event *event; /* owned until it is handed on; NULL: none */
    bool is_awaited;     /* its sync is */
    size_t bytes;        /* of the event's body */
};

struct key_writer {
    struct worker worker;
    struct publisher *publisher;
    struct key_file file;
    struct work_list unsynced; /* to be written, or written and not synced, without events */
    struct backoff backoff;
    uint64_t write_at_ms; /* not before */
    struct error trouble; /* "" where keys are written */
    struct key_progress progress;
    atomic_size_t pending, pending_bytes;
    struct key_writer_metrics metrics;

    pthread_mutex_t lock;   /* guards what follows */
    struct error displaced; /* "" where the file and the lock are in their places */
};

enum outcome key_writer_create(const struct state_directory *directory,
                               struct key_writer **ret_writer, struct error *ret_error)
{
    struct key_writer *writer = calloc(1, sizeof(*writer));
    if (writer == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the Idempotency-Keys");
    }
    STAILQ_INIT(&writer->unsynced);
    pthread_mutex_init(&writer->lock, NULL);
    backoff_init(&writer->backoff, RETRY_BASE_MS, RETRY_CAP_MS, clock_monotonic_us());
    enum outcome outcome = worker_init(&writer->worker, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = key_file_init(&writer->file, directory->path, &directory->lock, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        key_writer_free(writer);
        return outcome;
    }
    *ret_writer = writer;
    return OUTCOME_OK;
}

/* Logs each trouble once; "" for none. */
static void record_trouble(struct key_writer *writer, const struct error *error)
{
    if (strcmp(writer->trouble.text, error->text) == 0) {
        return;
    }
    writer->trouble = *error;
    if (error->text[0] != '\0') {
        log_at(&event_keys_refused, log_string("error", error->text));
    } else {
        log_event(&event_keys_taken, NULL, 0);
    }
}

static enum outcome restore(struct key_window *window, const struct key_file_content *content,
                            struct error *ret_error)
{
    enum outcome outcome = OUTCOME_OK;
    uint64_t now_ms = clock_wall_ms();
    for (size_t i = 0; outcome == OUTCOME_OK && i < content->count; i++) {
        outcome = key_window_restore(window, &content->places[i], now_ms, ret_error);
    }
    return outcome;
}

enum outcome key_writer_open(struct key_writer *writer, struct key_window *window,
                             struct error *ret_error)
{
    struct key_file_content content = {.places = NULL};
    enum outcome outcome = key_file_open(&writer->file, key_window_places_max(window),
                                         window->options.capacity, &content, ret_error);
    if (outcome == OUTCOME_TRANSIENT) {
        record_trouble(writer, ret_error);
        return OUTCOME_OK;
    }
    if (outcome == OUTCOME_OK) {
        outcome = restore(window, &content, ret_error);
    }
    if (outcome == OUTCOME_OK && content.damaged > 0) {
        log_at(&event_keys_damaged, log_integer("records", (int64_t)content.damaged));
    }
    key_progress_show(&writer->progress, window->last_order, true);
    key_file_content_done(&content);
    return outcome;
}

enum outcome key_writer_add(struct key_writer *writer, struct work_list *batch,
                            const struct key_change *change, struct event *event,
                            struct error *ret_error)
{
    struct key_write *write = malloc(sizeof(*write));
    if (write == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory to write an Idempotency-Key");
    }
    *write = (struct key_write){.change = *change, .event = event, .is_awaited = event != NULL};
    if (event != NULL) {
        write->bytes = event->body_length;
        atomic_fetch_add(&writer->pending, 1);
        atomic_fetch_add(&writer->pending_bytes, write->bytes);
    }
    STAILQ_INSERT_TAIL(batch, &write->item, next);
    return OUTCOME_OK;
}

/* Their events were handed on. */
static void free_writes(struct work_list *batch)
{
    struct work_item *item = NULL;
    while ((item = work_list_take(batch)) != NULL) {
        free(item); /* the first member of a write */
    }
}

static void refuse_rest(struct key_writer *writer, struct work_list *batch)
{
    struct work_list events = STAILQ_HEAD_INITIALIZER(events);
    const struct work_item *item = NULL;
    STAILQ_FOREACH(item, batch, next)
    {
        struct event *event = ((const struct key_write *)item)->event;
        if (event != NULL) {
            event->outcome = EVENT_DRAINING;
            STAILQ_INSERT_TAIL(&events, &event->item, next);
        }
    }
    free_writes(batch);
    worker_push(publisher_completed(writer->publisher), &events);
}

void key_writer_submit(struct key_writer *writer, struct work_list *batch)
{
    if (!STAILQ_EMPTY(batch)) {
        worker_push(&writer->worker, batch);
    }
    if (worker_has_ended(&writer->worker)) {
        struct work_list rest;
        worker_take_all(&writer->worker, &rest);
        refuse_rest(writer, &rest);
    }
}

static enum outcome write_list(struct key_writer *writer, const struct work_list *list,
                               struct error *ret_error)
{
    struct key_change changes[CHANGES_AT_ONCE];
    enum outcome outcome =
        key_file_is_open(&writer->file) ? OUTCOME_OK : key_file_create(&writer->file, ret_error);
    size_t count = 0;
    const struct work_item *item = NULL;
    STAILQ_FOREACH(item, list, next)
    {
        if (outcome == OUTCOME_OK && count == CHANGES_AT_ONCE) {
            outcome = key_file_write(&writer->file, changes, count, ret_error);
            count = 0;
        }
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
        changes[count++] = ((const struct key_write *)item)->change;
    }
    return outcome == OUTCOME_OK ? key_file_write(&writer->file, changes, count, ret_error)
                                 : outcome;
}

/* From now on the broker may have them. How long they waited for the disk says nothing about how
 * fast the broker is. */
static void hand_on(struct key_writer *writer, const struct work_list *batch)
{
    struct work_list events = STAILQ_HEAD_INITIALIZER(events);
    struct work_item *item = NULL;
    uint64_t now_us = clock_monotonic_us();
    STAILQ_FOREACH(item, batch, next)
    {
        struct key_write *write = (struct key_write *)item;
        if (write->event != NULL) {
            write->event->accepted_us = now_us;
            STAILQ_INSERT_TAIL(&events, &write->event->item, next);
            write->event = NULL;
        }
    }
    worker_push(publisher_worker(writer->publisher), &events);
}

static uint64_t greatest_order(const struct work_list *list, uint64_t least)
{
    uint64_t greatest = least;
    const struct work_item *item = NULL;
    STAILQ_FOREACH(item, list, next)
    {
        const struct key_write *write = (const struct key_write *)item;
        if (write->is_awaited && write->change.record.order > greatest) {
            greatest = write->change.record.order;
        }
    }
    return greatest;
}

static uint64_t tried(const struct key_writer *writer)
{
    return atomic_load(&writer->progress.tried);
}

/* All up to this order is synced now, or was refused. */
static void show_progress(struct key_writer *writer, uint64_t order, bool is_synced)
{
    key_progress_show(&writer->progress, order, is_synced);
    worker_wake(publisher_completed(writer->publisher));
}

static enum outcome sync_up_to(struct key_writer *writer, uint64_t order, struct error *ret_error)
{
    static const struct error none = {.text = ""};
    uint64_t begin_us = clock_monotonic_us();
    enum outcome outcome = key_file_sync(&writer->file, ret_error);
    metric_observe_us(&writer->metrics.sync_duration, clock_monotonic_us() - begin_us);
    if (outcome == OUTCOME_OK) {
        backoff_reset(&writer->backoff);
        record_trouble(writer, &none);
    }
    show_progress(writer, order, outcome == OUTCOME_OK);
    return outcome;
}

/* What was written may be lost after a failed sync, so it is written again. */
static enum outcome recover(struct key_writer *writer, struct error *ret_error)
{
    if (STAILQ_EMPTY(&writer->unsynced)) {
        return OUTCOME_OK;
    }
    enum outcome outcome = write_list(writer, &writer->unsynced, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = sync_up_to(writer, tried(writer), ret_error);
    }
    if (outcome == OUTCOME_OK) {
        free_writes(&writer->unsynced);
    }
    return outcome;
}

/* Takes a batch that was written. */
static enum outcome sync_batch(struct key_writer *writer, struct work_list *batch,
                               struct error *ret_error)
{
    uint64_t order = greatest_order(batch, tried(writer));
    enum outcome outcome =
        order > tried(writer) ? sync_up_to(writer, order, ret_error) : OUTCOME_OK;
    if (outcome == OUTCOME_OK) {
        free_writes(batch);
    } else {
        STAILQ_CONCAT(&writer->unsynced, batch);
    }
    return outcome;
}

/* Returns whether what is written now counts. Looking costs so little that there is no backoff. */
static bool look(struct key_writer *writer)
{
    struct error error = {.text = ""};
    bool is_in_place = key_file_in_place(&writer->file, &error) == OUTCOME_OK;
    bool was_in_place = writer->displaced.text[0] == '\0'; /* only this thread writes it */
    if (is_in_place && was_in_place) {
        return true;
    }
    pthread_mutex_lock(&writer->lock);
    writer->displaced = error;
    pthread_mutex_unlock(&writer->lock);
    /* One line for it, also where what is removed is replaced a moment later. That it is over a
     * sync has to say, if there is one to come. */
    bool is_new = is_in_place ? STAILQ_EMPTY(&writer->unsynced) : was_in_place;
    if (is_new) {
        record_trouble(writer, &error);
    }
    return is_in_place;
}

/* Some of a batch that was tried may be in the file, although its events are refused. So its places
 * are to become empty, before they hold other keys. What is to be emptied anyway, or has an
 * outcome, waits too: no more than one change for each place. */
static void keep_for_later(struct key_writer *writer, struct work_list *batch, bool was_tried)
{
    struct work_list events = STAILQ_HEAD_INITIALIZER(events);
    struct work_item *item = NULL;
    while ((item = work_list_take(batch)) != NULL) {
        struct key_write *write = (struct key_write *)item;
        bool is_refused = write->event != NULL;
        if (is_refused) {
            write->event->outcome = EVENT_KEYS_UNAVAILABLE;
            STAILQ_INSERT_TAIL(&events, &write->event->item, next);
            *write = (struct key_write){.change.place = write->change.place};
        }
        if (is_refused && !was_tried) {
            free(write);
        } else {
            STAILQ_INSERT_TAIL(&writer->unsynced, &write->item, next);
        }
    }
    worker_push(publisher_completed(writer->publisher), &events);
}

static void store(struct key_writer *writer, struct work_list *batch)
{
    struct error error = {.text = ""};
    bool is_in_place = look(writer);
    if (STAILQ_EMPTY(batch) && STAILQ_EMPTY(&writer->unsynced)) {
        return;
    }
    bool is_due = is_in_place && clock_monotonic_ms() >= writer->write_at_ms;
    enum outcome outcome = is_due ? recover(writer, &error) : OUTCOME_BUSY;
    bool is_tried = outcome == OUTCOME_OK;
    if (is_tried) {
        outcome = write_list(writer, batch, &error);
    }
    if (outcome == OUTCOME_OK) {
        hand_on(writer, batch);
        outcome = sync_batch(writer, batch, &error);
    } else {
        show_progress(writer, greatest_order(batch, tried(writer)), false);
        keep_for_later(writer, batch, is_tried);
    }
    if (outcome != OUTCOME_OK && is_due) {
        writer->write_at_ms = clock_monotonic_ms() + backoff_next_ms(&writer->backoff) + 1;
        record_trouble(writer, &error);
    }
}

/* What is not synced is tried again also where nothing arrives: a client was told that it may be
 * saved. While the file is not in its place there is nothing to try, only to look. */
static void wait_for_work(struct key_writer *writer)
{
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t wait_ms = LONGEST_WAIT_MS;
    bool is_in_place = writer->displaced.text[0] == '\0';
    if (!STAILQ_EMPTY(&writer->unsynced) && is_in_place && writer->write_at_ms < now_ms + wait_ms) {
        wait_ms = writer->write_at_ms > now_ms ? writer->write_at_ms - now_ms : 0;
    }
    worker_wait(&writer->worker, (int)wait_ms);
}

static size_t count_events(const struct work_list *batch, size_t *ret_bytes)
{
    size_t count = 0;
    const struct work_item *item = NULL;
    *ret_bytes = 0;
    STAILQ_FOREACH(item, batch, next)
    {
        const struct key_write *write = (const struct key_write *)item;
        count += write->is_awaited;
        *ret_bytes += write->bytes;
    }
    return count;
}

static void run(void *argument)
{
    struct key_writer *writer = argument;
    bool goes_on = true;
    do {
        /* Asked first: what has arrived before the stop is still written. */
        goes_on = worker_begin_turn(&writer->worker);
        struct work_list batch;
        worker_take_all(&writer->worker, &batch);
        size_t bytes = 0;
        size_t events = count_events(&batch, &bytes);
        store(writer, &batch);
        atomic_fetch_sub(&writer->pending, events);
        atomic_fetch_sub(&writer->pending_bytes, bytes);
        wait_for_work(writer);
    } while (goes_on);
}

enum outcome key_writer_start(struct key_writer *writer, struct publisher *publisher,
                              struct error *ret_error)
{
    writer->publisher = publisher;
    return worker_start(&writer->worker, "keys", run, writer, ret_error);
}

enum key_sync key_writer_sync_of(const struct key_writer *writer, uint64_t order)
{
    return key_progress_of(&writer->progress, order);
}

bool key_writer_is_in_place(struct key_writer *writer, struct error *ret_reason)
{
    pthread_mutex_lock(&writer->lock);
    struct error displaced = writer->displaced;
    pthread_mutex_unlock(&writer->lock);
    if (displaced.text[0] == '\0') {
        return true;
    }
    *ret_reason = displaced;
    return false;
}

size_t key_writer_pending(const struct key_writer *writer)
{
    return atomic_load(&writer->pending);
}

size_t key_writer_pending_bytes(const struct key_writer *writer)
{
    return atomic_load(&writer->pending_bytes);
}

struct worker *key_writer_worker(struct key_writer *writer)
{
    return &writer->worker;
}

void key_writer_free(struct key_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    free_writes(&writer->unsynced);
    key_file_done(&writer->file);
    worker_done(&writer->worker);
    pthread_mutex_destroy(&writer->lock);
    free(writer);
}

#define ROW(...) METRIC_ROW(struct key_writer_metrics, __VA_ARGS__)
METRIC_TABLE(append_metrics, struct key_writer_metrics, KEY_WRITER_METRICS(ROW))

void key_writer_append_metrics(struct key_writer *writer, struct buffer *text)
{
    append_metrics(text, &writer->metrics);
}
