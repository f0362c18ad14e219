/* See confirm_window.h: every loop here is bounded by the capacity. */
#include "common/amqp/confirm_window.h"

#include <assert.h>
#include <stdlib.h>

static struct confirm_slot *slot_of(const struct confirm_window *window, uint64_t tag)
{
    return &window->slots[tag % window->capacity];
}

enum outcome confirm_window_init(struct confirm_window *window, size_t capacity,
                                 confirm_window_settled *settled, void *context,
                                 struct error *ret_error)
{
    *window = (struct confirm_window){
        .settled = settled, .context = context, .capacity = capacity, .low = 1, .next = 1};
    window->slots = calloc(capacity, sizeof(*window->slots));
    if (window->slots == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for a window of %zu confirms",
                         capacity);
    }
    return OUTCOME_OK;
}

void confirm_window_done(struct confirm_window *window)
{
    free(window->slots);
    *window = (struct confirm_window){0};
}

size_t confirm_window_count(const struct confirm_window *window)
{
    return (size_t)(window->next - window->low);
}

bool confirm_window_is_full(const struct confirm_window *window)
{
    return confirm_window_count(window) >= window->capacity;
}

uint64_t confirm_window_add(struct confirm_window *window, void *item, struct slice message_id,
                            uint64_t sent_ms)
{
    assert(!confirm_window_is_full(window));
    *slot_of(window, window->next) =
        (struct confirm_slot){.item = item, .message_id = message_id, .sent_ms = sent_ms};
    return window->next++;
}

uint64_t confirm_window_oldest_ms(const struct confirm_window *window)
{
    return slot_of(window, window->low)->sent_ms;
}

void confirm_window_forget(struct confirm_window *window, uint64_t tag)
{
    if (tag >= window->low && tag < window->next) {
        struct confirm_slot *slot = slot_of(window, tag);
        window->forgotten_count += slot->item != NULL;
        slot->item = NULL;
    }
}

void confirm_window_mark_returned(struct confirm_window *window, struct slice message_id)
{
    struct confirm_slot *only = NULL;
    size_t count = 0;
    for (uint64_t tag = window->low; tag < window->next; tag++) {
        struct confirm_slot *slot = slot_of(window, tag);
        if (slot->item != NULL && slice_equal(slot->message_id, message_id)) {
            slot->on_ack = CONFIRM_MAYBE_RETURNED;
            only = slot;
            count++;
        }
    }
    if (count == 1 && window->forgotten_count == 0) {
        only->on_ack = CONFIRM_RETURNED;
    }
}

static void settle_slot(struct confirm_window *window, uint64_t tag, enum confirm_result result)
{
    struct confirm_slot *slot = slot_of(window, tag);
    if (!slot->settled) {
        void *item = slot->item;
        slot->settled = true;
        slot->item = NULL;
        window->forgotten_count -= item == NULL;
        window->settled(item, result == CONFIRM_CONFIRMED ? slot->on_ack : result, window->context);
    }
}

enum outcome confirm_window_settle(struct confirm_window *window, uint64_t tag, bool multiple,
                                   bool is_ack, struct error *ret_error)
{
    /* Tag 0 with multiple means all that is outstanding (AMQP 0-9-1, basic.ack). */
    uint64_t last = multiple && tag == 0 ? window->next - 1 : tag;
    if (last >= window->next || (tag == 0 && !multiple)) {
        return error_set(ret_error, OUTCOME_INVALID,
                         "the broker confirmed tag %llu, but the last one published is %llu",
                         (unsigned long long)tag, (unsigned long long)(window->next - 1));
    }
    for (uint64_t i = multiple ? window->low : last; i >= window->low && i <= last; i++) {
        settle_slot(window, i, is_ack ? CONFIRM_CONFIRMED : CONFIRM_REFUSED);
    }
    while (window->low < window->next && slot_of(window, window->low)->settled) {
        window->low++;
    }
    return OUTCOME_OK;
}

void confirm_window_drain(struct confirm_window *window)
{
    for (uint64_t tag = window->low; tag < window->next; tag++) {
        settle_slot(window, tag, CONFIRM_LOST);
    }
    window->low = window->next = 1;
}
