/* The only place that maps what became of a save to an HTTP status and body. */
#pragma once

#include "common/http_server.h"
#include "common/metrics.h"
#include "user-service/event.h"

enum {
    REPLY_RETRY_AFTER_S = 1,
    REPLY_INVALID = EVENT_OUTCOMES, /* what becomes of a request that never became a save */
};

/* How to add a metric is said in common/metrics.h. */
#define REPLY_METRICS(METRIC)                                                                      \
    METRIC(saves, COUNTERS("outcome", EVENT_OUTCOMES_AND_NAMES(EVENT_OUTCOME_NAME) "invalid"),     \
           "user_service_saves_total", "Save requests by what became of them.")

struct reply_metrics {
    REPLY_METRICS(METRIC_MEMBER)
};

/* Replies to a save that went to the publisher, and counts it. Borrows the save. HTTP thread. */
void reply_to_save(struct http_request *request, const struct event *save,
                   struct reply_metrics *metrics);

/* As to one with the outcome EVENT_UNKNOWN: reads nothing that another thread may write. */
void reply_to_unknown_save(struct http_request *request, const struct event *save,
                           struct reply_metrics *metrics);

/* Refuses a request that never became a save. */
void reply_refused(struct http_request *request, enum event_outcome outcome,
                   struct reply_metrics *metrics);
void reply_malformed(struct http_request *request, const char *name, const char *detail,
                     struct reply_metrics *metrics);
void reply_key_reused(struct http_request *request, struct reply_metrics *metrics);
void reply_wrong_media_type(struct http_request *request, struct reply_metrics *metrics);
void reply_large_user(struct http_request *request, size_t bytes, size_t bytes_max,
                      struct reply_metrics *metrics);
void reply_invalid_user(struct http_request *request, const struct user_problems *problems,
                        struct reply_metrics *metrics);

void reply_append_metrics(const struct reply_metrics *metrics, struct buffer *text);
