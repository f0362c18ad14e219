/* Workers: what is handed over keeps its order, wakes once for a batch, and is not lost between two
 * threads; turns are counted; a worker that waits is stopped, and one that is stuck left behind. */
#include "common/threads/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ITEMS = 20000, BATCH = 7, SHORT_MS = 20, LONG_MS = 60000 };

struct item {
    struct work_item item;
    int number;
};

static struct item items[ITEMS];

/* Clears and returns the eventfd's count; 0 where it is not readable. */
static uint64_t wakeups(struct worker *worker)
{
    uint64_t count;
    if (read(worker->wake_descriptor, &count, sizeof(count)) != sizeof(count)) {
        assert_int_equal(errno, EAGAIN);
        return 0;
    }
    return count;
}

static void append(struct work_list *list, int number)
{
    items[number].number = number;
    STAILQ_INSERT_TAIL(list, &items[number].item, next);
}

static int take(struct work_list *list)
{
    const struct item *item = (const struct item *)work_list_take(list);
    return item == NULL ? -1 : item->number;
}

static void a_list_keeps_its_order(void **state)
{
    (void)state;
    struct work_list list = STAILQ_HEAD_INITIALIZER(list);
    assert_int_equal(take(&list), -1);
    append(&list, 0);
    assert_int_equal(take(&list), 0);
    append(&list, 1);
    append(&list, 2);
    assert_int_equal(take(&list), 1);
    append(&list, 3);
    assert_int_equal(take(&list), 2);
    assert_int_equal(take(&list), 3);
    assert_int_equal(take(&list), -1);
}

static void one_wakeup_for_a_batch(void **state)
{
    (void)state;
    struct worker worker;
    assert_int_equal(worker_init(&worker, NULL), OUTCOME_OK);
    struct work_list batch = STAILQ_HEAD_INITIALIZER(batch);
    worker_push(&worker, &batch);
    assert_int_equal(wakeups(&worker), 0);
    for (int i = 0; i < 5; i++) {
        append(&batch, i);
    }
    worker_push(&worker, &batch);
    assert_true(STAILQ_EMPTY(&batch));
    append(&batch, 5);
    worker_push(&worker, &batch); /* finds the first batch still there: no second write */
    assert_int_equal(wakeups(&worker), 1);
    struct work_list taken;
    worker_take_all(&worker, &taken);
    for (int i = 0; i <= 5; i++) {
        assert_int_equal(take(&taken), i);
    }
    assert_int_equal(take(&taken), -1);
    append(&batch, 6);
    worker_push(&worker, &batch);
    worker_take_all(&worker, &taken);
    assert_int_equal(take(&taken), 6);
    assert_int_equal(wakeups(&worker), 0); /* cleared by taking */
    worker_wake(&worker);
    assert_int_equal(wakeups(&worker), 1);
    worker_wake(&worker);
    worker_clear_wake(&worker);
    assert_int_equal(wakeups(&worker), 0);
    worker_done(&worker);
}

static void produce(void *owner)
{
    struct work_list batch = STAILQ_HEAD_INITIALIZER(batch);
    for (int i = 0; i < ITEMS; i++) {
        append(&batch, i);
        if (i % BATCH == BATCH - 1 || i == ITEMS - 1) {
            worker_push(owner, &batch);
        }
    }
}

static void two_threads_lose_nothing(void **state)
{
    (void)state;
    struct worker consumer;
    struct worker producer;
    struct work_list taken;
    assert_int_equal(worker_init(&consumer, NULL), OUTCOME_OK);
    assert_int_equal(worker_init(&producer, NULL), OUTCOME_OK);
    assert_int_equal(worker_start(&producer, "producer", produce, &consumer, NULL), OUTCOME_OK);
    int expected = 0;
    while (expected < ITEMS) {
        /* A lost wakeup would be waited for in vain, until the time of the whole test is over. */
        worker_wait(&consumer, -1);
        worker_take_all(&consumer, &taken);
        for (int number = take(&taken); number != -1; number = take(&taken)) {
            assert_int_equal(number, expected);
            expected++;
        }
    }
    worker_end(&producer);
    worker_take_all(&consumer, &taken);
    assert_true(STAILQ_EMPTY(&taken));
    worker_done(&producer);
    worker_done(&consumer);
}

/* Takes turns, each of which waits without an end. */
static void turn_and_wait(void *owner)
{
    struct worker *worker = owner;
    while (worker_begin_turn(worker)) {
        worker_wait(worker, -1);
        worker_clear_wake(worker);
    }
}

static void await_turns(const struct worker *worker, uint64_t turns)
{
    while (atomic_load(&worker->turns) < turns) {
        usleep(1000);
    }
}

static void a_wake_is_a_turn_and_a_stop_the_last(void **state)
{
    (void)state;
    struct worker worker;
    assert_int_equal(worker_init(&worker, NULL), OUTCOME_OK);
    assert_int_equal(worker_start(&worker, "waiting", turn_and_wait, &worker, NULL), OUTCOME_OK);
    for (uint64_t turns = 1; turns <= 3; turns++) {
        await_turns(&worker, turns);
        usleep(SHORT_MS * 1000);
        assert_int_equal(atomic_load(&worker.turns), turns); /* it waits */
        assert_false(worker_is_stopping(&worker));
        worker_wake(&worker);
    }
    await_turns(&worker, 4);
    worker_stop(&worker);
    assert_true(worker_join(&worker, LONG_MS, NULL));
    assert_false(worker.is_started); /* nor joined once more */
    assert_int_equal(atomic_load(&worker.turns), 5);
    assert_true(worker_join(&worker, 0, NULL)); /* asked again */
    worker_end(&worker);
    worker_done(&worker);
}

/* The time is set by hand. */
static void a_loop_without_a_turn_makes_no_progress(void **state)
{
    (void)state;
    struct worker worker;
    struct error why = {.text = ""};
    assert_int_equal(worker_init(&worker, NULL), OUTCOME_OK);
    worker.name = "looping";
    assert_true(worker_makes_progress(&worker, &why)); /* it has not begun yet */
    (void)worker_begin_turn(&worker);
    assert_true(worker_makes_progress(&worker, &why));
    assert_string_equal(why.text, "");
    uint64_t now_ms = atomic_load(&worker.turned_at_ms);
    atomic_store(&worker.turned_at_ms, now_ms > 7000 ? now_ms - 7000 : 1);
    assert_false(worker_makes_progress(&worker, &why));
    assert_non_null(strstr(why.text, "'looping'"));
    (void)worker_begin_turn(&worker);
    assert_true(worker_makes_progress(&worker, &why));
    worker_done(&worker);
}

/* Whoever is to stop does not wait, although he has taken the wake-up with what was handed over. */
static void a_stop_that_was_taken_is_not_slept_over(void **state)
{
    (void)state;
    struct worker worker;
    struct work_list taken;
    assert_int_equal(worker_init(&worker, NULL), OUTCOME_OK);
    worker_stop(&worker);
    worker_take_all(&worker, &taken);
    worker_wait(&worker, -1);
    assert_false(worker_begin_turn(&worker));
    worker_done(&worker);
}

static void one_that_was_never_started_has_ended(void **state)
{
    (void)state;
    struct worker worker;
    assert_int_equal(worker_init(&worker, NULL), OUTCOME_OK);
    assert_true(worker_join(&worker, 0, NULL));
    worker_end(&worker);
    worker_done(&worker);
}

struct stuck {
    struct worker worker;
    sem_t released, freed;
};

static void be_stuck(void *owner)
{
    struct stuck *stuck = owner;
    while (sem_wait(&stuck->released) != 0) {
    }
}

static void free_stuck(void *owner)
{
    struct stuck *stuck = owner;
    worker_done(&stuck->worker);
    sem_post(&stuck->freed);
}

static struct stuck *start_stuck(void)
{
    static struct stuck stuck;
    sem_init(&stuck.released, 0, 0);
    sem_init(&stuck.freed, 0, 0);
    assert_int_equal(worker_init(&stuck.worker, NULL), OUTCOME_OK);
    assert_int_equal(worker_start(&stuck.worker, "stuck", be_stuck, &stuck, NULL), OUTCOME_OK);
    return &stuck;
}

static void one_that_is_stuck_is_waited_for_again(void **state)
{
    (void)state;
    struct stuck *stuck = start_stuck();
    worker_stop(&stuck->worker);
    assert_false(worker_join(&stuck->worker, SHORT_MS, NULL));
    assert_true(worker_any_is_left());
    sem_post(&stuck->released);
    assert_true(worker_join(&stuck->worker, LONG_MS, NULL));
    assert_false(worker_any_is_left());
    assert_int_equal(sem_trywait(&stuck->freed), -1);
    worker_done(&stuck->worker);
}

static void one_that_is_left_behind_frees_its_owner(void **state)
{
    (void)state;
    struct stuck *stuck = start_stuck();
    worker_stop(&stuck->worker);
    assert_false(worker_join(&stuck->worker, SHORT_MS, free_stuck));
    assert_int_equal(sem_trywait(&stuck->freed), -1);
    sem_post(&stuck->released);
    assert_int_equal(sem_wait(&stuck->freed), 0);
    assert_true(worker_any_is_left()); /* nobody sees its end */
}

static void one_that_ends_in_time_leaves_its_owner(void **state)
{
    (void)state;
    struct stuck *stuck = start_stuck();
    sem_post(&stuck->released);
    assert_true(worker_join(&stuck->worker, LONG_MS, free_stuck));
    assert_int_equal(sem_trywait(&stuck->freed), -1);
    worker_done(&stuck->worker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_keeps_its_order),
        cmocka_unit_test(one_wakeup_for_a_batch),
        cmocka_unit_test(two_threads_lose_nothing),
        cmocka_unit_test(a_wake_is_a_turn_and_a_stop_the_last),
        cmocka_unit_test(a_loop_without_a_turn_makes_no_progress),
        cmocka_unit_test(a_stop_that_was_taken_is_not_slept_over),
        cmocka_unit_test(one_that_was_never_started_has_ended),
        cmocka_unit_test(one_that_is_stuck_is_waited_for_again),
        cmocka_unit_test(one_that_is_left_behind_frees_its_owner),
        cmocka_unit_test(one_that_ends_in_time_leaves_its_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
