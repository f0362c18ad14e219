/* What the consumer tells other threads: its state for /readyz, and its metrics. */
#pragma once

#include "common/error.h"
#include "common/metrics.h"

#include <pthread.h>
#include <stdbool.h>

enum {
    DEAD_LETTER_REASONS = 7, /* those of user_event.h and of handle_user_saved.c, and "other" */
    CONSUMER_METRIC_ROWS = 12 + DEAD_LETTER_REASONS,
};

struct consumer_status {
    atomic_bool connected;
    atomic_bool paused;      /* the store cannot take anything now */
    atomic_bool stalled;     /* poison messages without a confirmed copy hold everything up */
    pthread_mutex_t lock;    /* guards the texts */
    struct error last_error; /* of the consuming connection */
    struct error trouble;    /* of the dead letters, while stalled */
    struct error pause;      /* of the store, while paused */

    metric_counter handled, duplicate, bare, dead;
    metric_counter sessions_opened;
    metric_counter redelivered;
    struct metric_histogram ack_latency;
    metric_counter dead_letters[DEAD_LETTER_REASONS];
    metric_gauge dead_letters_pending;
    metric_gauge consuming, broker_connected, store_paused;
    metric_counter reconnects;
};

void consumer_status_init(struct consumer_status *status);
void consumer_status_done(struct consumer_status *status);

/* The consumer's thread. */
void consumer_status_connected(struct consumer_status *status);
void consumer_status_disconnected(struct consumer_status *status, const struct error *error);
void consumer_status_stalled(struct consumer_status *status, bool stalled);
/* `why` is NULL when it goes on. */
void consumer_status_paused(struct consumer_status *status, const struct error *why);
void consumer_status_set_trouble(struct consumer_status *status, const char *text);
void consumer_status_count_dead_letter(struct consumer_status *status, const char *reason);

/* Why the last connection was lost, "" where none was. Any thread. */
void consumer_status_last_error(struct consumer_status *status, struct error *ret_error);
/* Why the dead letters do not get through, "" where that is not known. Any thread. */
void consumer_status_trouble(struct consumer_status *status, struct error *ret_error);

/* Why the store takes nothing, "" where it does. Any thread. */
void consumer_status_pause(struct consumer_status *status, struct error *ret_error);

/* Any thread. */
void consumer_status_metric_rows(const struct consumer_status *status,
                                 struct metric_row rows[CONSUMER_METRIC_ROWS]);
