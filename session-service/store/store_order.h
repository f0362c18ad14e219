/* Which of two changes of a user is the later one. Pure.
 *
 * A change has its place by the time that the user-service has named for it in `saved_at_ms`. That
 * time is believed where it is not ahead of this host's clock by more than a tolerance, and where
 * the message has an id. Any other change has its place by its arrival: it is later than all that
 * has arrived before it, and it is not compared by a time with what arrives after it, because it
 * may have waited in the queue beside it. What is known then is only the greatest time that was
 * believed before: the floor, below which nothing changes the user. */
#pragma once

#include "common/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct store_order {
    bool by_arrival;
    bool id_is_ours;     /* such ids of one millisecond are in their order */
    int64_t rank_ms;     /* is compared with that of the user's present state */
    int64_t saved_at_ms; /* is shown as the user's */
    int64_t floor_ms;    /* by_arrival: the least that a later change must have as its time */
    int64_t latest_ms;   /* a time after this one is believed of nobody, of a state neither */
    int64_t ahead_ms; /* so far the named time is ahead of now where it is not believed; else 0 */
};

/* `named_ms` is the time that the message names, in milliseconds since 1970; -1: none. */
struct store_order store_order_of(struct slice message_id, int64_t named_ms, int64_t now_ms,
                                  int64_t tolerance_ms);

/* A state or a deletion of that time is replaced. */
void store_order_replaces(struct store_order *order, int64_t time_ms);
