/* POST /users/save: reads a user, as JSON or as a form, and has its event accepted. HTTP thread. */
#pragma once

#include "user-service/acceptor.h"

/* How to add a metric is said in common/metrics/metrics.h. */
#define SAVE_USER_METRICS(METRIC)                                                                  \
    REPLY_METRIC(METRIC, "user_service_saves_total", "Save requests by what became of them.")

struct save_user {
    struct acceptor *acceptor;
    size_t body_bytes_max;
    struct user_rules rules;
    struct endpoint endpoint;
    SAVE_USER_METRICS(METRIC_MEMBER)
};

/* Borrows everything; the endpoint must stay where it is. */
void save_user_init(struct save_user *save_user, const struct settings *settings,
                    struct acceptor *acceptor);

/* The route. */
void save_user_handle(struct http_request *request, struct save_user *save_user);

/* Appends its metrics for GET /metrics. */
void save_user_append_metrics(const struct save_user *save_user, struct buffer *text);
