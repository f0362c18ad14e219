/* A worker: a thread with a name, a list of what is handed over to it, a descriptor that wakes it,
 * a count of its turns, and a way to end it.
 *
 * Items are handed over in batches: a list under a lock, and one write to the descriptor for a
 * batch that finds the list empty. An item embeds a work_item as its first member. */
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

/* Removes and returns the first, NULL when empty. */
struct work_item *work_list_take(struct work_list *list);

struct worker {
    int wake_descriptor;         /* owned eventfd: readable where there is a reason for a turn */
    atomic_uint_least64_t turns; /* the watchdog asks whether it moves */
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

/* Before every other function. After a failure too worker_done() is the end. */
MUST_CHECK enum outcome worker_init(struct worker *worker, struct error *ret_error);
/* The thread has ended, or was never started. */
void worker_done(struct worker *worker);

/* Starts the thread, with a stack that does not depend on `ulimit -s`. `name`: a literal of at most
 * 15 characters. `run` gets the owner, which is borrowed until the thread ends. */
MUST_CHECK enum outcome worker_start(struct worker *worker, const char *name,
                                     void (*run)(void *owner), void *owner,
                                     struct error *ret_error);

/* The thread's own: counts a turn. False where it is to stop. */
bool worker_begin_turn(struct worker *worker);
/* The thread's own: waits until it is woken or to stop, or for `timeout_ms`; -1: without an end. */
void worker_wait(struct worker *worker, int timeout_ms);
/* The thread's own: it is not awake any more. worker_take_all() does it too. */
void worker_clear_wake(struct worker *worker);
/* The thread's own: moves everything that was handed over to the list, which need not be
 * initialized. */
void worker_take_all(struct worker *worker, struct work_list *ret_list);

/* Hands the whole batch over and wakes the worker; the batch is empty afterwards. Any thread. */
void worker_push(struct worker *worker, struct work_list *batch);

/* Wakes it without an item. Any thread. */
void worker_wake(struct worker *worker);

/* Tells it to stop, and wakes it. Any thread. */
void worker_stop(struct worker *worker);
bool worker_is_stopping(const struct worker *worker);

/* Waits for the thread's end; false after `timeout_ms`. With `free_owner` that one time is all: a
 * thread that is stuck is left behind, and calls `free_owner` when it ends. The thread that has
 * started it. True where it was never started. */
MUST_CHECK bool worker_join(struct worker *worker, uint64_t timeout_ms,
                            void (*free_owner)(void *owner));

/* worker_stop(), and waits for the end as long as it takes. The thread that has started it. */
void worker_end(struct worker *worker);
