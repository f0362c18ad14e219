/* The acceptor does what all endpoints share that accept events: it makes an event of a request,
 * hands it over to the publisher, or first to the key writer, and makes a reply of its outcome.
 * HTTP thread.
 *
 * routes.c asks acceptor_admits() before an endpoint looks at the request. The endpoint then calls
 *
 *     acceptor_begin()    for an event with its times and its id
 *     acceptor_accept()   when it has written the body
 *
 * Where the first returns NULL, the request has its reply already. An endpoint that refuses the
 * request after acceptor_begin() replies itself, and frees the event. */
#pragma once

#include "common/base/message_id.h"
#include "common/http/http_server.h"
#include "user-service/admission.h"
#include "user-service/event_clock.h"
#include "user-service/key_writer.h"
#include "user-service/reply.h"

/* How to add a metric is said in common/metrics/metrics.h. */
#define ACCEPTOR_METRICS(METRIC)                                                                   \
    METRIC(repeated, COUNTER, "user_service_repeated_keys_total",                                  \
           "Saves that were answered as the first with their Idempotency-Key.")                    \
    METRIC(remembered, GAUGE, "user_service_idempotency_keys",                                     \
           "Idempotency-Keys that are remembered, without those in flight.")                       \
    METRIC(limit, GAUGE, "user_service_saves_limit", "Saves that may be under way at once, now.")

struct acceptor {
    const struct settings *settings;
    struct publisher *publisher;
    struct key_writer *key_writer;   /* NULL: keys are in memory only */
    struct message_id_generator ids; /* endpoints may take ids from it, too */
    struct event_clock clock;        /* of the events */
    enum event_type last_type;       /* of the event before */
    struct work_list outgoing;       /* accepted in this turn of the loop */
    struct work_list to_write;       /* what the file of the keys is to hold, also of this turn */
    size_t claimed;                  /* events that have claimed a key, and are not finished */
    struct event_queue unsynced;     /* completed, and their keys are not on disk yet */
    struct event_queue parked;       /* accepted and not answered */
    struct admission admission;
    unsigned refused_since_start; /* for want of room */
    struct key_window keys;
    ACCEPTOR_METRICS(METRIC_MEMBER)
};

/* Borrows everything. The key writer may be NULL. */
void acceptor_init(struct acceptor *acceptor, const struct settings *settings,
                   struct publisher *publisher, struct key_writer *key_writer);
/* Restores what the file of the keys holds, if there is a key writer. To be called before any
 * thread is started. INVALID: the file needs an operator. */
MUST_CHECK enum outcome acceptor_restore(struct acceptor *acceptor, struct error *ret_error);
/* To be called when no request is left, and the publisher, the outbox and the key writer have
 * stopped. */
void acceptor_done(struct acceptor *acceptor);

/* Returns whether there is room for an event of the size of the request's body. False: the request
 * has its reply. */
MUST_CHECK bool acceptor_admits(struct acceptor *acceptor, const struct asker *asker);

/* Returns an owned event without a body. The id is the request's Idempotency-Key, or a new one. */
MUST_CHECK struct event *acceptor_begin(struct acceptor *acceptor, const struct asker *asker,
                                        enum event_type type);

/* Takes the event. Its request is answered at once if the Idempotency-Key asks for that, and
 * otherwise when the outcome of the event is known. */
void acceptor_accept(struct acceptor *acceptor, struct event *event);

/* To be called after each turn of the loop. Hands over the events that were accepted in it. */
void acceptor_submit(struct acceptor *acceptor);

/* Replies to requests whose events are late beyond every deadline. To be called at least once a
 * second. */
void acceptor_give_up_late(struct acceptor *acceptor);

/* To be called when the publisher, the outbox or the key writer has completed events, or keys are
 * on disk. Replies to their requests. */
void acceptor_take_completed(struct acceptor *acceptor);

/* Appends its metrics for GET /metrics. */
void acceptor_append_metrics(struct acceptor *acceptor, struct buffer *text);
