/* The routes that every service has: alive, ready, metrics. HTTP thread. */
#pragma once

#include "common/http/http_server.h"

enum { HTTP_METRICS_BYTES_MAX = 1024 * 1024 };

/* 200 with a copy of `text`. */
void http_reply_text(struct http_request *request, const char *content_type, const char *text);

/* A route: the process lives and its HTTP loop turns; that is all it says. */
void http_get_healthz(struct http_request *request, void *context);

/* What GET /readyz says. Of a service that is ready `reason` says what is wrong all the same, or is
 * "". `warning` says what an operator should know and what changes no verdict, or is "". Who may
 * not know them gets the verdict alone. */
void http_reply_readiness(struct http_request *request, bool is_ready, const char *reason,
                          const char *warning);

/* What GET /readyz says of a service that is ready to take over from another one. */
void http_reply_standby(struct http_request *request, const char *reason, const char *warning);

/* How to add a metric is said in common/metrics/metrics.h. */
#define LOG_METRICS(METRIC)                                                                        \
    METRIC(lost_writes, COUNTER, "log_lost_writes_total",                                          \
           "Log lines or batches that could not be written.")

struct log_metrics {
    LOG_METRICS(METRIC_MEMBER)
};

/* Appends the metrics of the server and of the log to `text`, replies with it and frees it. */
void http_reply_metrics(struct http_request *request, const struct http_server *server,
                        struct buffer *text);
