/* Queues: declared, or used as an operator has made them. */
#include "common/amqp/broker.h"

#include "common/amqp/broker_internal.h"

#include <string.h>

static enum outcome ask_for_queue(struct broker *broker, const struct broker_queue *queue,
                                  bool passive, struct broker_cursor *ret_answer,
                                  struct broker_refusal *ret_refusal, struct error *ret_error)
{
    *ret_refusal = (struct broker_refusal){.code = 0};
    enum outcome outcome = broker_append_declare(broker, queue, passive, ret_error);
    return outcome != OUTCOME_OK
               ? outcome
               : broker_wait_for(broker, AMQP_QUEUE_DECLARE_OK_METHOD, "queue.declare",
                                 broker->timeout_ms, ret_answer, ret_refusal, ret_error);
}

static enum outcome look_for(struct broker *broker, const struct broker_queue *queue,
                             const char *not_declared, struct error *ret_error)
{
    struct broker_cursor answer;
    struct broker_refusal refusal;
    enum outcome outcome = ask_for_queue(broker, queue, true, &answer, &refusal, ret_error);
    if (outcome != OUTCOME_OK && broker_refusal_is_missing(&refusal)) {
        /* Others may make it at any moment. */
        return error_set(ret_error, OUTCOME_TRANSIENT, "queue '%s' does not exist, and %s",
                         queue->name, not_declared);
    }
    return outcome;
}

/* Whatever an operator has given it otherwise, a queue must be of the type that was asked for, and
 * last. The broker compares durable and auto_delete first, and names the first that differs. */
static bool is_usable_with_other(const char *argument)
{
    return strncmp(argument, "x-", 2) == 0 && strcmp(argument, "x-queue-type") != 0;
}

static enum outcome refuse_queue(const struct broker_queue *queue, const char *argument,
                                 const struct error *difference, struct error *ret_error)
{
    return error_set(
        ret_error, OUTCOME_INVALID, "queue '%s' cannot be used as a durable %s queue: its %s; %s",
        queue->name, queue->type == BROKER_QUEUE_QUORUM ? "quorum" : "classic", difference->text,
        strcmp(argument, "x-queue-type") == 0
            ? "set --queue-type (or --queue) to what it is, or use it as it is with --declare never"
            : "set --queue to another, or have an operator move it away");
}

/* What the broker had against the declaration decides whether the queue is looked for instead. */
static enum outcome use_as_it_is(struct broker *broker, const struct broker_queue *queue,
                                 const struct broker_refusal *refusal,
                                 struct broker_queue_finding *ret_finding, struct error *ret_error)
{
    char argument[BROKER_ARGUMENT_BYTES];
    if (broker_refusal_difference(refusal, argument, &ret_finding->difference)) {
        if (!is_usable_with_other(argument)) {
            return refuse_queue(queue, argument, &ret_finding->difference, ret_error);
        }
    } else if (refusal->code == REFUSED_ACCESS) {
        ret_finding->not_declared = *ret_error;
    } else {
        struct error cause = *ret_error;
        return error_set(ret_error, OUTCOME_INVALID, "queue '%s': %s", queue->name, cause.text);
    }
    enum outcome outcome = broker_recover_channel(broker, ret_error);
    return outcome == OUTCOME_OK
               ? look_for(broker, queue, ret_finding->not_declared.text, ret_error)
               : outcome;
}

enum outcome broker_declare_and_wait(struct broker *broker, const struct broker_queue *queue,
                                     struct broker_queue_finding *ret_finding,
                                     struct error *ret_error)
{
    struct broker_cursor answer;
    struct broker_refusal refusal;
    *ret_finding = (struct broker_queue_finding){.difference = {.text = ""}};
    if (queue->declare == BROKER_DECLARE_NEVER) {
        return look_for(broker, queue, "is not declared, because of --declare never", ret_error);
    }
    enum outcome outcome = ask_for_queue(broker, queue, false, &answer, &refusal, ret_error);
    return outcome == OUTCOME_INVALID
               ? use_as_it_is(broker, queue, &refusal, ret_finding, ret_error)
               : outcome;
}

enum outcome broker_count_and_wait(struct broker *broker, const char *queue, bool *ret_exists,
                                   uint64_t *ret_count, struct error *ret_error)
{
    const struct broker_queue counted = {.name = queue};
    struct broker_cursor answer;
    struct broker_refusal refusal;
    enum outcome outcome = ask_for_queue(broker, &counted, true, &answer, &refusal, ret_error);
    if (outcome == OUTCOME_OK) {
        (void)broker_take_short_string(&answer); /* its name */
        *ret_count = broker_take_integer(&answer, 4);
        *ret_exists = true;
        return answer.failed ? error_set(ret_error, OUTCOME_TRANSIENT,
                                         "queue.declare: the broker's answer is cut off")
                             : OUTCOME_OK;
    }
    if (refusal.code == REFUSED_NOT_FOUND) {
        *ret_exists = false;
        return OUTCOME_OK;
    }
    return outcome;
}
