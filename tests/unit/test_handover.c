/* Handing batches over: order, one wakeup for a batch, nothing lost between two threads. */
#include "common/threads/handover.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <unistd.h>

enum { ITEMS = 20000, BATCH = 7 };

struct item {
    struct handover_node node;
    int number;
};

static struct item items[ITEMS];

/* Clears and returns the eventfd's count; 0 where it is not readable. */
static uint64_t wakeups(struct handover *handover)
{
    uint64_t count;
    if (read(handover->wake_descriptor, &count, sizeof(count)) != sizeof(count)) {
        assert_int_equal(errno, EAGAIN);
        return 0;
    }
    return count;
}

static void append(struct handover_list *list, int number)
{
    items[number].number = number;
    handover_list_append(list, &items[number].node);
}

static int take(struct handover_list *list)
{
    const struct item *item = (const struct item *)handover_list_take(list);
    return item == NULL ? -1 : item->number;
}

static void a_list_keeps_its_order(void **state)
{
    (void)state;
    struct handover_list list = {NULL, NULL};
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
    struct handover handover;
    assert_int_equal(handover_init(&handover, NULL), OUTCOME_OK);
    struct handover_list batch = {NULL, NULL};
    handover_push(&handover, &batch);
    assert_int_equal(wakeups(&handover), 0);
    for (int i = 0; i < 5; i++) {
        append(&batch, i);
    }
    handover_push(&handover, &batch);
    assert_null(batch.head);
    assert_null(batch.tail);
    append(&batch, 5);
    handover_push(&handover, &batch); /* finds the first batch still there: no second write */
    assert_int_equal(wakeups(&handover), 1);
    struct handover_list taken = handover_take_all(&handover);
    for (int i = 0; i <= 5; i++) {
        assert_int_equal(take(&taken), i);
    }
    assert_int_equal(take(&taken), -1);
    append(&batch, 6);
    handover_push(&handover, &batch);
    taken = handover_take_all(&handover);
    assert_int_equal(take(&taken), 6);
    assert_int_equal(wakeups(&handover), 0); /* cleared by taking */
    handover_wake(&handover);
    assert_int_equal(wakeups(&handover), 1);
    handover_done(&handover);
}

static void *produce(void *context)
{
    struct handover *handover = context;
    struct handover_list batch = {NULL, NULL};
    for (int i = 0; i < ITEMS; i++) {
        append(&batch, i);
        if (i % BATCH == BATCH - 1 || i == ITEMS - 1) {
            handover_push(handover, &batch);
        }
    }
    return NULL;
}

static void two_threads_lose_nothing(void **state)
{
    (void)state;
    struct handover handover;
    assert_int_equal(handover_init(&handover, NULL), OUTCOME_OK);
    pthread_t producer;
    assert_int_equal(pthread_create(&producer, NULL, produce, &handover), 0);
    int expected = 0;
    while (expected < ITEMS) {
        struct pollfd wake = {.fd = handover.wake_descriptor, .events = POLLIN};
        /* A lost wakeup would be waited for in vain, until the time of the whole test is over. */
        assert_int_equal(poll(&wake, 1, -1), 1);
        struct handover_list taken = handover_take_all(&handover);
        for (int number = take(&taken); number != -1; number = take(&taken)) {
            assert_int_equal(number, expected);
            expected++;
        }
    }
    assert_int_equal(pthread_join(producer, NULL), 0);
    assert_null(handover_take_all(&handover).head);
    handover_done(&handover);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_keeps_its_order),
        cmocka_unit_test(one_wakeup_for_a_batch),
        cmocka_unit_test(two_threads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
