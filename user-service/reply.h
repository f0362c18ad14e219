/* The only place that maps what became of a save to an HTTP status and body. */
#pragma once

#include "common/http_server.h"
#include "common/metrics.h"
#include "user-service/save.h"

enum { REPLY_RETRY_AFTER_S = 1, REPLY_METRIC_ROWS = SAVE_OUTCOMES + 1 };

struct reply_metrics {
    metric_counter saves[SAVE_OUTCOMES];
    metric_counter invalid;
};

/* Replies to a save that went to the publisher, and counts it. Borrows the save. HTTP thread. */
void reply_to_save(struct http_request *request, const struct save *save,
                   struct reply_metrics *metrics);

/* As to one with the outcome SAVE_UNKNOWN: reads nothing that another thread may write. */
void reply_to_unknown_save(struct http_request *request, const struct save *save,
                           struct reply_metrics *metrics);

/* Refuses a request that never became a save. */
void reply_refused(struct http_request *request, enum save_outcome outcome,
                   struct reply_metrics *metrics);
void reply_malformed(struct http_request *request, const char *name, const char *detail,
                     struct reply_metrics *metrics);
void reply_key_reused(struct http_request *request, struct reply_metrics *metrics);
void reply_wrong_media_type(struct http_request *request, struct reply_metrics *metrics);
void reply_large_user(struct http_request *request, size_t bytes, size_t bytes_max,
                      struct reply_metrics *metrics);
void reply_invalid_user(struct http_request *request, const struct user_problems *problems,
                        struct reply_metrics *metrics);

void reply_metric_rows(const struct reply_metrics *metrics,
                       struct metric_row rows[REPLY_METRIC_ROWS]);
