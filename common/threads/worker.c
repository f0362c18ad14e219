/* One thread, one eventfd, one lock. */
#include "common/threads/worker.h"

#include "common/base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* What needs the most is jansson: it reads nested JSON by recursion, 2,048 levels deep before it
 * refuses. Memory that is not used costs nothing. */
enum { STACK_BYTES = 8 * 1024 * 1024, LOOK_MS = 200 };

struct work_item *work_list_take(struct work_list *list)
{
    struct work_item *item = STAILQ_FIRST(list);
    if (item != NULL) {
        STAILQ_REMOVE_HEAD(list, next);
    }
    return item;
}

enum outcome worker_init(struct worker *worker, struct error *ret_error)
{
    *worker = (struct worker){.wake_descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    pthread_mutex_init(&worker->lock, NULL);
    pthread_cond_init(&worker->has_ended, NULL);
    STAILQ_INIT(&worker->arrived);
    return worker->wake_descriptor >= 0
               ? OUTCOME_OK
               : error_set_errno(ret_error, OUTCOME_TRANSIENT, errno, "cannot create an eventfd");
}

void worker_done(struct worker *worker)
{
    (void)close(worker->wake_descriptor);
    pthread_cond_destroy(&worker->has_ended);
    pthread_mutex_destroy(&worker->lock);
}

static atomic_int threads; /* that were started and not joined */

static void *run_thread(void *argument)
{
    struct worker *worker = argument;
    worker->run(worker->owner);
    pthread_mutex_lock(&worker->lock);
    worker->is_running = false;
    pthread_cond_signal(&worker->has_ended);
    void (*free_owner)(void *owner) = worker->free_owner;
    pthread_mutex_unlock(&worker->lock);
    if (free_owner != NULL) {
        free_owner(worker->owner);
    }
    return NULL;
}

enum outcome worker_start(struct worker *worker, const char *name, void (*run)(void *owner),
                          void *owner, struct error *ret_error)
{
    worker->run = run;
    worker->owner = owner;
    worker->name = name;
    worker->is_running = true;
    pthread_attr_t attributes;
    int status = pthread_attr_init(&attributes);
    if (status == 0) {
        status = pthread_attr_setstacksize(&attributes, STACK_BYTES);
        if (status == 0) {
            status = pthread_create(&worker->thread, &attributes, run_thread, worker);
        }
        (void)pthread_attr_destroy(&attributes);
    }
    if (status != 0) {
        return error_set_errno(ret_error, OUTCOME_TRANSIENT, status, "start the thread '%s'", name);
    }
    worker->is_started = true;
    atomic_fetch_add(&threads, 1);
    (void)pthread_setname_np(worker->thread, name); /* for tools; nothing depends on it */
    return OUTCOME_OK;
}

bool worker_begin_turn(struct worker *worker)
{
    atomic_fetch_add_explicit(&worker->turns, 1, memory_order_relaxed);
    atomic_store_explicit(&worker->turned_at_ms, clock_monotonic_ms(), memory_order_relaxed);
    return !worker_is_stopping(worker);
}

void worker_wait(struct worker *worker, int timeout_ms)
{
    struct pollfd watched = {.fd = worker->wake_descriptor, .events = POLLIN};
    /* What told it to stop may have been cleared with what was handed over. */
    if (!worker_is_stopping(worker)) {
        (void)poll(&watched, 1, timeout_ms); /* a failure costs an early turn */
    }
}

void worker_clear_wake(struct worker *worker)
{
    uint64_t count;
    (void)!read(worker->wake_descriptor, &count, sizeof(count));
}

void worker_take_all(struct worker *worker, struct work_list *ret_list)
{
    STAILQ_INIT(ret_list);
    /* Cleared before the list is taken: what is pushed in between is either taken now or finds an
     * empty list and wakes again. */
    worker_clear_wake(worker);
    pthread_mutex_lock(&worker->lock);
    STAILQ_CONCAT(ret_list, &worker->arrived);
    pthread_mutex_unlock(&worker->lock);
}

void worker_push(struct worker *worker, struct work_list *batch)
{
    if (STAILQ_EMPTY(batch)) {
        return;
    }
    pthread_mutex_lock(&worker->lock);
    bool was_empty = STAILQ_EMPTY(&worker->arrived);
    STAILQ_CONCAT(&worker->arrived, batch);
    pthread_mutex_unlock(&worker->lock);
    /* After the lock, so that the other side does not wake only to wait for it. */
    if (was_empty) {
        worker_wake(worker);
    }
}

void worker_wake(struct worker *worker)
{
    /* Fails only where the counter is full, and then the descriptor is readable anyway. */
    const uint64_t one = 1;
    (void)!write(worker->wake_descriptor, &one, sizeof(one));
}

bool worker_makes_progress(const struct worker *worker, struct error *ret_reason)
{
    uint64_t turned_at_ms = atomic_load_explicit(&worker->turned_at_ms, memory_order_relaxed);
    uint64_t now_ms = clock_monotonic_ms();
    if (turned_at_ms == 0 || now_ms < turned_at_ms + WORKER_TURN_MS_MAX) {
        return true;
    }
    error_set(ret_reason, OUTCOME_BUSY, "the thread '%s' has made no progress for %" PRIu64 " s",
              worker->name, (now_ms - turned_at_ms) / 1000);
    return false;
}

void worker_stop(struct worker *worker)
{
    atomic_store(&worker->is_stopping, true);
    worker_wake(worker);
}

bool worker_is_stopping(const struct worker *worker)
{
    return atomic_load(&worker->is_stopping);
}

bool worker_has_ended(struct worker *worker)
{
    if (!worker_is_stopping(worker)) {
        return false; /* without the lock */
    }
    pthread_mutex_lock(&worker->lock);
    bool has_ended = !worker->is_running;
    pthread_mutex_unlock(&worker->lock);
    return has_ended;
}

bool worker_join(struct worker *worker, uint64_t timeout_ms, void (*free_owner)(void *owner))
{
    if (!worker->is_started) {
        return true;
    }
    uint64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    const struct timespec deadline = {.tv_sec = (time_t)(deadline_ms / 1000),
                                      .tv_nsec = (long)(deadline_ms % 1000) * 1000000};
    int status = 0;
    pthread_mutex_lock(&worker->lock);
    while (worker->is_running && status == 0) {
        status =
            pthread_cond_clockwait(&worker->has_ended, &worker->lock, CLOCK_MONOTONIC, &deadline);
    }
    bool is_running = worker->is_running;
    pthread_t thread = worker->thread; /* the worker may be freed as soon as it is unlocked */
    worker->is_started = is_running;
    worker->free_owner = free_owner;
    pthread_mutex_unlock(&worker->lock);
    if (!is_running) {
        pthread_join(thread, NULL);
        atomic_fetch_sub(&threads, 1);
    } else if (free_owner != NULL) {
        pthread_detach(thread);
    }
    return !is_running;
}

void worker_end(struct worker *worker)
{
    if (worker->is_started) {
        worker_stop(worker);
        pthread_join(worker->thread, NULL);
        atomic_fetch_sub(&threads, 1);
        worker->is_started = false;
    }
}

bool worker_end_unless_stuck(struct worker *worker)
{
    struct error hangs;
    worker_stop(worker);
    while (!worker_join(worker, LOOK_MS, NULL)) {
        if (!worker_makes_progress(worker, &hangs)) {
            return false;
        }
    }
    return true;
}

bool worker_any_is_left(void)
{
    return atomic_load(&threads) > 0;
}
