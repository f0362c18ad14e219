/* A worker is a thread with a name, a list of the items that are handed over to it, a descriptor
 * that wakes it, a count of its turns, and a way to end it.
 *
 * Items are handed over in batches. A batch goes into a list under a lock. If the list was empty,
 * one write to the descriptor wakes the worker. An item embeds a work_item as its first member. */
#pragma once

#include "common/base/error.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct work_item {
    STAILQ_ENTRY(work_item) next;
};
STAILQ_HEAD(work_list, work_item);

/* Removes and returns the first item, NULL if the list is empty. */
struct work_item *work_list_take(struct work_list *list);

struct worker {
    int wake_descriptor;         /* owned eventfd: readable where there is a reason for a turn */
    atomic_uint_least64_t turns; /* the watchdog asks whether it moves */
    atomic_uint_least64_t turned_at_ms; /* when the last turn began; 0: none has */
    const char *name;
    atomic_bool is_stopping;
    pthread_t thread;
    bool is_started; /* and not joined */
    void (*run)(void *owner);
    void *owner;

    pthread_mutex_t lock; /* guards what follows */
    struct work_list arrived;
    bool is_running;
    pthread_cond_t has_ended;
    void (*free_owner)(void *owner); /* not NULL: nobody will join */
};

/* To be called before every other function. worker_done() is safe also after a failure. */
MUST_CHECK enum outcome worker_init(struct worker *worker, struct error *ret_error);
/* To be called when the thread has ended, or was never started. */
void worker_done(struct worker *worker);

/* Starts the thread, with a stack that does not depend on `ulimit -s`. `name` is a literal of at
 * most 15 characters. `run` gets the owner, which is borrowed until the thread ends. */
MUST_CHECK enum outcome worker_start(struct worker *worker, const char *name,
                                     void (*run)(void *owner), void *owner,
                                     struct error *ret_error);

/* Counts a turn. False: the thread is to end. To be called by the thread itself. */
bool worker_begin_turn(struct worker *worker);
/* Waits until the worker is woken or stopped, or for `timeout_ms` (-1: without an end). To be
 * called by the thread itself. */
void worker_wait(struct worker *worker, int timeout_ms);
/* Makes the descriptor not readable any more. worker_take_all() does it too. To be called by the
 * thread itself. */
void worker_clear_wake(struct worker *worker);
/* Moves everything that was handed over to the list, which need not be initialized. To be called by
 * the thread itself. */
void worker_take_all(struct worker *worker, struct work_list *ret_list);

/* Hands the whole batch over and wakes the worker; the batch is empty afterwards. Any thread. */
void worker_push(struct worker *worker, struct work_list *batch);

/* Wakes the worker without an item. Any thread. */
void worker_wake(struct worker *worker);

enum { WORKER_TURN_MS_MAX = 5000 };

/* False where its loop has begun no turn for WORKER_TURN_MS_MAX, though one that lives takes a turn
 * at least once a second; `ret_reason` says so. True before its first turn. Any thread. */
MUST_CHECK bool worker_makes_progress(const struct worker *worker, struct error *ret_reason);

/* Asks the thread to end, and wakes it. Any thread. */
void worker_stop(struct worker *worker);
bool worker_is_stopping(const struct worker *worker);

/* True if the thread was told to stop and has returned: it takes no more of what it is handed. Any
 * thread. */
bool worker_has_ended(struct worker *worker);

/* Waits for the end of the thread. False: it did not end within `timeout_ms`. If `free_owner` is
 * not NULL, that was the only wait: a stuck thread is left behind, and calls `free_owner` when it
 * ends. True if the thread was never started. To be called by the thread that has started it. */
MUST_CHECK bool worker_join(struct worker *worker, uint64_t timeout_ms,
                            void (*free_owner)(void *owner));

/* Calls worker_stop(), and waits for the end as long as it takes. To be called by the thread that
 * has started it. */
void worker_end(struct worker *worker);

/* Calls worker_stop(), and waits for the end while the thread makes progress. False: it hangs, such
 * as in a call of a disk that does not answer, and may be waited for again. To be called by the
 * thread that has started it. */
MUST_CHECK bool worker_end_unless_stuck(struct worker *worker);

/* Whether a thread of the process was started and not joined. Any thread. */
MUST_CHECK bool worker_any_is_left(void);
