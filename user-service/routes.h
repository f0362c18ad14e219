/* The user-service's route table. */
#pragma once

#include "common/connector.h"
#include "user-service/outbox.h"
#include "user-service/save_user.h"

/* How to add a metric is said in common/metrics.h. */
#define ROUTES_METRICS(METRIC) CONNECTOR_METRIC(METRIC, "publisher")

struct routes_metrics {
    ROUTES_METRICS(METRIC_MEMBER)
};

/* The context of every route. Borrows the server. */
struct routes {
    struct save_user save_user;
    struct outbox *outbox; /* NULL: none */
    struct http_server *server;
};

extern const struct http_route routes_table[];
extern const size_t routes_count;

/* The server's callbacks; `context` is a struct routes. */
void routes_on_wake(void *context);
void routes_on_turn(void *context);

/* Whether a save can be accepted now, and what is wrong: with a reason it is unready, or degraded
 * (only the outbox takes saves). Any thread. */
bool routes_is_ready(void *context, struct error *ret_reason);
