/* Closed connections whose client may not have read his reply yet.
 *
 * A socket that is closed with unread bytes, or that bytes still arrive at, is reset, and the reset
 * overtakes a reply that is on its way: a client that writes all of his request first never sees
 * why it was refused. So what arrives behind the reply is read and forgotten until the client
 * closes, too, within the bounds below. One thread at a time. */
#pragma once

#include "common/base/buffer.h"
#include "common/metrics/metrics.h"

#include <stdint.h>
#include <sys/queue.h>

/* docs/http.md says what they are, and must say the same numbers. */
enum {
    HTTP_LINGER_MS = 10 * 1000,               /* of one connection, however it drips */
    HTTP_LINGER_DRAIN_MS = 1000,              /* the same while the service drains */
    HTTP_LINGER_BYTES_MAX = 16 * 1024 * 1024, /* of one connection */
    HTTP_LINGER_CONNECTIONS_MAX = 1024,
};

enum http_linger_bound { HTTP_LINGER_TIME, HTTP_LINGER_BYTES, HTTP_LINGER_CONNECTIONS };

/* How to add a metric is said in common/metrics/metrics.h. */
#define HTTP_LINGER_METRICS(METRIC)                                                                \
    METRIC(shown_count, GAUGE, "http_lingering_connections",                                       \
           "Closed connections whose clients may still be sending: they get to read their reply.") \
    METRIC(cut_off,                                                                                \
           COUNTERS("bound", [HTTP_LINGER_TIME] = "time", [HTTP_LINGER_BYTES] = "bytes",           \
                    [HTTP_LINGER_CONNECTIONS] = "connections"),                                    \
           "http_lingering_cut_off_total", "Lingering connections that were reset at a bound.")

struct http_lingering;

struct http_linger {
    int epoll_descriptor; /* -1: nothing lingers, each connection is closed at once */
    size_t count;
    TAILQ_HEAD(http_lingering_list, http_lingering) list; /* the oldest first */
    HTTP_LINGER_METRICS(METRIC_MEMBER)
};

/* An `http_linger` that is zeroed but for an epoll descriptor of -1 is as good as done. */
MUST_CHECK enum outcome http_linger_init(struct http_linger *linger, struct error *ret_error);

/* Closes what lingers. From then on nothing does. Safe when repeated. */
void http_linger_done(struct http_linger *linger);

/* Ends what is sent to this client, and listens to him on a descriptor of its own: the caller keeps
 * his and closes it. Does nothing where the client has closed already, or no descriptor is free. */
void http_linger_begin(struct http_linger *linger, int descriptor, uint64_t now_ms);

/* Reads what has arrived; does not block. Call it where `epoll_descriptor` is readable. */
void http_linger_read(struct http_linger *linger);

/* Cuts off those that linger for longer than `timeout_ms`. */
void http_linger_sweep(struct http_linger *linger, uint64_t now_ms, uint64_t timeout_ms);

/* Cuts off the one that lingers for longest; false: none does. */
bool http_linger_give_up_one(struct http_linger *linger);

/* Appends its metrics for GET /metrics. Any thread. */
void http_linger_append_metrics(const struct http_linger *linger, struct buffer *text);
