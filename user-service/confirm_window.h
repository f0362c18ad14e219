/* What is in flight on a confirming channel: a ring of items indexed by delivery tag. Pure.
 *
 * Tags start at 1 on each channel. Acks and nacks may be multiple and out of order; a slot is free
 * again when it and all before it are settled. One thread. */
#pragma once

#include "common/base/error.h"
#include "common/base/slice.h"

#include <stdint.h>

struct confirm_slot {
    void *item; /* NULL: forgotten, still unsettled */
    uint64_t sent_ms;
    bool settled;
    bool returned;
};

struct confirm_window {
    struct confirm_slot *slots;
    size_t capacity;
    uint64_t low;           /* the lowest tag that may be unsettled */
    uint64_t next;          /* the tag of the next publish */
    size_t forgotten_count; /* unsettled slots whose item was given up */
};

/* `item` is NULL where it was forgotten. `returned`: the broker had no queue for it. */
typedef void confirm_window_visit(void *item, bool returned, void *context);

MUST_CHECK enum outcome confirm_window_init(struct confirm_window *window, size_t capacity,
                                            struct error *ret_error);
void confirm_window_done(struct confirm_window *window);

bool confirm_window_is_full(const struct confirm_window *window);
size_t confirm_window_count(const struct confirm_window *window); /* slots from low to next */

/* Borrows the item until it is settled, forgotten or drained. Not when full. Returns its tag. */
uint64_t confirm_window_add(struct confirm_window *window, void *item, uint64_t sent_ms);

/* When the longest unsettled was sent, forgotten ones too; not of an empty window. */
uint64_t confirm_window_oldest_ms(const struct confirm_window *window);

/* The item of an unsettled tag is given up; its confirm will be reported with NULL. */
void confirm_window_forget(struct confirm_window *window, uint64_t tag);

/* Marks every unsettled item for which `matches` is true, and returns how many there are. A return
 * carries no tag: of several with one id, or beside forgotten ones, it is not known which it means.
 */
MUST_CHECK size_t confirm_window_mark_returned(struct confirm_window *window,
                                               struct slice message_id,
                                               bool (*matches)(const void *item,
                                                               struct slice message_id));

/* Visits each newly settled slot in tag order: the tag alone, or all up to it. INVALID: the tag was
 * never published here; a tag that is settled already is visited no second time. */
MUST_CHECK enum outcome confirm_window_settle(struct confirm_window *window, uint64_t tag,
                                              bool multiple, confirm_window_visit *visit,
                                              void *context, struct error *ret_error);

/* Visits every unsettled slot in tag order and starts over at tag 1: for a new channel. */
void confirm_window_drain(struct confirm_window *window, confirm_window_visit *visit,
                          void *context);
