/* The key window remembers the events that came with an Idempotency-Key. A repeated key gets the
 * reply of the first event, or waits for it. The window is bounded: the oldest settled key is
 * forgotten first, and there are at most as many keys in flight as admitted events. The module does
 * no input or output. One thread.
 *
 *            claim                 settle: saved                     claim
 *   unknown --------> IN FLIGHT ------------------> SETTLED ---------------------> the same answer
 *      ^              |   ^  |  settle: not known                 beyond the capacity
 *      |  not saved   |   |  +--------------------> DOUBTFUL ------------------------> unknown
 *      +--------------+   +----------------------------+ claim: tried again; then "not saved" is
 *                                                        not known either
 *
 * The table of transitions in key_window.c is asserted. A key that comes with another type or body
 * is REUSED in every state, because the event would be a different message with a known id. Two
 * bodies are the same if their values are (json_canonical.h). */
#pragma once

#include "common/base/digest.h"
#include "user-service/event.h"

struct key_entry;
TAILQ_HEAD(key_queue, key_entry);

struct key_window {
    void *tree; /* of tsearch(3), by key */
    struct key_queue by_age;
    size_t remembered, capacity; /* entries in by_age */
};

enum key_verdict {
    KEY_NEW,       /* claimed by the caller, who settles it */
    KEY_IN_FLIGHT, /* another has claimed it */
    KEY_SETTLED,   /* *ret_outcome is what became of it */
    KEY_REUSED,    /* known with another type or body */
};

/* Remembers `capacity` settled keys. */
void key_window_init(struct key_window *window, size_t capacity);
/* No key may be in flight. */
void key_window_done(struct key_window *window);

/* Looks up the event's message id, type and body, which is JSON. With KEY_NEW and KEY_IN_FLIGHT it
 * sets event->key. BUSY: no memory. */
MUST_CHECK enum outcome key_window_claim(struct key_window *window, struct event *event,
                                         enum key_verdict *ret_verdict,
                                         enum event_outcome *ret_outcome, struct error *ret_error);

/* Makes an event whose claim returned KEY_IN_FLIGHT wait for the event that claimed the key.
 * Borrows the event until that one is settled. */
void key_window_wait(struct event *event);

/* Records the outcome of the event that claimed the key, and returns the events that wait for it. A
 * refusal becomes EVENT_UNKNOWN if an earlier attempt with this key had an unknown outcome. */
void key_window_settle(struct key_window *window, struct event *event,
                       struct work_list *ret_waiting);
