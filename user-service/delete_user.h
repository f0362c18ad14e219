/* DELETE /users/{id} accepts the event that this user is deleted. HTTP thread.
 *
 * The id is the decoded end of the path, and may be any id that a saved user can have. It is always
 * sent as a string: to the session-service the id 7 and the id "7" are one user. The endpoint does
 * not read the body of the request. */
#pragma once

#include "user-service/acceptor.h"

/* How to add a metric is said in common/metrics/metrics.h. */
#define DELETE_USER_METRICS(METRIC)                                                                \
    REPLY_METRIC(METRIC, "user_service_deletions_total",                                           \
                 "Deletion requests by what became of them.")

struct delete_user {
    struct acceptor *acceptor;
    struct endpoint endpoint;
    DELETE_USER_METRICS(METRIC_MEMBER)
};

/* Borrows the acceptor; the endpoint must stay where it is. */
void delete_user_init(struct delete_user *delete_user, struct acceptor *acceptor);

/* Handles the route. */
void delete_user_handle(struct http_request *request, struct delete_user *delete_user);

/* Appends its metrics for GET /metrics. */
void delete_user_append_metrics(const struct delete_user *delete_user, struct buffer *text);
