/* What the outbox's source files share. */
#pragma once

#include "common/base/backoff.h"
#include "user-service/outbox.h"
#include "user-service/outbox_store.h"
#include "user-service/publisher.h"

/* How to add a metric is said in common/metrics/metrics.h. */
#define OUTBOX_METRICS(METRIC)                                                                     \
    METRIC(events, GAUGE, "user_service_outbox_saves", "Saves in the outbox.")                     \
    METRIC(bytes, GAUGE, "user_service_outbox_bytes", "Bytes of the saves in the outbox.")         \
    METRIC(oldest_age_s, GAUGE, "user_service_outbox_oldest_age_seconds",                          \
           "Age of the oldest save in the outbox.")                                                \
    METRIC(unreadable, GAUGE, "user_service_outbox_unreadable_rows",                               \
           "Rows of the outbox's file that are no saves: kept, and not forwarded.")                \
    METRIC(stored, COUNTER, "user_service_outbox_stored_total",                                    \
           "Saves that were committed to the outbox.")                                             \
    METRIC(forwarded, COUNTER, "user_service_outbox_forwarded_total",                              \
           "Saves of the outbox that the broker confirmed.")                                       \
    METRIC(refused, COUNTER, "user_service_outbox_refused_total",                                  \
           "Saves that the outbox could not take.")

struct outbox_metrics {
    OUTBOX_METRICS(METRIC_MEMBER)
};

struct outbox {
    const struct settings *settings;
    struct publisher *publisher;
    struct worker worker;
    atomic_bool forwarding_ended;

    /* The thread's own. */
    struct outbox_store *store;
    struct work_list at_hand;              /* requests' events, to be stored */
    int64_t settled[OUTBOX_FORWARDED_MAX]; /* confirmed, to be deleted */
    size_t settled_count;
    size_t forwarded, forwarded_bytes;         /* at the publisher */
    int64_t cursor;                            /* the last that was forwarded */
    int64_t unreadable_up_to, unreadable_rows; /* the last row that is no event, how many */
    bool forward_again;                        /* one came back unconfirmed */
    uint64_t forward_at_ms, store_at_ms;       /* not before */
    uint64_t write_out_at_ms;                  /* not before */
    struct backoff forward_backoff, store_backoff, write_out_backoff;
    uint64_t looked_at_ms;                 /* whether the files are in place */
    bool is_written_out, write_out_failed; /* since the files were displaced */
    uint64_t now_ms;

    pthread_mutex_t lock; /* guards what follows */
    struct outbox_store_content content;
    struct error trouble; /* "" where events are taken */
    bool is_displaced;    /* the trouble is that the files were removed or replaced */

    struct outbox_metrics metrics;
};

/* outbox_events.c: takes, stores, forwards and deletes events. No function waits. */
void outbox_take_arriving(struct outbox *outbox);
void outbox_store_batch(struct outbox *outbox);
void outbox_forward(struct outbox *outbox);

/* outbox_status.c: the only ways that the trouble changes; "" for none. */
void outbox_record_trouble(struct outbox *outbox, const struct error *error);
void outbox_record_displaced(struct outbox *outbox, const struct error *error);
void outbox_show_state(struct outbox *outbox);
/* After the last turn: what the outbox holds is not lost with the process without a word. */
void outbox_look_last(struct outbox *outbox);
