/* One connection to publish on, and what the broker says of each publish: confirmed, refused,
 * returned, or lost with the connection, and each of them once.
 *
 * Its user appends a message to `broker`, and adds it to `window` under its message id. A message
 * that no queue took makes the queue be declared again. One thread. */
#pragma once

#include "common/amqp/confirm_window.h"
#include "common/amqp/connector.h"
#include "common/amqp/nack_streak.h"

struct confirming_publisher_options {
    struct connector_options connection;
    size_t window; /* publishes without a confirm yet at the most */
    confirm_window_settled *settled;
    /* Hears of each event before it takes effect here. False: no more events are read for now. */
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
    bool declaring;        /* a return came: the queue is being declared again */
    bool proven;           /* this connection has confirmed something */
};

/* Where `options->connection.urls` is NULL there is no connector and no queue is declared: the user
 * puts a connection into `broker`. After a failure it is safe to be done. */
MUST_CHECK enum outcome
confirming_publisher_init(struct confirming_publisher *publisher,
                          const struct confirming_publisher_options *options,
                          struct error *ret_error);
/* May block as broker_free() and connector_free() do. What is in the window is not settled. Safe on
 * a zeroed struct. */
void confirming_publisher_done(struct confirming_publisher *publisher);

/* Where there is no connection it asks for one, and takes it when it is made. True: taken now. */
bool confirming_publisher_connect(struct confirming_publisher *publisher);

/* Logs why, and settles all that is in the window as lost. May block as broker_free() does. */
void confirming_publisher_disconnect(struct confirming_publisher *publisher,
                                     const struct error *why);

/* There is a connection, and it may be published on now. */
bool confirming_publisher_has_room(const struct confirming_publisher *publisher);

/* How long the broker owes its oldest confirm; in an alarm it owes none. */
uint64_t confirming_publisher_owed_ms(const struct confirming_publisher *publisher,
                                      uint64_t now_ms);

/* What an event means for the window. INVALID: a confirm of what was never published. */
MUST_CHECK enum outcome confirming_publisher_take(struct confirming_publisher *publisher,
                                                  const struct broker_event *event, uint64_t now_ms,
                                                  struct error *ret_error);

/* Sends what is unsent, and takes what has arrived. After a failure disconnect. */
MUST_CHECK enum outcome confirming_publisher_read(struct confirming_publisher *publisher,
                                                  uint64_t now_ms, struct error *ret_error);
