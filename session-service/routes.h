/* The session-service's route table. Handlers run on the HTTP loop's thread. */
#pragma once

#include "session-service/consumer.h"
#include "session-service/sessions.h"

#include "common/amqp/connector.h"
#include "common/http/http_server.h"

/* How to add a metric is said in common/metrics/metrics.h. */
#define ROUTES_METRICS(METRIC)                                                                     \
    CONNECTOR_METRIC(                                                                              \
        METRIC, [CONNECTION_CONSUMER] = "consumer", [CONNECTION_DEAD_LETTERS] = "dead-letters")

enum connection_name { CONNECTION_CONSUMER, CONNECTION_DEAD_LETTERS };

struct routes_metrics {
    ROUTES_METRICS(METRIC_MEMBER)
};

/* The handlers' context. All borrowed. */
struct routes {
    struct consumer *consumer;
    struct consumer_status *status;
    struct sessions *sessions;
    struct http_server *server; /* set once the server is created, before it starts */
};

/* Sends the replies that are ready. The HTTP loop's thread. */
void routes_on_wake(void *context);

extern const struct http_route routes_table[];
extern const size_t routes_count;

/* Returns whether the service can do its work now. If not, the reason says why. Any thread. */
bool routes_is_ready(void *context, struct error *ret_reason);
/* Returns whether it stands by. If it is ready, the reason of routes_is_ready() says for whom. Any
 * thread. */
bool routes_stand_by(void *context);
