/* The confirm window: multiple acks, out of order, wrap, returns, and a long random run against a
 * naive model. */
#include "common/amqp/confirm_window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CAPACITY = 8, MODEL_STEPS = 200000, MODEL_ITEMS = 4096 };

struct visited {
    const char *items[64];
    enum confirm_result results[64];
    size_t count;
};

static struct visited visited; /* by the last call */

static void record(void *item, enum confirm_result result, void *context)
{
    assert_null(context);
    visited.items[visited.count] = item;
    visited.results[visited.count] = result;
    visited.count++;
}

static struct confirm_window window_of(size_t capacity)
{
    struct confirm_window window;
    struct error error;
    assert_int_equal(confirm_window_init(&window, capacity, record, NULL, &error), OUTCOME_OK);
    return window;
}

static uint64_t add(struct confirm_window *window, const char *name)
{
    return confirm_window_add(window, (void *)(uintptr_t)name, slice_of(name), window->next * 100);
}

static size_t confirm(struct confirm_window *window, uint64_t tag, bool multiple, bool is_ack)
{
    struct error error;
    visited.count = 0;
    assert_int_equal(confirm_window_settle(window, tag, multiple, is_ack, &error), OUTCOME_OK);
    return visited.count;
}

static size_t settle(struct confirm_window *window, uint64_t tag, bool multiple)
{
    return confirm(window, tag, multiple, true);
}

static void assert_visited(size_t index, const char *item, enum confirm_result result)
{
    assert_true(index < visited.count);
    assert_string_equal(visited.items[index], item);
    assert_int_equal(visited.results[index], result);
}

static void tags_count_from_one(void **state)
{
    (void)state;
    struct confirm_window window = window_of(CAPACITY);
    assert_int_equal(add(&window, "a"), 1);
    assert_int_equal(add(&window, "b"), 2);
    assert_int_equal(confirm_window_count(&window), 2);
    confirm_window_done(&window);
}

static void a_multiple_ack_settles_all_before_it(void **state)
{
    (void)state;
    struct confirm_window window = window_of(CAPACITY);
    add(&window, "a");
    add(&window, "b");
    add(&window, "c");
    assert_int_equal(settle(&window, 2, true), 2);
    assert_visited(0, "a", CONFIRM_CONFIRMED);
    assert_visited(1, "b", CONFIRM_CONFIRMED);
    assert_int_equal(confirm_window_count(&window), 1);
    assert_int_equal(settle(&window, 0, true), 1); /* tag 0: all */
    assert_visited(0, "c", CONFIRM_CONFIRMED);
    confirm_window_done(&window);
}

static void a_nack_refuses(void **state)
{
    (void)state;
    struct confirm_window window = window_of(CAPACITY);
    add(&window, "a");
    add(&window, "b");
    add(&window, "c");
    assert_int_equal(confirm(&window, 2, false, false), 1);
    assert_visited(0, "b", CONFIRM_REFUSED);
    assert_int_equal(confirm(&window, 3, true, false), 2);
    assert_visited(0, "a", CONFIRM_REFUSED);
    assert_visited(1, "c", CONFIRM_REFUSED);
    confirm_window_done(&window);
}

static void out_of_order_settles_each_once(void **state)
{
    (void)state;
    struct confirm_window window = window_of(CAPACITY);
    add(&window, "a");
    add(&window, "b");
    add(&window, "c");
    assert_int_equal(settle(&window, 2, false), 1);
    assert_visited(0, "b", CONFIRM_CONFIRMED);
    assert_int_equal(confirm_window_count(&window), 3); /* "a" still holds the low end */
    assert_int_equal(settle(&window, 2, false), 0);
    assert_int_equal(settle(&window, 3, true), 2);
    assert_visited(0, "a", CONFIRM_CONFIRMED);
    assert_visited(1, "c", CONFIRM_CONFIRMED);
    assert_int_equal(confirm_window_count(&window), 0);
    assert_int_equal(settle(&window, 1, false), 0);
    confirm_window_done(&window);
}

static void the_oldest_is_the_first_unsettled(void **state)
{
    (void)state;
    struct confirm_window window = window_of(CAPACITY);
    add(&window, "a");
    add(&window, "b");
    add(&window, "c");
    (void)settle(&window, 2, false);
    assert_int_equal(confirm_window_oldest_ms(&window), 100);
    confirm_window_forget(&window, 1); /* nobody waits for it, but the broker owes it still */
    assert_int_equal(confirm_window_oldest_ms(&window), 100);
    (void)settle(&window, 1, false);
    assert_int_equal(confirm_window_oldest_ms(&window), 300);
    confirm_window_done(&window);
}

static void it_is_full_until_the_oldest_is_settled(void **state)
{
    (void)state;
    struct confirm_window window = window_of(CAPACITY);
    for (int i = 0; i < CAPACITY; i++) {
        assert_false(confirm_window_is_full(&window));
        add(&window, "x");
    }
    assert_true(confirm_window_is_full(&window));
    (void)settle(&window, 2, false);
    assert_true(confirm_window_is_full(&window));
    (void)settle(&window, 1, false);
    assert_false(confirm_window_is_full(&window));
    assert_int_equal(confirm_window_count(&window), CAPACITY - 2);
    confirm_window_done(&window);
}

static void slots_are_used_again_and_again(void **state)
{
    (void)state;
    struct confirm_window window = window_of(3);
    for (uint64_t tag = 1; tag <= 1000; tag++) {
        char name[24];
        snprintf(name, sizeof(name), "%d", (int)tag);
        assert_int_equal(add(&window, name), tag);
        assert_int_equal(settle(&window, tag, tag % 2 == 0), 1);
        assert_visited(0, name, CONFIRM_CONFIRMED);
    }
    confirm_window_done(&window);
}

static void an_unknown_tag_is_invalid(void **state)
{
    (void)state;
    struct confirm_window window = window_of(CAPACITY);
    struct error error;
    add(&window, "a");
    visited.count = 0;
    assert_int_equal(confirm_window_settle(&window, 2, false, true, &error), OUTCOME_INVALID);
    assert_int_equal(confirm_window_settle(&window, 0, false, true, &error), OUTCOME_INVALID);
    assert_int_equal(confirm_window_settle(&window, UINT64_MAX, true, true, &error),
                     OUTCOME_INVALID);
    assert_int_equal(visited.count, 0);
    assert_int_equal(confirm_window_count(&window), 1);
    confirm_window_done(&window);
}

static void a_return_is_latched_until_its_ack(void **state)
{
    (void)state;
    struct confirm_window window = window_of(CAPACITY);
    add(&window, "same");
    add(&window, "other");
    add(&window, "same");
    confirm_window_mark_returned(&window, slice_of("nobody"));
    confirm_window_mark_returned(&window, slice_of("other"));
    assert_int_equal(settle(&window, 1, false), 1); /* of another publish: comes between */
    assert_visited(0, "same", CONFIRM_CONFIRMED);
    assert_int_equal(settle(&window, 3, true), 2);
    assert_visited(0, "other", CONFIRM_RETURNED);
    assert_visited(1, "same", CONFIRM_CONFIRMED);
    confirm_window_mark_returned(&window, slice_of("other"));

    /* Nothing of it is left for who takes the slots next. */
    for (uint64_t tag = 4; tag < 4 + 2 * CAPACITY; tag++) {
        add(&window, "other");
        assert_int_equal(settle(&window, tag, false), 1);
        assert_visited(0, "other", CONFIRM_CONFIRMED);
    }
    confirm_window_done(&window);
}

static void all_of_one_id_are_marked(void **state)
{
    (void)state;
    struct confirm_window window = window_of(CAPACITY);
    add(&window, "same");
    add(&window, "other");
    add(&window, "same");
    confirm_window_mark_returned(&window, slice_of("same"));
    assert_int_equal(settle(&window, 3, true), 3);
    assert_visited(0, "same", CONFIRM_MAYBE_RETURNED);
    assert_visited(1, "other", CONFIRM_CONFIRMED);
    assert_visited(2, "same", CONFIRM_MAYBE_RETURNED);

    /* Those without an id, too. */
    add(&window, "");
    add(&window, "");
    confirm_window_mark_returned(&window, (struct slice){0});
    assert_int_equal(settle(&window, 5, true), 2);
    assert_visited(0, "", CONFIRM_MAYBE_RETURNED);
    assert_visited(1, "", CONFIRM_MAYBE_RETURNED);
    confirm_window_done(&window);
}

static void a_forgotten_item_is_reported_as_nothing(void **state)
{
    (void)state;
    struct confirm_window window = window_of(CAPACITY);
    uint64_t tag = add(&window, "a");
    confirm_window_forget(&window, tag);
    confirm_window_forget(&window, tag + 1); /* never published: nothing happens */
    confirm_window_forget(&window, 0);
    assert_int_equal(window.forgotten_count, 1);
    add(&window, "a");
    confirm_window_mark_returned(&window, slice_of("a")); /* which of the two, nobody says */
    assert_int_equal(confirm_window_count(&window), 2);
    assert_int_equal(settle(&window, tag + 1, true), 2);
    assert_null(visited.items[0]);
    assert_int_equal(visited.results[0], CONFIRM_CONFIRMED);
    assert_visited(1, "a", CONFIRM_MAYBE_RETURNED);
    assert_int_equal(window.forgotten_count, 0);
    confirm_window_done(&window);
}

static void a_new_channel_starts_over(void **state)
{
    (void)state;
    struct confirm_window window = window_of(CAPACITY);
    add(&window, "a");
    add(&window, "b");
    add(&window, "c");
    (void)settle(&window, 2, false);
    confirm_window_mark_returned(&window, slice_of("c"));
    visited.count = 0;
    confirm_window_drain(&window);
    assert_int_equal(visited.count, 2);
    assert_visited(0, "a", CONFIRM_LOST);
    assert_visited(1, "c", CONFIRM_LOST);
    assert_int_equal(confirm_window_count(&window), 0);
    assert_int_equal(add(&window, "d"), 1);
    assert_int_equal(settle(&window, 1, false), 1);
    assert_visited(0, "d", CONFIRM_CONFIRMED);
    confirm_window_done(&window);
}

static void count_settled(void *item, enum confirm_result result, void *context)
{
    (void)result;
    (void)context;
    (*(int *)item)++;
}

/* The model: an array of every item ever added; each is settled exactly once when its time comes.
 */
static void a_random_run_agrees_with_a_naive_model(void **state)
{
    (void)state;
    static int times_settled[MODEL_ITEMS];
    static bool expected[MODEL_ITEMS];
    unsigned seed = 20261;
    struct confirm_window window;
    struct error error;
    assert_int_equal(confirm_window_init(&window, 37, count_settled, NULL, &error), OUTCOME_OK);
    uint64_t published = 0;
    for (int step = 0; step < MODEL_STEPS; step++) {
        seed = seed * 1103515245u + 12345u;
        unsigned choice = (seed >> 16) % 4;
        if (choice < 2 && published + 1 < MODEL_ITEMS && !confirm_window_is_full(&window)) {
            published =
                confirm_window_add(&window, &times_settled[published + 1], slice_of("a"), 0);
        } else if (published > 0) {
            uint64_t reach = published < 50 ? published : 50;
            uint64_t tag = published - (seed >> 8) % reach;
            bool multiple = choice == 3 && (seed >> 20) % 8 == 0;
            assert_int_equal(confirm_window_settle(&window, tag, multiple, true, &error),
                             OUTCOME_OK);
            for (uint64_t i = multiple ? 1 : tag; i <= tag; i++) {
                expected[i] = true;
            }
        }
    }
    for (uint64_t i = 1; i <= published; i++) {
        assert_int_equal(times_settled[i], expected[i] ? 1 : 0);
    }
    assert_true(published > 1000);
    confirm_window_done(&window);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tags_count_from_one),
        cmocka_unit_test(a_multiple_ack_settles_all_before_it),
        cmocka_unit_test(a_nack_refuses),
        cmocka_unit_test(out_of_order_settles_each_once),
        cmocka_unit_test(the_oldest_is_the_first_unsettled),
        cmocka_unit_test(it_is_full_until_the_oldest_is_settled),
        cmocka_unit_test(slots_are_used_again_and_again),
        cmocka_unit_test(an_unknown_tag_is_invalid),
        cmocka_unit_test(a_return_is_latched_until_its_ack),
        cmocka_unit_test(all_of_one_id_are_marked),
        cmocka_unit_test(a_forgotten_item_is_reported_as_nothing),
        cmocka_unit_test(a_new_channel_starts_over),
        cmocka_unit_test(a_random_run_agrees_with_a_naive_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
