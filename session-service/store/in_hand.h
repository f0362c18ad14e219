/* Says to the next process what this one had in hand when it died: a small file beside the store.
 *
 * It is written without a sync, because it has to outlive the process and not the machine: what the
 * kernel has taken is there after a kill. So a mark costs one call and may be made in the middle of
 * a transaction. It holds how many messages were begun together, and the key of the one that is
 * being handled; while the disk is waited for it holds no key. docs/guarantee.md says what follows
 * from it.
 *
 * One thread. To change what the file holds, give its first word another number: a process takes a
 * file that it cannot read for an empty one. */
#pragma once

#include "common/base/error.h"
#include "common/base/named_file.h"
#include "common/base/slice.h"

#include <stdbool.h>
#include <stddef.h>

enum { IN_HAND_KEY_BYTES = 160 };

struct in_hand {
    const char *directory; /* borrowed */
    int descriptor;        /* owned; -1: not open */
    struct named_file name;
    bool is_read;    /* what the process before has left is known */
    size_t doubtful; /* so many of the next messages were in hand at a death */
    /* Of the process before, until the owner has counted it: "" where it did not die in handling.
     */
    char died_at[IN_HAND_KEY_BYTES];
    bool died_alone; /* it had nothing else in hand */
};

/* Opens nothing. */
void in_hand_init(struct in_hand *in_hand, const char *directory);
void in_hand_done(struct in_hand *in_hand);

/* Opens the file where it is not open, reads what the process before has left, and removes the key
 * from it, so that one death is counted once at the most. Where the next process would find another
 * file, or none, it is opened anew. BUSY: not now. */
MUST_CHECK enum outcome in_hand_open(struct in_hand *in_hand, struct error *ret_error);

/* How many messages may be begun together: `max`, or after a death half of those that were in hand
 * then, until all of them are finished. */
size_t in_hand_group_max(const struct in_hand *in_hand, size_t max);

/* Writes that `count` messages are begun, and that the one with this key, shorter than
 * IN_HAND_KEY_BYTES, is being handled; an empty key: none is. BUSY: not now. */
MUST_CHECK enum outcome in_hand_mark(struct in_hand *in_hand, size_t count, struct slice key,
                                     struct error *ret_error);

/* Nothing is in hand any more, and so many messages are finished. */
void in_hand_finish(struct in_hand *in_hand, size_t finished);
