/* What each argument does is in RabbitMQ's documentation; docs/guarantee.md says it for operators.
 */
#include "common/amqp/queue_arguments.h"

#include <stdlib.h>

/* The session-service moves a message that was delivered 8 times. Before that comes a limit of less
 * than twice as many. */
enum { SAFE_DELIVERY_LIMIT = 16 };

static const struct queue_argument *find(const struct queue_arguments *arguments, const char *name)
{
    for (size_t i = 0; i < arguments->count; i++) {
        if (strcmp(arguments->items[i].name, name) == 0) {
            return &arguments->items[i];
        }
    }
    return NULL;
}

bool queue_arguments_add(struct queue_arguments *arguments, const struct broker_refusal *refusal)
{
    struct queue_argument argument;
    if (arguments->count == QUEUE_ARGUMENTS_MAX || !broker_refusal_argument(refusal, &argument) ||
        find(arguments, argument.name) != NULL) {
        return false;
    }
    arguments->items[arguments->count++] = argument;
    return true;
}

bool queue_arguments_has(const struct queue_arguments *arguments, const char *name)
{
    return find(arguments, name) != NULL;
}

static bool is_full_queue_refusing(const struct queue_arguments *arguments)
{
    const struct queue_argument *overflow = find(arguments, "x-overflow");
    return overflow != NULL && strncmp(overflow->value, "reject-publish", 14) == 0;
}

/* What the argument does to a message that was confirmed; NULL: nothing. */
static const char *harm_of(const struct queue_arguments *arguments,
                           const struct queue_argument *argument)
{
    const char *name = argument->name;
    if (strcmp(name, "x-message-ttl") == 0) {
        return "discards what waits longer";
    }
    if (strcmp(name, "x-expires") == 0) {
        return "deletes the queue when nobody uses it for so long";
    }
    if (strcmp(name, "x-max-length") == 0 || strcmp(name, "x-max-length-bytes") == 0) {
        return is_full_queue_refusing(arguments)
                   ? NULL
                   : "without x-overflow reject-publish discards the oldest";
    }
    if (strcmp(name, "x-delivery-limit") == 0) {
        long limit = strtol(argument->value, NULL, 10);
        return limit < 0 || limit >= SAFE_DELIVERY_LIMIT ? NULL
                                                         : "discards what was delivered more often";
    }
    return NULL;
}

void queue_arguments_discards(const struct queue_arguments *arguments, struct error *ret_discards)
{
    ret_discards->text[0] = '\0';
    for (size_t i = 0; i < arguments->count; i++) {
        const struct queue_argument *argument = &arguments->items[i];
        const char *harm = harm_of(arguments, argument);
        if (harm != NULL) {
            struct error one;
            (void)error_set(&one, OUTCOME_OK, "%s %s %s", argument->name, argument->value, harm);
            error_join(ret_discards, "; ", one.text);
        }
    }
}
