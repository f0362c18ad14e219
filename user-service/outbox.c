/* The outbox's thread: one turn takes what has arrived, commits one batch, and forwards. */
#include "user-service/outbox.h"

#include "user-service/outbox_store.h"
#include "user-service/publisher.h"

#include "common/backoff.h"
#include "common/clock.h"
#include "common/log.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

enum {
    LONGEST_WAIT_MS = 1000,
    RETRY_BASE_MS = 100,
    RETRY_CAP_MS = 5000,
};

struct outbox_metrics {
    metric_gauge saves, bytes, oldest_age_s, unreadable;
    metric_counter stored, forwarded, refused;
};

struct outbox {
    const struct settings *settings;
    struct publisher *publisher;
    struct handover arriving;
    pthread_t thread;
    bool started;
    atomic_bool stopping, forwarding_ended;
    atomic_uint_least64_t turns;

    /* The thread's own. */
    struct outbox_store *store;
    struct handover_list at_hand;          /* requests' saves, to be stored */
    int64_t settled[OUTBOX_FORWARDED_MAX]; /* confirmed, to be deleted */
    size_t settled_count;
    size_t forwarded;                          /* at the publisher */
    int64_t cursor;                            /* the last that was forwarded */
    int64_t unreadable_up_to, unreadable_rows; /* the last row that is no save, how many */
    bool forward_again;                        /* one came back unconfirmed */
    uint64_t forward_at_ms, store_at_ms;       /* not before */
    struct backoff forward_backoff, store_backoff;
    uint64_t now_ms;

    pthread_mutex_t lock; /* guards what follows */
    struct outbox_store_content content;
    struct error trouble; /* "" where saves are taken */

    struct outbox_metrics metrics;
};

enum outcome outbox_create(const struct settings *settings, const char *directory,
                           struct outbox **ret_outbox, struct error *ret_error)
{
    struct outbox *outbox = calloc(1, sizeof(*outbox));
    if (outbox == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the outbox");
    }
    outbox->settings = settings;
    outbox->arriving.wake_descriptor = -1;
    pthread_mutex_init(&outbox->lock, NULL);
    backoff_init(&outbox->forward_backoff, RETRY_BASE_MS, RETRY_CAP_MS);
    backoff_init(&outbox->store_backoff, RETRY_BASE_MS, RETRY_CAP_MS);
    const struct outbox_store_options options = {
        .directory = directory,
        .bytes_max = settings->outbox_bytes_max,
        .free_bytes_min = settings->outbox_free_bytes_min,
    };
    enum outcome outcome = handover_init(&outbox->arriving, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = outbox_store_create(&options, &outbox->store, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = outbox_store_open(outbox->store, ret_error);
        if (outcome != OUTCOME_OK && outcome != OUTCOME_INVALID) {
            log_at(LOG_LEVEL_ERROR, "outbox.unavailable", log_string("error", ret_error->text));
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

struct handover *outbox_arriving(struct outbox *outbox)
{
    return &outbox->arriving;
}

static uint32_t wait_ms(struct backoff *backoff)
{
    uint32_t number = 0;
    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != (ssize_t)sizeof(number)) {
        number = (uint32_t)clock_monotonic_us(); /* any spread will do for a jitter */
    }
    return backoff_next_ms(backoff, number) + 1;
}

static void take_forwarded(struct outbox *outbox, struct save *save)
{
    outbox->forwarded--;
    if (save->outcome == SAVE_CONFIRMED) {
        outbox->settled[outbox->settled_count++] = save->outbox_sequence;
        metric_add(&outbox->metrics.forwarded, 1);
        backoff_reset(&outbox->forward_backoff);
    } else {
        outbox->forward_again = true;
    }
    save_free(save);
}

static void take_arriving(struct outbox *outbox)
{
    struct handover_list batch = handover_take_all(&outbox->arriving);
    struct handover_node *node = NULL;
    while ((node = handover_list_take(&batch)) != NULL) {
        struct save *save = (struct save *)node;
        if (save->outbox_sequence != 0) {
            take_forwarded(outbox, save);
        } else {
            handover_list_append(&outbox->at_hand, node);
        }
    }
}

static void note_trouble(struct outbox *outbox, const struct error *error)
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
        log_at(LOG_LEVEL_ERROR, "outbox.refuses", log_string("error", error->text));
    } else if (had) {
        log_event(LOG_LEVEL_INFO, "outbox.takes", NULL, 0);
    }
}

/* What the broker itself has said, or not said, of a save stays true; the others have nowhere to
 * go. */
static enum save_outcome refusal(const struct save *save)
{
    switch (save->outcome) {
    case SAVE_NACKED:
    case SAVE_UNROUTABLE:
    case SAVE_UNKNOWN:
        return save->outcome;
    case SAVE_CONFIRMED:
    case SAVE_DISCONNECTED:
    case SAVE_BLOCKED:
    case SAVE_OVERLOADED:
    case SAVE_DRAINING:
    case SAVE_STORED:
    case SAVE_OUTBOX_FULL:
    case SAVE_OUTCOMES:
        break;
    }
    return save->published ? SAVE_UNKNOWN : SAVE_OUTBOX_FULL;
}

static int64_t bytes_at_hand(const struct outbox *outbox)
{
    int64_t bytes = 0;
    for (const struct handover_node *node = outbox->at_hand.head; node != NULL; node = node->next) {
        bytes += outbox_store_bytes_of((const struct save *)node);
    }
    return bytes;
}

/* Those for which there is room; what is marked here holds only after the commit. */
static enum outcome insert_at_hand(struct outbox *outbox, struct error *ret_error)
{
    struct error full;
    bool has_room_for_all = outbox_store_has_room(outbox->store, bytes_at_hand(outbox), &full);
    for (struct handover_node *node = outbox->at_hand.head; node != NULL; node = node->next) {
        struct save *save = (struct save *)node;
        if (!has_room_for_all &&
            !outbox_store_has_room(outbox->store, outbox_store_bytes_of(save), &full)) {
            continue;
        }
        enum outcome outcome = outbox_store_insert(outbox->store, save, ret_error);
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
        save->is_stored = true;
    }
    return OUTCOME_OK;
}

enum commit { COMMITTED, NOT_COMMITTED, COMMIT_IN_DOUBT };

static enum commit commit_batch(struct outbox *outbox, struct error *ret_error)
{
    enum outcome outcome = outbox_store_begin(outbox->store, ret_error);
    for (size_t i = 0; outcome == OUTCOME_OK && i < outbox->settled_count; i++) {
        outcome = outbox_store_delete(outbox->store, outbox->settled[i], ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = insert_at_hand(outbox, ret_error);
    }
    enum commit commit = NOT_COMMITTED;
    if (outcome == OUTCOME_OK) {
        outcome = outbox_store_commit(outbox->store, ret_error);
        commit = outcome == OUTCOME_OK     ? COMMITTED
                 : outcome == OUTCOME_BUSY ? NOT_COMMITTED
                                           : COMMIT_IN_DOUBT;
    }
    if (outcome != OUTCOME_OK) {
        outbox_store_rollback(outbox->store, outcome);
    }
    return commit;
}

static enum save_outcome outcome_of(const struct save *save, enum commit commit)
{
    if (!save->is_stored || commit == NOT_COMMITTED) {
        return refusal(save);
    }
    return commit == COMMITTED ? SAVE_STORED : SAVE_UNKNOWN;
}

static void answer_at_hand(struct outbox *outbox, enum commit commit)
{
    for (struct handover_node *node = outbox->at_hand.head; node != NULL; node = node->next) {
        struct save *save = (struct save *)node;
        save->outcome = outcome_of(save, commit);
        metric_add(
            save->outcome == SAVE_STORED ? &outbox->metrics.stored : &outbox->metrics.refused, 1);
    }
    handover_push(publisher_completed(outbox->publisher), &outbox->at_hand);
}

static void store_batch(struct outbox *outbox)
{
    if (outbox->at_hand.head == NULL && outbox->settled_count == 0) {
        return;
    }
    struct error error = {.text = ""};
    bool is_due = outbox->now_ms >= outbox->store_at_ms;
    enum commit commit = is_due ? commit_batch(outbox, &error) : NOT_COMMITTED;
    if (commit == COMMITTED) {
        outbox->settled_count = 0;
        backoff_reset(&outbox->store_backoff);
    } else if (is_due) {
        outbox->store_at_ms = outbox->now_ms + wait_ms(&outbox->store_backoff);
        note_trouble(outbox, &error);
    }
    answer_at_hand(outbox, commit);
}

static bool may_forward(struct outbox *outbox)
{
    struct error reason;
    if (outbox->forwarding_ended || outbox->now_ms < outbox->store_at_ms ||
        publisher_get_state(outbox->publisher, &reason) != PUBLISHER_CONNECTED) {
        return false;
    }
    if (outbox->forward_again) {
        if (outbox->forwarded > 0) {
            return false;
        }
        outbox->forward_again = false;
        outbox->cursor = 0;
        outbox->forward_at_ms = outbox->now_ms + wait_ms(&outbox->forward_backoff);
    }
    return outbox->now_ms >= outbox->forward_at_ms;
}

/* So many at once that the publisher is kept busy, and so few that requests' saves are not behind
 * all of them. */
static size_t forwarded_max(const struct outbox *outbox)
{
    int64_t share = outbox->settings->in_flight_max / 4;
    return share < 1 ? 1 : share > OUTBOX_FORWARDED_MAX ? OUTBOX_FORWARDED_MAX : (size_t)share;
}

/* Rows are met in their order, and again after each one that came back. */
static void pass_over(struct outbox *outbox, int64_t sequence, const struct error *why)
{
    if (sequence > outbox->unreadable_up_to) {
        outbox->unreadable_up_to = sequence;
        metric_set(&outbox->metrics.unreadable, ++outbox->unreadable_rows);
        log_at(LOG_LEVEL_ERROR, "outbox.unreadable", log_string("error", why->text));
    }
}

static void forward(struct outbox *outbox)
{
    struct handover_list batch = {0};
    struct outbox_store_content content;
    outbox_store_content(outbox->store, &content);
    struct error error = {.text = ""};
    while (content.saves > 0 && may_forward(outbox) &&
           outbox->forwarded + outbox->settled_count < forwarded_max(outbox)) {
        struct outbox_store_row row;
        enum outcome outcome = outbox_store_next(outbox->store, outbox->cursor, &row, &error);
        if (outcome != OUTCOME_OK) {
            outbox_store_rollback(outbox->store, outcome);
            outbox->store_at_ms = outbox->now_ms + wait_ms(&outbox->store_backoff);
            note_trouble(outbox, &error);
            break;
        }
        if (row.sequence == 0) {
            break;
        }
        outbox->cursor = row.sequence;
        if (row.save == NULL) {
            pass_over(outbox, row.sequence, &error);
            continue;
        }
        outbox->forwarded++;
        row.save->accepted_us = clock_monotonic_us();
        handover_list_append(&batch, &row.save->node);
    }
    if (batch.head != NULL) {
        publisher_submit(outbox->publisher, &batch);
    }
}

static void show_state(struct outbox *outbox)
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
        outbox_store_has_room(outbox->store, outbox->settings->body_bytes_max, &trouble)) {
        trouble.text[0] = '\0';
    }
    note_trouble(outbox, &trouble);
}

static void wait_for_work(struct outbox *outbox)
{
    struct pollfd polled = {.fd = outbox->arriving.wake_descriptor, .events = POLLIN};
    uint64_t wait = LONGEST_WAIT_MS;
    if (outbox->content.saves > 0 && outbox->forward_at_ms > outbox->now_ms &&
        outbox->forward_at_ms - outbox->now_ms < wait) {
        wait = outbox->forward_at_ms - outbox->now_ms;
    }
    (void)poll(&polled, 1, (int)wait);
}

static void *run(void *argument)
{
    struct outbox *outbox = argument;
    (void)pthread_setname_np(pthread_self(), "outbox");
    bool stopping = false;
    do {
        /* Asked first: what has arrived before the stop is still stored. */
        stopping = outbox->stopping;
        atomic_fetch_add_explicit(&outbox->turns, 1, memory_order_relaxed);
        outbox->now_ms = clock_monotonic_ms();
        take_arriving(outbox);
        store_batch(outbox);
        forward(outbox);
        show_state(outbox);
        if (!stopping) {
            wait_for_work(outbox);
        }
    } while (!stopping);
    return NULL;
}

enum outcome outbox_start(struct outbox *outbox, struct publisher *publisher,
                          struct error *ret_error)
{
    outbox->publisher = publisher;
    int status = pthread_create(&outbox->thread, NULL, run, outbox);
    if (status != 0) {
        return error_set_errno(ret_error, OUTCOME_TRANSIENT, status, "start the outbox's thread");
    }
    outbox->started = true;
    return OUTCOME_OK;
}

void outbox_begin_stop(struct outbox *outbox)
{
    outbox->forwarding_ended = true;
}

void outbox_stop(struct outbox *outbox)
{
    if (outbox->started) {
        outbox->forwarding_ended = true;
        outbox->stopping = true;
        handover_wake(&outbox->arriving);
        pthread_join(outbox->thread, NULL);
        outbox->started = false;
    }
}

void outbox_free(struct outbox *outbox)
{
    if (outbox == NULL) {
        return;
    }
    outbox_stop(outbox);
    outbox_store_free(outbox->store);
    handover_done(&outbox->arriving);
    pthread_mutex_destroy(&outbox->lock);
    free(outbox);
}

bool outbox_has_room(struct outbox *outbox, struct error *ret_reason)
{
    pthread_mutex_lock(&outbox->lock);
    *ret_reason = outbox->trouble;
    pthread_mutex_unlock(&outbox->lock);
    return ret_reason->text[0] == '\0';
}

const atomic_uint_least64_t *outbox_turns(const struct outbox *outbox)
{
    return &outbox->turns;
}

void outbox_metric_rows(struct outbox *outbox, struct metric_row rows[OUTBOX_METRIC_ROWS])
{
    struct outbox_metrics *metrics = &outbox->metrics;
    pthread_mutex_lock(&outbox->lock);
    struct outbox_store_content content = outbox->content;
    pthread_mutex_unlock(&outbox->lock);
    int64_t age_ms = content.oldest_ms > 0 ? (int64_t)clock_wall_ms() - content.oldest_ms : 0;
    metric_set(&metrics->saves, content.saves);
    metric_set(&metrics->bytes, content.bytes);
    metric_set(&metrics->oldest_age_s, age_ms > 0 ? age_ms / 1000 : 0);
    const struct metric_row all[OUTBOX_METRIC_ROWS] = {
        {"user_service_outbox_saves", NULL, "Saves in the outbox.", METRIC_GAUGE, &metrics->saves,
         0},
        {"user_service_outbox_bytes", NULL, "Bytes of the saves in the outbox.", METRIC_GAUGE,
         &metrics->bytes, 0},
        {"user_service_outbox_oldest_age_seconds", NULL, "Age of the oldest save in the outbox.",
         METRIC_GAUGE, &metrics->oldest_age_s, 0},
        {"user_service_outbox_unreadable_rows", NULL,
         "Rows of the outbox's file that are no saves: kept, and not forwarded.", METRIC_GAUGE,
         &metrics->unreadable, 0},
        {"user_service_outbox_stored_total", NULL, "Saves that were committed to the outbox.",
         METRIC_COUNTER, &metrics->stored, 0},
        {"user_service_outbox_forwarded_total", NULL,
         "Saves of the outbox that the broker confirmed.", METRIC_COUNTER, &metrics->forwarded, 0},
        {"user_service_outbox_refused_total", NULL, "Saves that the outbox could not take.",
         METRIC_COUNTER, &metrics->refused, 0},
    };
    memcpy(rows, all, sizeof(all));
}
