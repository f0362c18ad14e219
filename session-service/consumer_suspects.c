/* Messages that were delivered before: one of them may have ended the process then. What they are
 * spared and what they are accused of is in docs/guarantee.md. */
#include "session-service/consumer_internal.h"

#include "session-service/dead_letter.h"
#include "session-service/log_events.h"

#include "common/base/clock.h"

#include <inttypes.h>
#include <stdio.h>

enum { COPIES_WAIT_MS = 3000 };

_Static_assert((int)ATTEMPT_KEY_BYTES <= (int)IN_HAND_KEY_BYTES,
               "event_attempt_key() writes so many bytes into a key of what is in hand");

void consumer_look_at(struct batch_item *item)
{
    const struct message *message = &item->delivery.message;
    item->is_suspect = item->delivery.redelivered || dead_letter_earlier_deliveries(message) > 0;
}

/* The death of the process before is counted once, when the store can. */
static enum outcome count_death(struct consumer *consumer, struct error *ret_error)
{
    struct in_hand *in_hand = &consumer->in_hand;
    enum outcome outcome = in_hand_open(in_hand, ret_error);
    if (outcome == OUTCOME_OK && in_hand->died_at[0] != '\0') {
        outcome = store_accuse(consumer->store, slice_of(in_hand->died_at), in_hand->died_alone,
                               (int64_t)clock_wall_ms(), ret_error);
        if (outcome == OUTCOME_OK) {
            log_at(&event_message_accused, log_string("key", in_hand->died_at),
                   log_boolean("alone", in_hand->died_alone));
            in_hand->died_at[0] = '\0';
        }
    }
    return outcome;
}

/* What the inbox knows is acked whatever the message is accused of. */
static enum outcome handle_accused(struct consumer *consumer, struct batch_item *item,
                                   struct slice key, int64_t deaths, struct error *ret_error)
{
    const struct message *message = &item->delivery.message;
    bool is_known = false;
    enum outcome outcome =
        event_dispatch_known(&consumer->dispatcher, message, item->delivery.redelivered,
                             &consumer->lines, &is_known, &item->handled, ret_error);
    if (outcome == OUTCOME_OK && !is_known) {
        if (deaths >= consumer->settings->redelivery_limit) {
            outcome = event_give_up(message, deaths, &consumer->lines, &item->handled, ret_error);
            consumer->gave_up = outcome == OUTCOME_OK;
        } else {
            outcome = in_hand_mark(&consumer->in_hand, 1, key, ret_error);
            if (outcome == OUTCOME_OK) {
                outcome = consumer_dispatch(consumer, item, (int64_t)clock_wall_ms(), ret_error);
            }
        }
    }
    /* One that is given up stays accused: it may come again before its copy is confirmed. */
    bool is_finished = outcome == OUTCOME_OK && item->handled.verdict == VERDICT_ACK;
    return is_finished ? store_forget_attempts(consumer->store, key, ret_error) : outcome;
}

/* A message that was sent back from the dead letters begins anew. */
static enum outcome write_key(const struct message *message, char ret_key[IN_HAND_KEY_BYTES],
                              struct error *ret_error)
{
    enum outcome outcome = event_attempt_key(message, ret_key, ret_error);
    const struct message_header *count =
        message_find_header(message, DEAD_LETTER_COUNT, MESSAGE_HEADER_INTEGER);
    if (outcome == OUTCOME_OK && count != NULL) {
        size_t length = strlen(ret_key);
        (void)snprintf(ret_key + length, IN_HAND_KEY_BYTES - length, "/%" PRId64, count->integer);
    }
    return outcome;
}

/* In a transaction. An accused message is alone in it. */
static enum outcome handle_members(struct consumer *consumer, size_t *end, struct error *ret_error)
{
    struct delivery_batch *batch = &consumer->batch;
    uint64_t until_ms = clock_monotonic_ms() + CONSUMER_TURN_MS;
    enum outcome outcome = store_begin(consumer->store, ret_error);
    size_t i = batch->next;
    for (; outcome == OUTCOME_OK && i < *end; i++) {
        struct batch_item *item = &batch->items[i];
        char key[IN_HAND_KEY_BYTES];
        bool is_accused = false;
        int64_t deaths = 0;
        outcome = write_key(&item->delivery.message, key, ret_error);
        if (outcome == OUTCOME_OK) {
            outcome = store_find_attempts(consumer->store, slice_of(key), &is_accused, &deaths,
                                          ret_error);
        }
        if (outcome == OUTCOME_OK && is_accused && i > batch->next) {
            break;
        }
        if (outcome == OUTCOME_OK && is_accused) {
            outcome = handle_accused(consumer, item, slice_of(key), deaths, ret_error);
            *end = i + 1;
        } else if (outcome == OUTCOME_OK) {
            outcome =
                in_hand_mark(&consumer->in_hand, *end - batch->next, slice_of(key), ret_error);
            outcome = outcome == OUTCOME_OK
                          ? consumer_dispatch(consumer, item, (int64_t)clock_wall_ms(), ret_error)
                          : outcome;
            *end = clock_monotonic_ms() < until_ms ? *end : i + 1;
        }
    }
    *end = i;
    return outcome;
}

static bool has_moved(const struct consumer *consumer, const struct batch_item *item)
{
    return item->is_asked_to_move && !ack_window_is_open(&consumer->window, item->delivery.tag);
}

enum outcome consumer_handle_suspects(struct consumer *consumer, struct error *ret_error)
{
    struct delivery_batch *batch = &consumer->batch;
    enum outcome outcome = count_death(consumer, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    size_t end = batch->next + 1;
    size_t most = batch->next + in_hand_group_max(&consumer->in_hand, BATCH_DELIVERIES_MAX);
    while (end < batch->count && end < most && batch->items[end].is_suspect &&
           !has_moved(consumer, &batch->items[end])) {
        end++;
    }
    outcome = handle_members(consumer, &end, ret_error);
    if (outcome == OUTCOME_OK) {
        /* Who is killed while the disk is waited for was not killed by a message. */
        outcome = in_hand_mark(&consumer->in_hand, end - batch->next, (struct slice){0}, ret_error);
    }
    outcome = store_end(consumer->store, outcome, ret_error);
    in_hand_finish(&consumer->in_hand, outcome == OUTCOME_OK ? end - batch->next : 0);
    return consumer_end_group(consumer, end, outcome, ret_error);
}

static bool is_worn(const struct batch_item *item)
{
    return !item->is_asked_to_move && dead_letter_is_worn(&item->delivery.message);
}

/* In a transaction: what the inbox knows is not worth a copy. */
static enum outcome ask_to_move(struct consumer *consumer, struct batch_item *item,
                                struct error *ret_error)
{
    struct handled handled;
    bool is_known = false;
    enum outcome outcome =
        event_dispatch_known(&consumer->dispatcher, &item->delivery.message, true, &consumer->lines,
                             &is_known, &handled, ret_error);
    buffer_clear(&consumer->lines); /* it is logged when it is handled */
    if (outcome == OUTCOME_OK && !is_known) {
        outcome = dead_letters_move(consumer->dead_letters, &item->delivery, ret_error);
    }
    item->is_asked_to_move = outcome == OUTCOME_OK;
    return outcome;
}

static void end_waiting(struct consumer *consumer)
{
    dead_letters_stop_moving(consumer->dead_letters);
    consumer->awaits_copies = consumer->gave_up = false;
}

static bool copies_are_confirmed(const struct consumer *consumer)
{
    const struct dead_letters *letters = consumer->dead_letters;
    return dead_letters_moving(letters) == 0 &&
           (!consumer->gave_up || dead_letters_pending(letters) == 0);
}

uint64_t consumer_copies_wait_ms(const struct consumer *consumer, uint64_t now_ms)
{
    bool is_over = copies_are_confirmed(consumer) || now_ms >= consumer->await_until_ms;
    return is_over ? 0 : consumer->await_until_ms - now_ms;
}

static enum outcome begin_moving(struct consumer *consumer, struct error *ret_error)
{
    struct delivery_batch *batch = &consumer->batch;
    size_t i = batch->next;
    while (i < batch->count && !is_worn(&batch->items[i])) {
        i++;
    }
    if (i == batch->count) {
        return OUTCOME_OK;
    }
    enum outcome outcome = store_begin(consumer->store, ret_error);
    for (; outcome == OUTCOME_OK && i < batch->count; i++) {
        if (is_worn(&batch->items[i])) {
            outcome = ask_to_move(consumer, &batch->items[i], ret_error);
        }
    }
    outcome = store_end(consumer->store, outcome, ret_error);
    if (outcome != OUTCOME_OK) {
        end_waiting(consumer);
    }
    return outcome;
}

enum outcome consumer_move_worn(struct consumer *consumer, uint64_t now_ms, struct error *ret_error)
{
    struct delivery_batch *batch = &consumer->batch;
    enum outcome outcome = OUTCOME_OK;
    if (consumer->awaits_copies && consumer_copies_wait_ms(consumer, now_ms) > 0) {
        return OUTCOME_OK;
    }
    if (consumer->awaits_copies || consumer->broker == NULL) {
        end_waiting(consumer);
    }
    if (consumer->broker != NULL) { /* also those that were read in the meantime */
        outcome = begin_moving(consumer, ret_error);
        consumer->awaits_copies = !copies_are_confirmed(consumer);
        consumer->gave_up = consumer->gave_up && consumer->awaits_copies;
        consumer->await_until_ms = now_ms + COPIES_WAIT_MS;
    }
    while (!consumer->awaits_copies && batch->next < batch->count &&
           has_moved(consumer, &batch->items[batch->next])) {
        batch->next++;
    }
    return outcome;
}
