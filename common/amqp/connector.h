/* The connector makes broker connections in a thread of its own, so that no name look-up, connect
 * or login blocks the thread that uses the connection. It owns the list of hosts, the backoff and
 * the log of failed attempts. It goes on until an attempt succeeds or it is freed. */
#pragma once

#include "common/amqp/broker.h"
#include "common/amqp/shards.h"
#include "common/threads/worker.h"

/* Borrowed for the life of the connector. If connector_free() had to leave a stuck attempt behind,
 * they are borrowed for the life of the process. */
struct connector_options {
    struct broker_open_options open;        /* the connection's name is also that in logs */
    const char *urls;                       /* comma separated */
    const char *password_file;              /* read again at each attempt; NULL: none */
    char queue[SHORT_STRING_BYTES_MAX + 1]; /* declared or looked for on each connection */
    size_t shards; /* from 2 on: not this queue, but so many of that name (shards.h). Who consumes,
                    * consumes from this queue too: it may still have messages from before */
    enum broker_queue_type queue_type;
    enum broker_declare declare;
    struct broker_route route; /* of what is published; both NULL: to the queue. With an exchange
                                * the queue is that of others, */
    bool bind;                 /* but for this: then it is declared, and bound to the exchange */
    char lock[SHORT_STRING_BYTES_MAX + 1]; /* "": none; to be held by who consumes */
    uint16_t prefetch; /* consumes from each queue with it; 0: enables confirms instead, and checks
                        * that the user may publish */
    struct worker *owner; /* is woken when a connection is ready, and when a round over all hosts
                           * has failed; borrowed until connector_free() only */
};

struct connector;

/* How many queues there are, and each of them, by its number from 0 on. What is returned borrows
 * the options, or *ret_name. */
size_t connector_queue_count(const struct connector_options *options);
struct broker_queue connector_queue(const struct connector_options *options, size_t number,
                                    struct shard_name *ret_name);
bool connector_has_exchange(const struct connector_options *options);
/* Whether the queues are declared or looked for at all. */
bool connector_minds_queue(const struct connector_options *options);
/* Where messages for a shard go; without shards there is one route for all, and nothing is written
 * to *ret_name. Borrows as above. */
struct broker_route connector_route(const struct connector_options *options, size_t shard,
                                    struct shard_name *ret_name);
/* Write for a person the names of the queues, and the keys of all routes. */
const char *connector_queues_text(const struct connector_options *options,
                                  char ret_text[SHARDS_TEXT_BYTES]);
const char *connector_keys_text(const struct connector_options *options,
                                char ret_text[SHARDS_TEXT_BYTES]);

MUST_CHECK enum outcome connector_create(const struct connector_options *options,
                                         struct connector **ret_connector, struct error *ret_error);

/* Asks for a connection. The first attempt of all is made at once, later ones after the backoff. */
void connector_request(struct connector *connector);

/* Reports that the last connection worked, so that the backoff starts over. */
void connector_succeeded(struct connector *connector);

/* Returns a connection that the caller owns, or NULL while there is none yet. */
MUST_CHECK struct broker *connector_take(struct connector *connector);

/* Returns whether the lock is waited for, on a connection that is there. If so, `ret_why` has the
 * broker's words. The owner is woken when that changes. Any thread. */
MUST_CHECK bool connector_stands_by(struct connector *connector, struct error *ret_why);

/* Returns whether the connection that was made last holds the lock. Any thread. */
bool connector_holds_lock(const struct connector *connector);

/* Copies the reason why the last attempt failed, "" if none has failed. */
void connector_last_error(struct connector *connector, struct error *ret_error);

/* Writes which arguments of the queue, or of the first shard that has some, discard messages that
 * were confirmed, as found on the last connection, or "". Policies that do so cannot be seen. Any
 * thread. */
void connector_discards(struct connector *connector, struct error *ret_discards);

/* Counts the failed rounds over all hosts. */
uint64_t connector_failed_rounds(struct connector *connector);

/* Counts all attempts, including failed ones. */
uint64_t connector_attempts(struct connector *connector);

/* The line of a service's list of metrics (see common/metrics/metrics.h) for those attempts. The
 * arguments after the first are the names of the service's connections. */
#define CONNECTOR_METRIC(METRIC, ...)                                                              \
    METRIC(attempts, COUNTERS("connection", __VA_ARGS__), "broker_connect_attempts_total",         \
           "Attempts to connect, failed ones included.")

/* Ends the thread. A thread that is stuck in a name look-up is left behind and ends by itself. */
void connector_free(struct connector *connector);
