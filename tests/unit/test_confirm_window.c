/* The confirm window: multiple acks, out of order, wrap, returns, and a long random run against a
 * naive model. */
#include "user-service/confirm_window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CAPACITY = 8, MODEL_STEPS = 200000, MODEL_ITEMS = 4096 };

struct visited {
    const char *items[64];
    bool returned[64];
    size_t count;
};

static void note(void *item, bool returned, void *context)
{
    struct visited *visited = context;
    visited->items[visited->count] = item;
    visited->returned[visited->count] = returned;
    visited->count++;
}

static bool is_named(const void *item, struct slice message_id)
{
    return slice_equal(slice_of(item), message_id);
}

static struct confirm_window window_of(size_t capacity)
{
    struct confirm_window window;
    struct error error;
    assert_int_equal(confirm_window_init(&window, capacity, &error), OUTCOME_OK);
    return window;
}

static uint64_t add(struct confirm_window *window, const char *name)
{
    return confirm_window_add(window, (void *)(uintptr_t)name, window->next * 100);
}

static struct visited settle(struct confirm_window *window, uint64_t tag, bool multiple)
{
    struct visited visited = {.count = 0};
    struct error error;
    assert_int_equal(confirm_window_settle(window, tag, multiple, note, &visited, &error),
                     OUTCOME_OK);
    return visited;
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
    struct visited visited = settle(&window, 2, true);
    assert_int_equal(visited.count, 2);
    assert_string_equal(visited.items[0], "a");
    assert_string_equal(visited.items[1], "b");
    assert_int_equal(confirm_window_count(&window), 1);
    visited = settle(&window, 0, true); /* tag 0: all */
    assert_int_equal(visited.count, 1);
    assert_string_equal(visited.items[0], "c");
    confirm_window_done(&window);
}

static void out_of_order_settles_each_once(void **state)
{
    (void)state;
    struct confirm_window window = window_of(CAPACITY);
    add(&window, "a");
    add(&window, "b");
    add(&window, "c");
    struct visited visited = settle(&window, 2, false);
    assert_int_equal(visited.count, 1);
    assert_string_equal(visited.items[0], "b");
    assert_int_equal(confirm_window_count(&window), 3); /* "a" still holds the low end */
    assert_int_equal(settle(&window, 2, false).count, 0);
    visited = settle(&window, 3, true);
    assert_int_equal(visited.count, 2);
    assert_string_equal(visited.items[0], "a");
    assert_string_equal(visited.items[1], "c");
    assert_int_equal(confirm_window_count(&window), 0);
    assert_int_equal(settle(&window, 1, false).count, 0);
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
    settle(&window, 2, false);
    assert_true(confirm_window_is_full(&window));
    settle(&window, 1, false);
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
        struct visited visited = settle(&window, tag, tag % 2 == 0);
        assert_int_equal(visited.count, 1);
        assert_string_equal(visited.items[0], name);
        assert_false(visited.returned[0]);
    }
    confirm_window_done(&window);
}

static void an_unknown_tag_is_invalid(void **state)
{
    (void)state;
    struct confirm_window window = window_of(CAPACITY);
    struct visited visited = {.count = 0};
    struct error error;
    add(&window, "a");
    assert_int_equal(confirm_window_settle(&window, 2, false, note, &visited, &error),
                     OUTCOME_INVALID);
    assert_int_equal(confirm_window_settle(&window, 0, false, note, &visited, &error),
                     OUTCOME_INVALID);
    assert_int_equal(confirm_window_settle(&window, UINT64_MAX, true, note, &visited, &error),
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
    assert_int_equal(confirm_window_mark_returned(&window, slice_of("nobody"), is_named), 0);
    assert_int_equal(confirm_window_mark_returned(&window, slice_of("other"), is_named), 1);
    struct visited visited = settle(&window, 3, true);
    assert_int_equal(visited.count, 3);
    assert_false(visited.returned[0]);
    assert_true(visited.returned[1]);
    assert_false(visited.returned[2]);
    assert_int_equal(confirm_window_mark_returned(&window, slice_of("other"), is_named), 0);
    confirm_window_done(&window);
}

static void all_of_one_id_are_marked(void **state)
{
    (void)state;
    struct confirm_window window = window_of(CAPACITY);
    add(&window, "same");
    add(&window, "other");
    add(&window, "same");
    assert_int_equal(confirm_window_mark_returned(&window, slice_of("same"), is_named), 2);
    struct visited visited = settle(&window, 3, true);
    assert_true(visited.returned[0]);
    assert_false(visited.returned[1]);
    assert_true(visited.returned[2]);
    confirm_window_done(&window);
}

static void a_forgotten_item_is_reported_as_nothing(void **state)
{
    (void)state;
    struct confirm_window window = window_of(CAPACITY);
    uint64_t tag = add(&window, "a");
    confirm_window_forget(&window, tag);
    confirm_window_forget(&window, tag + 1); /* never published: nothing happens */
    assert_int_equal(window.forgotten_count, 1);
    assert_int_equal(confirm_window_mark_returned(&window, slice_of("a"), is_named), 0);
    assert_int_equal(confirm_window_count(&window), 1);
    struct visited visited = settle(&window, tag, false);
    assert_int_equal(visited.count, 1);
    assert_null(visited.items[0]);
    assert_int_equal(window.forgotten_count, 0);
    confirm_window_done(&window);
}

static void a_new_channel_starts_over(void **state)
{
    (void)state;
    struct confirm_window window = window_of(CAPACITY);
    struct visited visited = {.count = 0};
    add(&window, "a");
    add(&window, "b");
    add(&window, "c");
    settle(&window, 2, false);
    confirm_window_drain(&window, note, &visited);
    assert_int_equal(visited.count, 2);
    assert_string_equal(visited.items[0], "a");
    assert_string_equal(visited.items[1], "c");
    assert_int_equal(confirm_window_count(&window), 0);
    assert_int_equal(add(&window, "d"), 1);
    confirm_window_done(&window);
}

static void count_settled(void *item, bool returned, void *context)
{
    (void)returned;
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
    struct confirm_window window = window_of(37);
    struct error error;
    uint64_t published = 0;
    for (int step = 0; step < MODEL_STEPS; step++) {
        seed = seed * 1103515245u + 12345u;
        unsigned choice = (seed >> 16) % 4;
        if (choice < 2 && published + 1 < MODEL_ITEMS && !confirm_window_is_full(&window)) {
            published = confirm_window_add(&window, &times_settled[published + 1], 0);
        } else if (published > 0) {
            uint64_t reach = published < 50 ? published : 50;
            uint64_t tag = published - (seed >> 8) % reach;
            bool multiple = choice == 3 && (seed >> 20) % 8 == 0;
            assert_int_equal(
                confirm_window_settle(&window, tag, multiple, count_settled, NULL, &error),
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
