/* An exchange that others give, and a binding to it. */
#include "common/amqp/broker.h"

#include "common/amqp/broker_internal.h"

#include <stdio.h>
#include <string.h>

/* Names of exchanges that every vhost has. */
static const char any_source[] = "amq.fanout";
static const char other_source[] = "amq.direct";

static enum outcome look_for(struct broker *broker, const char *exchange, struct error *ret_error)
{
    amqp_exchange_declare_t declare = {.exchange = amqp_cstring_bytes(exchange),
                                       .type = amqp_cstring_bytes("direct"), /* is not compared */
                                       .passive = 1};
    struct broker_refusal refusal;
    enum outcome outcome =
        broker_ask(broker, AMQP_EXCHANGE_DECLARE_METHOD, &declare, AMQP_EXCHANGE_DECLARE_OK_METHOD,
                   "exchange.declare", &refusal, ret_error);
    if (outcome != OUTCOME_OK && broker_refusal_is_missing(&refusal)) {
        return error_set(ret_error, OUTCOME_TRANSIENT,
                         "exchange '%s' does not exist: have an operator declare it", exchange);
    }
    return outcome;
}

static bool names_exchange(const struct broker_refusal *refusal, const char *exchange)
{
    char quoted[64];
    (void)snprintf(quoted, sizeof(quoted), "exchange '%s'", exchange);
    return memmem(refusal->text, refusal->text_length, quoted, strlen(quoted)) != NULL;
}

/* What is published to an exchange of whatever type may arrive somewhere. Removing a binding that
 * nobody has changes nothing, and the broker first looks whether the user may write to the
 * exchange, then whether he may read from the source. */
static enum outcome check_right_to_write(struct broker *broker, const char *exchange,
                                         struct error *ret_error)
{
    const char *source = strcmp(exchange, any_source) == 0 ? other_source : any_source;
    amqp_exchange_unbind_t unbind = {.destination = amqp_cstring_bytes(exchange),
                                     .source = amqp_cstring_bytes(source),
                                     .routing_key = amqp_cstring_bytes(BROKER_CHECK_KEY)};
    struct broker_refusal refusal;
    enum outcome outcome =
        broker_ask(broker, AMQP_EXCHANGE_UNBIND_METHOD, &unbind, AMQP_EXCHANGE_UNBIND_OK_METHOD,
                   "exchange.unbind", &refusal, ret_error);
    if (outcome == OUTCOME_OK || refusal.code == 0) {
        return outcome;
    }
    bool may_write = refusal.code != REFUSED_ACCESS || names_exchange(&refusal, source);
    return may_write ? broker_recover_channel(broker, ret_error) : outcome;
}

enum outcome broker_check_exchange(struct broker *broker, const char *exchange,
                                   struct error *ret_error)
{
    enum outcome outcome = look_for(broker, exchange, ret_error);
    return outcome == OUTCOME_OK ? check_right_to_write(broker, exchange, ret_error) : outcome;
}

static amqp_queue_bind_t bind_of(const char *queue, const struct broker_route *route)
{
    return (amqp_queue_bind_t){.queue = amqp_cstring_bytes(queue),
                               .exchange = amqp_cstring_bytes(route->exchange),
                               .routing_key = amqp_cstring_bytes(route->routing_key)};
}

enum outcome broker_bind_and_wait(struct broker *broker, const char *queue,
                                  const struct broker_route *route, struct error *ret_error)
{
    amqp_queue_bind_t bind = bind_of(queue, route);
    struct broker_refusal refusal;
    return broker_ask(broker, AMQP_QUEUE_BIND_METHOD, &bind, AMQP_QUEUE_BIND_OK_METHOD,
                      "queue.bind", &refusal, ret_error);
}

enum outcome broker_append_bind(struct broker *broker, const char *queue,
                                const struct broker_route *route, struct error *ret_error)
{
    amqp_queue_bind_t bind = bind_of(queue, route);
    bind.nowait = 1;
    return broker_append_method(broker, BROKER_CHANNEL, AMQP_QUEUE_BIND_METHOD, &bind, "queue.bind",
                                ret_error);
}
