/* How far the keys are on disk, by their orders: the key writer says so, and the HTTP loop asks. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum key_sync {
    KEY_SYNC_UNDER_WAY,
    KEY_SYNCED,     /* it outlives the machine */
    KEY_NOT_SYNCED, /* that has failed, and is tried again */
};

/* Zero it to begin. */
struct key_progress {
    atomic_uint_least64_t synced; /* all keys up to this order are on disk */
    atomic_uint_least64_t tried;  /* all up to this one are, or have failed */
};

/* All up to `order` were tried, with this result. Orders ascend. One thread at a time. */
void key_progress_show(struct key_progress *progress, uint64_t order, bool is_synced);

/* Any thread. */
enum key_sync key_progress_of(const struct key_progress *progress, uint64_t order);
