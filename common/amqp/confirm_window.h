/* The confirm window knows the publishes that are in flight on a confirming channel: a ring of
 * items, indexed by delivery tag. Pure.
 *
 * Tags start at 1 on each channel. Acks and nacks may be multiple and out of order. A slot is free
 * again when it and all slots before it are settled. One thread. */
#pragma once

#include "common/base/error.h"
#include "common/base/slice.h"

#include <stdint.h>

enum confirm_result {
    CONFIRM_CONFIRMED,
    CONFIRM_REFUSED,        /* a nack */
    CONFIRM_RETURNED,       /* no queue took it */
    CONFIRM_MAYBE_RETURNED, /* it, or another publish of the same id */
    CONFIRM_LOST,           /* the channel ended before the broker said anything */
};

/* Is called once for each item that was added. `item` is NULL if it was forgotten. The callback
 * adds nothing. */
typedef void confirm_window_settled(void *item, enum confirm_result result, void *context);

struct confirm_slot {
    void *item; /* NULL: settled or forgotten */
    struct slice message_id;
    uint64_t sent_ms;
    enum confirm_result on_ack; /* what its ack will mean */
    bool settled;
};

struct confirm_window {
    confirm_window_settled *settled;
    void *context;
    struct confirm_slot *slots;
    size_t capacity;
    uint64_t low;           /* the lowest tag that may be unsettled */
    uint64_t next;          /* the tag of the next publish */
    size_t forgotten_count; /* unsettled slots whose item was forgotten */
};

/* BUSY: no memory. confirm_window_done() is safe also after a failure. */
MUST_CHECK enum outcome confirm_window_init(struct confirm_window *window, size_t capacity,
                                            confirm_window_settled *settled, void *context,
                                            struct error *ret_error);
/* Does not settle the borrowed items. It is safe on a zeroed struct. */
void confirm_window_done(struct confirm_window *window);

bool confirm_window_is_full(const struct confirm_window *window);
size_t confirm_window_count(const struct confirm_window *window); /* slots from low to next */

/* Borrows the item and its message id until the item is settled or forgotten. The window must not
 * be full. Returns the item's tag. */
uint64_t confirm_window_add(struct confirm_window *window, void *item, struct slice message_id,
                            uint64_t sent_ms);

/* Returns when the oldest unsettled publish was sent, including forgotten ones. The window must not
 * be empty. */
uint64_t confirm_window_oldest_ms(const struct confirm_window *window);

/* Forgets the item of an unsettled tag. The later confirm of that tag is reported with NULL. */
void confirm_window_forget(struct confirm_window *window, uint64_t tag);

/* Marks the unsettled items with this id as returned: their ack will not mean that they are
 * confirmed. A return comes before the ack of the same publish, with acks of others between them,
 * and carries no tag. If several items have the id, or items were forgotten, it is therefore
 * unknown which publish was returned. */
void confirm_window_mark_returned(struct confirm_window *window, struct slice message_id);

/* Settles the unsettled slots of this confirm in tag order: the slot of `tag`, and with `multiple`
 * also all slots before it. A settled slot is not settled again. INVALID: the tag was never
 * published on this channel. */
MUST_CHECK enum outcome confirm_window_settle(struct confirm_window *window, uint64_t tag,
                                              bool multiple, bool is_ack, struct error *ret_error);

/* Settles every unsettled slot as lost, in tag order, and starts over at tag 1, for a new
 * channel. */
void confirm_window_drain(struct confirm_window *window);
