/* What is in flight on a confirming channel: a ring of items indexed by delivery tag. Pure.
 *
 * Tags start at 1 on each channel. Acks and nacks may be multiple and out of order; a slot is free
 * again when it and all before it are settled. One thread. */
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

/* Called once for each item that was added. `item` is NULL where it was forgotten. Adds nothing. */
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
    size_t forgotten_count; /* unsettled slots whose item was given up */
};

/* BUSY: no memory. Then and later confirm_window_done() is safe. */
MUST_CHECK enum outcome confirm_window_init(struct confirm_window *window, size_t capacity,
                                            confirm_window_settled *settled, void *context,
                                            struct error *ret_error);
/* Borrowed items are not settled. Safe on a zeroed struct. */
void confirm_window_done(struct confirm_window *window);

bool confirm_window_is_full(const struct confirm_window *window);
size_t confirm_window_count(const struct confirm_window *window); /* slots from low to next */

/* Borrows the item and its message id until it is settled or forgotten. Not when full. Returns its
 * tag. */
uint64_t confirm_window_add(struct confirm_window *window, void *item, struct slice message_id,
                            uint64_t sent_ms);

/* When the longest unsettled was sent, forgotten ones too; not of an empty window. */
uint64_t confirm_window_oldest_ms(const struct confirm_window *window);

/* The item of an unsettled tag is given up; its confirm will be reported with NULL. */
void confirm_window_forget(struct confirm_window *window, uint64_t tag);

/* The ack of an item with this id will not mean that it is confirmed. A return comes before the ack
 * of the same publish, acks of others may come between, and it carries no tag: of several with one
 * id, or beside forgotten ones, it is not known which it means. */
void confirm_window_mark_returned(struct confirm_window *window, struct slice message_id);

/* Settles in tag order what is unsettled: the tag alone, or all up to it. INVALID: the tag was
 * never published here. */
MUST_CHECK enum outcome confirm_window_settle(struct confirm_window *window, uint64_t tag,
                                              bool multiple, bool is_ack, struct error *ret_error);

/* Settles every unsettled slot as lost, in tag order, and starts over at tag 1: for a new channel.
 */
void confirm_window_drain(struct confirm_window *window);
