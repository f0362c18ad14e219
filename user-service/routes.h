/* The user-service's route table. */
#pragma once

#include "common/amqp/connector.h"
#include "user-service/endpoints.h"
#include "user-service/outbox.h"

/* How to add a metric is said in common/metrics/metrics.h. */
#define ROUTES_METRICS(METRIC) CONNECTOR_METRIC(METRIC, "publisher")

struct routes_metrics {
    ROUTES_METRICS(METRIC_MEMBER)
};

#define ROUTES_ENDPOINT(argument, name, ...) struct endpoint name;

/* The context of every route. Borrows what it points to. */
struct routes {
    struct acceptor acceptor;
    struct endpoint_metrics replies;
    ENDPOINTS(ROUTES_ENDPOINT, )
    struct outbox *outbox; /* NULL: none */
    struct http_server *server;
};

/* Borrows everything; the routes must stay where they are. The outbox and the key writer may be
 * NULL. The caller sets the server. */
void routes_init(struct routes *routes, const struct settings *settings,
                 struct publisher *publisher, struct outbox *outbox, struct key_writer *key_writer);
/* To be called when no request is left, and the publisher, the outbox and the key writer have
 * stopped. */
void routes_done(struct routes *routes);

extern const struct http_route routes_table[];
extern const size_t routes_count;

/* The server's callbacks; `context` is a struct routes. */
void routes_on_wake(void *context);
void routes_on_turn(void *context);

/* Returns whether a save can be accepted now. If not, the reason says why. True with a reason means
 * degraded: only the outbox takes saves. Any thread. */
bool routes_is_ready(void *context, struct error *ret_reason);
