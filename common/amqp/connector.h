/* Makes broker connections in a thread of its own, so that no name look-up, connect or login ever
 * blocks the thread that uses the connection. It owns the list of hosts, the backoff and the log of
 * failed attempts; it goes on until an attempt succeeds or it is freed. */
#pragma once

#include "common/amqp/broker.h"
#include "common/threads/worker.h"

/* Borrowed for the connector's life (and, after a connector_free() that had to leave a stuck
 * attempt behind, for the process's). */
struct connector_options {
    struct broker_open_options open;        /* the connection's name is also that in logs */
    const char *urls;                       /* comma separated */
    const char *password_file;              /* read again at each attempt; NULL: none */
    char queue[SHORT_STRING_BYTES_MAX + 1]; /* declared on each connection */
    enum broker_queue_type queue_type;
    uint16_t prefetch;    /* consumes from the queue with it; 0: enables confirms instead */
    struct worker *owner; /* is woken when a connection is ready, and when a round over all hosts
                           * has failed; borrowed until connector_free() only */
};

struct connector;

MUST_CHECK enum outcome connector_create(const struct connector_options *options,
                                         struct connector **ret_connector, struct error *ret_error);

/* Asks for a connection; the first ever attempt is at once, later ones after the backoff. */
void connector_request(struct connector *connector);

/* Says that the last connection has served well, so that the backoff starts over. */
void connector_succeeded(struct connector *connector);

/* Returns a connection owned by the caller, or NULL while there is none yet. */
MUST_CHECK struct broker *connector_take(struct connector *connector);

/* Copies why the last attempt failed ("" where none has). */
void connector_last_error(struct connector *connector, struct error *ret_error);

/* Rounds over all hosts that have failed so far. */
uint64_t connector_failed_rounds(struct connector *connector);

/* Attempts so far, failed ones included. */
uint64_t connector_attempts(struct connector *connector);

/* The line of a service's list of metrics (see common/metrics/metrics.h) for those attempts. The
 * arguments after the first are the names of the service's connections. */
#define CONNECTOR_METRIC(METRIC, ...)                                                              \
    METRIC(attempts, COUNTERS("connection", __VA_ARGS__), "broker_connect_attempts_total",         \
           "Attempts to connect, failed ones included.")

/* Ends the thread. One that is stuck in a name look-up is left behind and ends by itself. */
void connector_free(struct connector *connector);
