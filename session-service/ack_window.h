/* The ack window knows which deliveries wait for their ack, and computes the fewest acks that
 * settle them. Pure.
 *
 * A delivery is unsettled until its effect is complete. A message that can never be handled is
 * unsettled until its copy is confirmed. Deliveries settle in any order. The acks are one multiple
 * ack up to the first unsettled delivery, and single acks beyond it. An unsettled delivery is never
 * acknowledged.
 *
 *            add                settle               take_acks
 *   (none) -------> unsettled --------> settled -----------------> (none)
 *
 * The broker never has more unacknowledged deliveries than the prefetch, so the window has that
 * many entries. It stores tags instead of indexing by them, because tags may lie far apart behind a
 * delivery that is unsettled for long. */
#pragma once

#include "common/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ack_window_entry {
    uint64_t tag;
    uint64_t read_us;
    uint8_t consumer; /* the number of the queue that it came from */
    bool settled;
};

struct ack {
    uint64_t tag;
    bool multiple;
};

struct ack_window {
    struct ack_window_entry *entries; /* ascending tags */
    size_t count, capacity;
    uint64_t last_tag; /* of all that were added; 0: none */
    uint8_t held;      /* the deliveries of this consumer wait with their acks; 0: of none */
    struct ack *acks;  /* what ack_window_take_acks() returns */
    uint64_t *read_us; /* when what the acks settle was read */
};

/* The acks to send now, borrowed until the next call. */
struct ack_batch {
    const struct ack *acks;
    size_t ack_count;
    const uint64_t *read_us; /* one for each delivery that the acks settle */
    size_t delivery_count;
};

MUST_CHECK enum outcome ack_window_init(struct ack_window *window, size_t capacity,
                                        struct error *ret_error);
void ack_window_done(struct ack_window *window);

/* Forgets everything, because the tags belong to a connection. */
void ack_window_clear(struct ack_window *window);

/* Adds an unsettled delivery. BROKEN: there are more deliveries than the prefetch, or the tag is
 * not the next one. In the second case a multiple ack would settle a delivery that was not read. */
MUST_CHECK enum outcome ack_window_add(struct ack_window *window,
                                       const struct ack_window_entry *entry,
                                       struct error *ret_error);

/* Settles a delivery. A tag that is not in the window, or is settled already, changes nothing. */
void ack_window_settle(struct ack_window *window, uint64_t tag);

/* Whether the delivery waits to be settled. */
bool ack_window_is_open(const struct ack_window *window, uint64_t tag);

/* Holds back the acks of one consumer from now on, until another one, or 0, takes its place. */
void ack_window_hold(struct ack_window *window, uint8_t consumer);

/* How many deliveries of a consumer there are, and how many of them are unsettled. */
struct ack_window_share {
    size_t count, unsettled;
};
struct ack_window_share ack_window_share_of(const struct ack_window *window, uint8_t consumer);

struct ack_batch ack_window_take_acks(struct ack_window *window);
