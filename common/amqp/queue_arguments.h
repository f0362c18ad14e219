/* The arguments of a queue that exists, as far as RabbitMQ's refusals name them, and which of them
 * discard messages that were confirmed. Pure.
 *
 * Nothing in AMQP lists the arguments of a queue. But a declaration with other arguments is refused
 * with the first that differs and its value. With that one added, the next refusal names the next.
 */
#pragma once

#include "common/amqp/broker_refusal.h"

enum { QUEUE_ARGUMENTS_MAX = 24 }; /* RabbitMQ 4 compares 17 */

struct queue_arguments {
    size_t count;
    struct queue_argument items[QUEUE_ARGUMENTS_MAX];
};

/* Adds the argument that a refused declaration without it names. False: it names none, or its value
 * is cut off, or the argument is there already, or there is no room. */
MUST_CHECK bool queue_arguments_add(struct queue_arguments *arguments,
                                    const struct broker_refusal *refusal);

/* Whether there is one of that name, with whatever value. */
bool queue_arguments_has(const struct queue_arguments *arguments, const char *name);

/* Writes which of the arguments discard confirmed messages, and "" if none does. */
void queue_arguments_discards(const struct queue_arguments *arguments, struct error *ret_discards);
