/* The outbox's thread: one turn takes what has arrived, commits one batch, and forwards. */
#include "user-service/outbox_internal.h"

#include "user-service/log_events.h"

#include "common/base/clock.h"

#include <stdlib.h>

enum {
    LONGEST_WAIT_MS = 1000,
    RETRY_BASE_MS = 100,
    RETRY_CAP_MS = 5000,
    WRITE_OUT_CAP_MS = 60000, /* each attempt may write as much as the outbox holds */
};

enum outcome outbox_create(const struct settings *settings, const struct state_directory *directory,
                           struct outbox **ret_outbox, struct error *ret_error)
{
    struct outbox *outbox = calloc(1, sizeof(*outbox));
    if (outbox == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the outbox");
    }
    outbox->settings = settings;
    STAILQ_INIT(&outbox->at_hand);
    pthread_mutex_init(&outbox->lock, NULL);
    backoff_init(&outbox->forward_backoff, RETRY_BASE_MS, RETRY_CAP_MS, clock_monotonic_us());
    backoff_init(&outbox->store_backoff, RETRY_BASE_MS, RETRY_CAP_MS, clock_monotonic_us());
    backoff_init(&outbox->write_out_backoff, RETRY_BASE_MS, WRITE_OUT_CAP_MS, clock_monotonic_us());
    const struct outbox_store_options options = {
        .directory = directory->path,
        .lock = &directory->lock,
        .bytes_max = settings->outbox_max_bytes,
        .free_bytes_min = settings->outbox_min_free_bytes,
    };
    enum outcome outcome = worker_init(&outbox->worker, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = outbox_store_create(&options, &outbox->store, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = outbox_store_open(outbox->store, ret_error);
        if (outcome != OUTCOME_OK && outcome != OUTCOME_INVALID) {
            log_at(&event_outbox_unavailable, log_string("error", ret_error->text));
            outbox->trouble = *ret_error;
            outcome = OUTCOME_OK;
        }
    }
    if (outcome != OUTCOME_OK) {
        outbox_free(outbox);
        return outcome;
    }
    *ret_outbox = outbox;
    return OUTCOME_OK;
}

static void log_content(struct outbox_store *store)
{
    struct error error;
    struct outbox_store_content content = {0};
    enum outcome outcome = outbox_store_open(store, &error);
    outbox_store_content(store, &content);
    if (outcome != OUTCOME_OK) {
        log_at(&event_outbox_unavailable, log_string("error", error.text));
    } else if (content.events > 0) {
        log_at(&event_outbox_left_behind, log_integer("saves", content.events),
               log_string("error", "with --outbox off they are not forwarded"));
    }
}

void outbox_log_left_behind(struct state_directory *directory)
{
    struct error error;
    struct outbox_store *store = NULL;
    const struct outbox_store_options options = {.directory = directory->path};
    if (outbox_store_create(&options, &store, &error) == OUTCOME_OK && outbox_store_exists(store) &&
        state_directory_hold(directory, &error) == OUTCOME_OK) {
        log_content(store);
    }
    outbox_store_free(store);
    state_directory_release(directory);
}

struct worker *outbox_worker(struct outbox *outbox)
{
    return &outbox->worker;
}

static void wait_for_work(struct outbox *outbox)
{
    uint64_t wait = LONGEST_WAIT_MS;
    if (outbox->content.events > 0 && outbox->forward_at_ms > outbox->now_ms &&
        outbox->forward_at_ms - outbox->now_ms < wait) {
        wait = outbox->forward_at_ms - outbox->now_ms;
    }
    worker_wait(&outbox->worker, (int)wait);
}

static void run(void *argument)
{
    struct outbox *outbox = argument;
    bool goes_on = true;
    do {
        /* Asked first: what has arrived before the stop is still stored. */
        goes_on = worker_begin_turn(&outbox->worker);
        outbox->now_ms = clock_monotonic_ms();
        outbox_take_arriving(outbox);
        outbox_store_batch(outbox);
        outbox_forward(outbox);
        outbox_show_state(outbox);
        wait_for_work(outbox);
    } while (goes_on);
    outbox_look_last(outbox);
}

enum outcome outbox_start(struct outbox *outbox, struct publisher *publisher,
                          struct error *ret_error)
{
    outbox->publisher = publisher;
    return worker_start(&outbox->worker, "outbox", run, outbox, ret_error);
}

void outbox_end_forwarding(struct outbox *outbox)
{
    outbox->forwarding_ended = true;
}

void outbox_free(struct outbox *outbox)
{
    if (outbox == NULL) {
        return;
    }
    outbox_store_free(outbox->store);
    worker_done(&outbox->worker);
    pthread_mutex_destroy(&outbox->lock);
    free(outbox);
}
