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

/* The next messages that are handled together. */
struct suspects {
    size_t end;
    char key[IN_HAND_KEY_BYTES]; /* of the last one that was decoded */
    bool is_alone;               /* it was, and has nothing else beside it */
};

static enum outcome mark_and_decode(struct consumer *consumer, size_t i, bool is_accused,
                                    struct suspects *suspects, struct error *ret_error)
{
    struct slice key = slice_of(suspects->key);
    size_t count = suspects->end - consumer->batch.next;
    suspects->is_alone = count == 1;
    enum outcome outcome = in_hand_mark(&consumer->in_hand, count, key, ret_error);
    return outcome == OUTCOME_OK ? consumer_decode(consumer, &consumer->batch.items[i],
                                                   is_accused ? key : (struct slice){0}, ret_error)
                                 : outcome;
}

/* It is the next message, and alone. What the inbox knows is acked whatever it is accused of. */
static enum outcome decode_accused(struct consumer *consumer, int64_t deaths,
                                   struct suspects *suspects, struct error *ret_error)
{
    struct batch_item *item = &consumer->batch.items[consumer->batch.next];
    const struct message *message = &item->delivery.message;
    bool is_known = false;
    suspects->end = consumer->batch.next + 1;
    enum outcome outcome =
        event_dispatch_known(&consumer->dispatcher, message, item->delivery.redelivered,
                             &consumer->lines, &is_known, &item->handled, ret_error);
    if (outcome == OUTCOME_OK && is_known) {
        return store_forget_attempts(consumer->store, slice_of(suspects->key), ret_error);
    }
    if (outcome != OUTCOME_OK || deaths < consumer->settings->redelivery_limit) {
        return outcome == OUTCOME_OK
                   ? mark_and_decode(consumer, consumer->batch.next, true, suspects, ret_error)
                   : outcome;
    }
    /* It stays accused: it may come again before its copy is confirmed. */
    outcome = event_give_up(message, deaths, &consumer->lines, &item->handled, ret_error);
    consumer->gave_up = outcome == OUTCOME_OK;
    return outcome;
}

static enum outcome decode_members(struct consumer *consumer, struct suspects *suspects,
                                   struct error *ret_error)
{
    struct delivery_batch *batch = &consumer->batch;
    uint64_t until_ms = consumer_turn_ends_ms(consumer);
    enum outcome outcome = OUTCOME_OK;
    for (size_t i = batch->next; outcome == OUTCOME_OK && i < suspects->end; i++) {
        bool is_accused = false;
        int64_t deaths = 0;
        char key[IN_HAND_KEY_BYTES];
        outcome = write_key(&batch->items[i].delivery.message, key, ret_error);
        if (outcome == OUTCOME_OK) {
            outcome = store_find_attempts(consumer->store, slice_of(key), &is_accused, &deaths,
                                          ret_error);
        }
        if (outcome == OUTCOME_OK && is_accused && i > batch->next) {
            suspects->end = i;
            break;
        }
        memcpy(suspects->key, key, sizeof(key));
        if (outcome == OUTCOME_OK && is_accused) {
            outcome = decode_accused(consumer, deaths, suspects, ret_error);
        } else if (outcome == OUTCOME_OK) {
            outcome = mark_and_decode(consumer, i, false, suspects, ret_error);
            suspects->end = clock_monotonic_ms() < until_ms ? suspects->end : i + 1;
        }
    }
    return outcome;
}

static bool has_moved(const struct consumer *consumer, const struct batch_item *item)
{
    return item->is_asked_to_move && !ack_window_is_open(&consumer->window, item->delivery.tag);
}

/* One that is alone is marked whatever is done with it. Which of several ends the process in the
 * store, or when it is told, shows when they are fewer. */
static enum outcome take_members(struct consumer *consumer, const struct suspects *suspects,
                                 struct error *ret_error)
{
    size_t count = suspects->end - consumer->batch.next;
    enum outcome outcome = OUTCOME_OK;
    if (!suspects->is_alone) {
        outcome = in_hand_mark(&consumer->in_hand, count, (struct slice){0}, ret_error);
    }
    consumer->is_marked = suspects->is_alone;
    if (outcome == OUTCOME_OK) {
        outcome = consumer_take(consumer, suspects->end, ret_error);
    }
    consumer->is_marked = false;
    if (outcome == OUTCOME_OK && suspects->is_alone) {
        /* Where it fails, what ends the process when it is told is not accused of that. */
        (void)!in_hand_mark(&consumer->in_hand, 1, slice_of(suspects->key), NULL);
    }
    return outcome;
}

enum outcome consumer_handle_suspects(struct consumer *consumer, struct error *ret_error)
{
    struct delivery_batch *batch = &consumer->batch;
    enum outcome outcome = count_death(consumer, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    struct suspects suspects = {.end = batch->next + 1};
    size_t most = batch->next + (batch->retried > 0
                                     ? batch->retried
                                     : in_hand_group_max(&consumer->in_hand, consumer->group_max));
    while (suspects.end < batch->count && suspects.end < most &&
           batch->items[suspects.end].is_suspect &&
           !has_moved(consumer, &batch->items[suspects.end])) {
        suspects.end++;
    }
    outcome = decode_members(consumer, &suspects, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = take_members(consumer, &suspects, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        event_dispatcher_clear(&consumer->dispatcher);
        buffer_clear(&consumer->lines);
        in_hand_finish(&consumer->in_hand, 0);
        return outcome;
    }
    return consumer_tell_group(consumer, suspects.end, ret_error);
}

static bool is_worn(const struct batch_item *item)
{
    return !item->is_asked_to_move && dead_letter_is_worn(&item->delivery.message);
}

/* What the inbox knows is not worth a copy. */
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
    enum outcome outcome = OUTCOME_OK;
    for (size_t i = batch->next; outcome == OUTCOME_OK && i < batch->count; i++) {
        if (is_worn(&batch->items[i])) {
            outcome = ask_to_move(consumer, &batch->items[i], ret_error);
        }
    }
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
