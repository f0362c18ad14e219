/* Queues: declared, or used as an operator has made them. */
#include "common/amqp/broker.h"

#include "common/amqp/broker_internal.h"
#include "common/amqp/queue_arguments.h"

#include <stdlib.h>
#include <string.h>

static const char single_consumer[] = "x-single-active-consumer";
static const char leader_locator[] = "x-queue-leader-locator";

static amqp_table_entry_t text_entry(const char *name, const char *value)
{
    return (amqp_table_entry_t){
        .key = amqp_cstring_bytes(name),
        .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(value)}};
}

/* Only an argument makes a queue's consumers take turns: a policy cannot. Where the leaders are can
 * be said of quorum queues alone. */
int broker_queue_entries(const struct broker_queue *queue,
                         amqp_table_entry_t ret_entries[BROKER_QUEUE_ENTRIES_MAX])
{
    int count = 0;
    if (queue->type == BROKER_QUEUE_QUORUM) {
        ret_entries[count++] = text_entry("x-queue-type", "quorum");
    }
    if (queue->is_shard) {
        ret_entries[count++] =
            (amqp_table_entry_t){.key = amqp_cstring_bytes(single_consumer),
                                 .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1}};
    }
    if (queue->is_shard && queue->type == BROKER_QUEUE_QUORUM) {
        ret_entries[count++] = text_entry(leader_locator, "balanced");
    }
    return count;
}

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

static enum outcome cut_off(struct error *ret_error)
{
    return error_set(ret_error, OUTCOME_TRANSIENT, "queue.declare: the broker's answer is cut off");
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

static amqp_table_entry_t entry_of(const struct queue_argument *argument)
{
    amqp_table_entry_t entry = {.key = amqp_cstring_bytes(argument->name)};
    if (strcmp(argument->type, "longstr") == 0) {
        entry.value.kind = AMQP_FIELD_KIND_UTF8;
        entry.value.value.bytes = amqp_cstring_bytes(argument->value);
    } else if (strcmp(argument->type, "bool") == 0) {
        entry.value.kind = AMQP_FIELD_KIND_BOOLEAN;
        entry.value.value.boolean = strcmp(argument->value, "true") == 0;
    } else {
        /* One of the types of numbers, which the broker does not tell apart. */
        entry.value.kind = AMQP_FIELD_KIND_I64;
        entry.value.value.i64 = strtoll(argument->value, NULL, 10);
    }
    return entry;
}

/* Declares with these arguments. Only a stream can have a maximum age, and only of a stream it is
 * compared: with it the broker creates no queue where there is none any more. */
static enum outcome declare_with(struct broker *broker, const struct broker_queue *queue,
                                 const struct queue_arguments *arguments,
                                 struct broker_refusal *ret_refusal, struct error *ret_error)
{
    amqp_table_entry_t entries[QUEUE_ARGUMENTS_MAX + 2];
    struct queue_argument of_streams = {.name = "x-max-age", .type = "longstr", .value = "never"};
    struct queue_argument type = {.name = "x-queue-type", .type = "longstr", .value = "quorum"};
    size_t count = 0;
    entries[count++] = entry_of(&of_streams);
    if (queue->type == BROKER_QUEUE_QUORUM) {
        entries[count++] = entry_of(&type);
    }
    for (size_t i = 0; i < arguments->count; i++) {
        entries[count++] = entry_of(&arguments->items[i]);
    }
    amqp_queue_declare_t declare = {.queue = amqp_cstring_bytes(queue->name),
                                    .durable = true,
                                    .arguments = {(int)count, entries}};
    *ret_refusal = (struct broker_refusal){.code = 0};
    return broker_ask(broker, AMQP_QUEUE_DECLARE_METHOD, &declare, AMQP_QUEUE_DECLARE_OK_METHOD,
                      "queue.declare", ret_refusal, ret_error);
}

/* Of all that may differ the broker names one, and this matters most. */
static void tell_missing_turns(struct error *difference)
{
    struct error other = *difference;
    bool is_told = strncmp(other.text, single_consumer, strlen(single_consumer)) == 0;
    error_set(difference, OUTCOME_INVALID, "%s is none, and not true%s%.300s", single_consumer,
              is_told ? "" : "; ", is_told ? "" : other.text);
}

/* Finds out which arguments the queue has, from the refusal of a declaration without any, and what
 * they discard. Code 0: it
 * has none. An answer that says nothing of them ends it with what is known. Leaves the channel
 * open. */
static enum outcome survey(struct broker *broker, const struct broker_queue *queue,
                           const struct broker_refusal *first, struct broker_queue_finding *finding,
                           struct error *ret_error)
{
    struct queue_arguments arguments = {.count = 0};
    struct broker_refusal refusal = *first;
    enum outcome outcome = first->code == 0 ? OUTCOME_OK : OUTCOME_INVALID;
    while (outcome == OUTCOME_INVALID && queue_arguments_add(&arguments, &refusal)) {
        outcome = broker_recover_channel(broker, ret_error);
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
        outcome = declare_with(broker, queue, &arguments, &refusal, ret_error);
    }
    queue_arguments_discards(&arguments, &finding->discards);
    if (outcome == OUTCOME_OK && queue->is_shard &&
        !queue_arguments_has(&arguments, single_consumer)) {
        tell_missing_turns(&finding->difference);
    }
    return outcome == OUTCOME_INVALID ? broker_recover_channel(broker, ret_error) : outcome;
}

/* The broker names what makes a queue a shard before all else. Asks for the queue without it, so
 * that another difference shows: then *refusal is about that, and else its code is 0. */
static enum outcome look_behind(struct broker *broker, const struct broker_queue *queue,
                                struct broker_refusal *refusal, struct error *ret_error)
{
    const struct queue_arguments none = {.count = 0};
    char argument[BROKER_ARGUMENT_BYTES];
    struct error difference;
    bool is_of_shards =
        broker_refusal_difference(refusal, argument, &difference) &&
        (strcmp(argument, single_consumer) == 0 || strcmp(argument, leader_locator) == 0);
    if (!queue->is_shard || !is_of_shards) {
        return OUTCOME_OK;
    }
    enum outcome outcome = broker_recover_channel(broker, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = declare_with(broker, queue, &none, refusal, ret_error);
    }
    return outcome == OUTCOME_INVALID ? OUTCOME_OK : outcome;
}

/* What the broker had against the declaration decides whether the queue is looked for instead. */
static enum outcome use_as_it_is(struct broker *broker, const struct broker_queue *queue,
                                 struct broker_refusal *refusal,
                                 struct broker_queue_finding *ret_finding, struct error *ret_error)
{
    char argument[BROKER_ARGUMENT_BYTES];
    struct error behind;
    enum outcome outcome = OUTCOME_OK;
    if (broker_refusal_difference(refusal, argument, &ret_finding->difference)) {
        outcome = look_behind(broker, queue, refusal, ret_error);
        if (outcome == OUTCOME_OK && broker_refusal_difference(refusal, argument, &behind) &&
            !is_usable_with_other(argument)) {
            return refuse_queue(queue, argument, &behind, ret_error);
        }
        if (outcome == OUTCOME_OK) {
            outcome = survey(broker, queue, refusal, ret_finding, ret_error);
        }
    } else if (refusal->code == REFUSED_ACCESS) {
        ret_finding->not_declared = *ret_error;
        outcome = broker_recover_channel(broker, ret_error);
    } else {
        struct error cause = *ret_error;
        return error_set(ret_error, OUTCOME_INVALID, "queue '%s': %s", queue->name, cause.text);
    }
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

enum outcome broker_count_consumers_and_wait(struct broker *broker, const char *queue,
                                             uint64_t *ret_count, struct error *ret_error)
{
    const struct broker_queue counted = {.name = queue};
    struct broker_cursor answer;
    struct broker_refusal refusal;
    enum outcome outcome = ask_for_queue(broker, &counted, true, &answer, &refusal, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    (void)broker_take_short_string(&answer); /* its name */
    (void)broker_take_integer(&answer, 4);   /* its ready messages */
    *ret_count = broker_take_integer(&answer, 4);
    return answer.failed ? cut_off(ret_error) : OUTCOME_OK;
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
        return answer.failed ? cut_off(ret_error) : OUTCOME_OK;
    }
    if (refusal.code == REFUSED_NOT_FOUND) {
        *ret_exists = false;
        return OUTCOME_OK;
    }
    return outcome;
}
