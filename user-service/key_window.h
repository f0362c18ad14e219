/* The key window remembers the events that came with an Idempotency-Key. A repeated key gets the
 * reply of the first event, or waits for it. The window is bounded by number and by time: the
 * oldest settled key is forgotten first, and there are at most as many keys in flight as admitted
 * events. The module does no input or output. One thread.
 *
 *            claim                 settle: saved                     claim
 *   unknown --------> IN FLIGHT ------------------> SETTLED ---------------------> the same answer
 *      ^              |   ^  |  settle: not known                 beyond the capacity, or too old
 *      |  not saved   |   |  +--------------------> DOUBTFUL ------------------------> unknown
 *      +--------------+   +----------------------------+ claim: tried again; then "not saved" is
 *                                                        not known either
 *
 * The table of transitions in key_window.c is asserted. A key that comes with another type or body
 * is REUSED in every state, because the event would be a different message with a known id. Two
 * bodies are the same if their values are (json_canonical.h).
 *
 * Each key has a place of its own in the file of the keys (key_file.h), as long as it is known. A
 * place that has become free is given to the next key, so the file needs as many places as keys
 * are known at once. What the caller has read from the file at the start is restored before the
 * first claim. */
#pragma once

#include "user-service/event.h"
#include "user-service/key_record.h"

struct key_entry;
TAILQ_HEAD(key_queue, key_entry);

struct key_window_options {
    size_t capacity;       /* so many settled keys are remembered */
    size_t in_flight_max;  /* beside them */
    uint64_t retention_ms; /* and none is remembered for longer, but those in flight */
};

struct key_window {
    struct key_window_options options;
    void *tree; /* of tsearch(3), by the digest of the key */
    struct key_queue by_age;
    struct key_queue unused; /* keep the places that are free */
    size_t remembered;       /* entries in by_age */
    uint32_t places;         /* given to entries, in use or unused */
    uint64_t last_order;
    uint64_t restored_ms; /* the latest time of what was restored */
};

enum key_verdict {
    KEY_NEW,       /* claimed by the caller, who settles it */
    KEY_IN_FLIGHT, /* another has claimed it */
    KEY_SETTLED,   /* *ret_outcome is what became of it */
    KEY_REUSED,    /* known with another type or body */
};

void key_window_init(struct key_window *window, const struct key_window_options *options);
/* No key may be in flight. */
void key_window_done(struct key_window *window);

/* So many places the file may need. */
uint32_t key_window_places_max(const struct key_window *window);
/* Restores what the file holds in one of its places. Records are restored in ascending order, and
 * empty places (order 0) at any time. `now_ms` is the wall clock. BUSY: no memory. */
MUST_CHECK enum outcome key_window_restore(struct key_window *window,
                                           const struct key_change *content, uint64_t now_ms,
                                           struct error *ret_error);

/* Looks up the event's message id, type and body, which is JSON. The event's time is the present.
 * With KEY_NEW and KEY_IN_FLIGHT it sets event->key. BUSY: no memory. */
MUST_CHECK enum outcome key_window_claim(struct key_window *window, struct event *event,
                                         enum key_verdict *ret_verdict,
                                         enum event_outcome *ret_outcome, struct error *ret_error);

/* Returns what is to be in the file before the event of KEY_NEW is published. Borrowed until it is
 * settled. NULL: it has been handed out before, when the key was claimed first. */
const struct key_change *key_window_to_write(struct event *event);
/* Returns the order of the key that the event has claimed. */
uint64_t key_window_order(const struct event *event);

/* Makes an event whose claim returned KEY_IN_FLIGHT wait for the event that claimed the key.
 * Borrows the event until that one is settled. */
void key_window_wait(struct event *event);

/* Records the outcome of the event that claimed the key, and returns the events that wait for it. A
 * refusal becomes EVENT_UNKNOWN if an earlier attempt with this key had an unknown outcome. Returns
 * whether the file is to be changed, and to what. */
MUST_CHECK bool key_window_settle(struct key_window *window, struct event *event,
                                  struct work_list *ret_waiting, struct key_change *ret_change);
