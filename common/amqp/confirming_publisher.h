/* The confirming publisher is one connection to publish on. It reports once for each publish what
 * the broker says: confirmed, refused, returned, or lost with the connection.
 *
 * Its user appends a message to `broker`, and adds it to `window` under its message id. When a
 * message was taken by no queue, the queue is declared again. One thread. */
#pragma once

#include "common/amqp/confirm_window.h"
#include "common/amqp/connector.h"
#include "common/amqp/nack_streak.h"

struct confirming_publisher_options {
    struct connector_options connection;
    size_t window; /* publishes without a confirm yet at the most */
    confirm_window_settled *settled;
    /* Is called with each event before it takes effect here. False: no more events are read for
     * now. */
    bool (*heard)(void *context, const struct broker_event *event);
    void *context; /* of both */
};

struct confirming_publisher {
    struct confirming_publisher_options options;
    struct connector *connector; /* NULL: its user makes the connection */
    struct broker *broker;       /* owned; NULL: not connected */
    struct confirm_window window;
    struct nack_streak nacks;
    bool blocked;          /* by an alarm */
    uint64_t unblocked_ms; /* since when it is not */
    bool requested;        /* of the connector, and not taken yet */
    size_t declaring;      /* a return came: so many queues are being declared again */
    bool proven;           /* this connection has confirmed something */
};

/* If `options->connection.urls` is NULL, there is no connector and no queue is declared; the user
 * puts a connection into `broker`. confirming_publisher_done() is safe also after a failure. */
MUST_CHECK enum outcome
confirming_publisher_init(struct confirming_publisher *publisher,
                          const struct confirming_publisher_options *options,
                          struct error *ret_error);
/* May block as broker_free() and connector_free() do. Does not settle the publishes in the window.
 * Safe on a zeroed struct. */
void confirming_publisher_done(struct confirming_publisher *publisher);

/* If there is no connection, asks for one, or takes it if it is made. True: it was taken now. */
bool confirming_publisher_connect(struct confirming_publisher *publisher);

/* Logs why, and settles everything in the window as lost. May block as broker_free() does. */
void confirming_publisher_disconnect(struct confirming_publisher *publisher,
                                     const struct error *why);

/* Returns whether there is a connection that may be published on now. */
bool confirming_publisher_has_room(const struct confirming_publisher *publisher);

/* Returns for how long the broker has owed its oldest confirm. In an alarm it owes none. */
uint64_t confirming_publisher_owed_ms(const struct confirming_publisher *publisher,
                                      uint64_t now_ms);

/* To be called after each read. TRANSIENT: the broker has owed a confirm for longer than `lost_ms`,
 * or has refused everything for too long, so the connection must be closed. */
MUST_CHECK enum outcome confirming_publisher_check(struct confirming_publisher *publisher,
                                                   uint64_t now_ms, uint64_t lost_ms,
                                                   struct error *ret_error);

/* Applies an event to the window. INVALID: a confirm of a message that was never published. */
MUST_CHECK enum outcome confirming_publisher_take(struct confirming_publisher *publisher,
                                                  const struct broker_event *event, uint64_t now_ms,
                                                  struct error *ret_error);

/* Sends unsent bytes, and takes the events that have arrived. After a failure disconnect. */
MUST_CHECK enum outcome confirming_publisher_read(struct confirming_publisher *publisher,
                                                  uint64_t now_ms, struct error *ret_error);
