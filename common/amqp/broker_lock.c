/* Locks: queues that the broker gives to one connection at a time. */
#include "common/amqp/broker.h"

#include "common/amqp/broker_internal.h"

/* A classic queue, whatever the vhost has for a default: no other type can be exclusive. */
static enum outcome append_declare(struct broker *broker, const char *name, bool passive,
                                   struct error *ret_error)
{
    amqp_table_entry_t classic = {
        .key = amqp_cstring_bytes("x-queue-type"),
        .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes("classic")}};
    amqp_queue_declare_t declare = {.queue = amqp_cstring_bytes(name),
                                    .passive = passive,
                                    .exclusive = !passive,
                                    .arguments = {1, &classic}};
    return broker_append_method(broker, BROKER_CHANNEL, AMQP_QUEUE_DECLARE_METHOD, &declare,
                                "queue.declare", ret_error);
}

static enum outcome ask(struct broker *broker, const char *name, bool passive,
                        struct broker_refusal *ret_refusal, struct error *ret_error)
{
    struct broker_cursor answer;
    *ret_refusal = (struct broker_refusal){.code = 0};
    enum outcome outcome = append_declare(broker, name, passive, ret_error);
    return outcome != OUTCOME_OK
               ? outcome
               : broker_wait_for(broker, AMQP_QUEUE_DECLARE_OK_METHOD, "queue.declare",
                                 broker->timeout_ms, &answer, ret_refusal, ret_error);
}

enum outcome broker_append_lock(struct broker *broker, const char *name, struct error *ret_error)
{
    return append_declare(broker, name, false, ret_error);
}

enum outcome broker_lock_and_wait(struct broker *broker, const char *name,
                                  enum broker_lock *ret_lock, struct error *ret_why,
                                  struct error *ret_error)
{
    struct broker_refusal refusal;
    enum outcome outcome = ask(broker, name, false, &refusal, ret_error);
    if (outcome == OUTCOME_OK) {
        *ret_lock = BROKER_LOCK_HELD;
        return OUTCOME_OK;
    }
    if (refusal.code != REFUSED_LOCKED && refusal.code != REFUSED_ACCESS) {
        return outcome;
    }
    *ret_lock = refusal.code == REFUSED_LOCKED ? BROKER_LOCK_OF_ANOTHER : BROKER_LOCK_DENIED;
    *ret_why = *ret_error;
    return broker_recover_channel(broker, ret_error);
}

enum outcome broker_check_lock(struct broker *broker, const char *name, struct error *ret_error)
{
    struct broker_refusal refusal;
    enum outcome outcome = ask(broker, name, true, &refusal, ret_error);
    if (outcome == OUTCOME_OK) {
        return error_set(ret_error, OUTCOME_INVALID,
                         "queue '%s' is an ordinary queue; only one session-service at a time may "
                         "have a queue of that name: delete it, or set --consumer shared",
                         name);
    }
    /* It may have been released meanwhile. */
    bool is_lock = refusal.code == REFUSED_LOCKED || refusal.code == REFUSED_NOT_FOUND;
    return is_lock ? broker_recover_channel(broker, ret_error) : outcome;
}
