/* What became of the events that came with an Idempotency-Key: a key that comes again gets the
 * first one's answer, or waits for it. Bounded: of settled keys the oldest is forgotten first;
 * those in flight are as many as events are admitted. No I/O; one thread.
 *
 *            claim                 settle: saved                     claim
 *   unknown --------> IN FLIGHT ------------------> SETTLED ---------------------> the same answer
 *      ^              |   ^  |  settle: not known                 beyond the capacity
 *      |  not saved   |   |  +--------------------> DOUBTFUL ------------------------> unknown
 *      +--------------+   +----------------------------+ claim: tried again; then "not saved" is
 *                                                        not known either
 *
 * With another type or body the key is REUSED in every state: it would be another message under a
 * known id. A body is another one where its value is (json_canonical.h).
 */
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

/* `capacity` settled keys are remembered. */
void key_window_init(struct key_window *window, size_t capacity);
/* Nothing may be in flight. */
void key_window_done(struct key_window *window);

/* Looks for the event's message id, type and body, which is JSON. NEW and IN_FLIGHT set event->key.
 * BUSY: no memory. */
MUST_CHECK enum outcome key_window_claim(struct key_window *window, struct event *event,
                                         enum key_verdict *ret_verdict,
                                         enum event_outcome *ret_outcome, struct error *ret_error);

/* Of an event with KEY_IN_FLIGHT: borrowed until the claiming one is settled. */
void key_window_wait(struct event *event);

/* Of the event that claimed the key: records its outcome, and gives back those that wait for it.
 * What is refused after an attempt that was not known becomes EVENT_UNKNOWN. */
void key_window_settle(struct key_window *window, struct event *event,
                       struct work_list *ret_waiting);
