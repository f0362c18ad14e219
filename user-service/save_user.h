/* POST /users/save: from a request to a save at the publisher, and back to a reply. HTTP thread. */
#pragma once

#include "common/http_server.h"
#include "common/message_id.h"
#include "user-service/admission.h"
#include "user-service/key_window.h"
#include "user-service/publisher.h"
#include "user-service/reply.h"

/* How to add a metric is said in common/metrics.h. */
#define SAVE_USER_METRICS(METRIC)                                                                  \
    METRIC(repeated, COUNTER, "user_service_repeated_keys_total",                                  \
           "Saves that were answered as the first with their Idempotency-Key.")                    \
    METRIC(limit, GAUGE, "user_service_saves_limit", "Saves that may be under way at once, now.")

struct save_user {
    const struct settings *settings;
    struct publisher *publisher;
    struct user_rules rules;
    struct message_id_generator ids;
    uint64_t last_occurred_at_ms;  /* none is earlier than the one before it */
    struct handover_list outgoing; /* accepted in this turn of the loop */
    struct event_queue parked;     /* accepted and not answered */
    struct admission admission;
    unsigned refused_since_start; /* for want of room */
    struct key_window keys;
    struct reply_metrics metrics;
    SAVE_USER_METRICS(METRIC_MEMBER)
};

/* Borrows everything. */
void save_user_init(struct save_user *save_user, const struct settings *settings,
                    struct publisher *publisher);
/* When no request is left, and the publisher and the outbox have stopped. */
void save_user_done(struct save_user *save_user);

/* The route. */
void save_user_handle(struct http_request *request, struct save_user *save_user);

/* After each turn of the loop: hands over what was accepted in it. */
void save_user_submit(struct save_user *save_user);

/* At least once a second: replies to those that are late beyond every deadline. */
void save_user_give_up_late(struct save_user *save_user);

/* When the publisher has completed some: replies to them. */
void save_user_take_completed(struct save_user *save_user);

/* Appends its metrics and those of the replies for GET /metrics. HTTP thread. */
void save_user_append_metrics(struct save_user *save_user, struct buffer *text);
