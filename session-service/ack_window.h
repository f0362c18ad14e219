/* Which deliveries wait for their ack, and the fewest acks that settle them. Pure.
 *
 * A delivery is unsettled until its effect is complete (a poison message: until its copy is
 * confirmed). Deliveries settle in any order. An ack is multiple where everything before it is
 * settled too, and single beyond one that is not: an unsettled delivery is never acked.
 *
 *            add                settle               take_acks
 *   (none) -------> unsettled --------> settled -----------------> (none)
 *
 * The broker never has more deliveries out than the prefetch, so that many entries are enough
 * however far their tags lie apart: behind an old poison message they may lie very far apart. */
#pragma once

#include "common/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ack_window_entry {
    uint64_t tag;
    uint64_t read_us;
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
    struct ack *acks;  /* what ack_window_take_acks() returns */
    uint64_t *read_us; /* when what the acks settle was read */
};

/* What to send now, borrowed until the next call. */
struct ack_batch {
    const struct ack *acks;
    size_t ack_count;
    const uint64_t *read_us; /* one for each delivery that the acks settle */
    size_t delivery_count;
};

MUST_CHECK enum outcome ack_window_init(struct ack_window *window, size_t capacity,
                                        struct error *ret_error);
void ack_window_done(struct ack_window *window);

/* Forgets everything: the tags belong to a connection. */
void ack_window_clear(struct ack_window *window);

/* Takes in a delivery, unsettled. BROKEN: more deliveries than the prefetch, or a tag that is not
 * the next one: a multiple ack would settle what nobody has seen. */
MUST_CHECK enum outcome ack_window_add(struct ack_window *window, uint64_t tag, uint64_t read_us,
                                       struct error *ret_error);

/* A tag that is not there, or is settled already, changes nothing. */
void ack_window_settle(struct ack_window *window, uint64_t tag);

struct ack_batch ack_window_take_acks(struct ack_window *window);
