/* Idempotency keys: which request is new, which waits, which is answered again, which is refused.
 */
#include "user-service/key_window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CAPACITY = 3, MODEL_KEYS = 9, MODEL_STEPS = 20000 };

static struct save *save_of(const char *key, const char *body)
{
    struct save *save = calloc(1, sizeof(*save));
    assert_non_null(save);
    save->message_id_length = strlen(key);
    memcpy(save->message_id, key, save->message_id_length);
    save->body = strdup(body);
    save->body_length = strlen(body);
    return save;
}

static enum key_verdict claim(struct key_window *window, struct save *save)
{
    enum key_verdict verdict = KEY_REUSED;
    struct error error;
    assert_int_equal(key_window_claim(window, save, &verdict, &save->outcome, &error), OUTCOME_OK);
    return verdict;
}

/* The verdict for a request whose save is then given up. */
static enum key_verdict ask(struct key_window *window, const char *key, const char *body,
                            enum save_outcome *ret_outcome)
{
    struct save *save = save_of(key, body);
    enum key_verdict verdict = claim(window, save);
    *ret_outcome = save->outcome;
    save_free(save);
    return verdict;
}

static void settle(struct key_window *window, struct save *save, enum save_outcome outcome)
{
    save->outcome = outcome;
    assert_null(key_window_settle(window, save).head);
    save_free(save);
}

static void claim_and_settle(struct key_window *window, const char *key, enum save_outcome outcome)
{
    struct save *save = save_of(key, "{}");
    assert_int_equal(claim(window, save), KEY_NEW);
    settle(window, save, outcome);
}

static void a_settled_key_has_its_answer(void **state)
{
    (void)state;
    struct key_window window;
    enum save_outcome outcome = SAVE_OUTCOMES;
    key_window_init(&window, CAPACITY);
    claim_and_settle(&window, "a", SAVE_CONFIRMED);
    claim_and_settle(&window, "ab", SAVE_STORED);
    assert_int_equal(ask(&window, "a", "{}", &outcome), KEY_SETTLED);
    assert_int_equal(outcome, SAVE_CONFIRMED);
    assert_int_equal(ask(&window, "ab", "{}", &outcome), KEY_SETTLED);
    assert_int_equal(outcome, SAVE_STORED);
    assert_int_equal(ask(&window, "a", "{ }", &outcome), KEY_REUSED);
    key_window_done(&window);
}

static void those_that_come_meanwhile_wait(void **state)
{
    (void)state;
    struct key_window window;
    key_window_init(&window, CAPACITY);
    struct save *first = save_of("k", "{}");
    struct save *second = save_of("k", "{}");
    struct save *third = save_of("k", "{}");
    struct save *other = save_of("k", "[]");
    assert_int_equal(claim(&window, first), KEY_NEW);
    assert_int_equal(claim(&window, second), KEY_IN_FLIGHT);
    key_window_wait(second);
    assert_int_equal(claim(&window, other), KEY_REUSED);
    assert_null(other->key);
    assert_int_equal(claim(&window, third), KEY_IN_FLIGHT);
    key_window_wait(third);
    first->outcome = SAVE_NACKED;
    struct handover_list waiting = key_window_settle(&window, first);
    assert_ptr_equal(handover_list_take(&waiting), second);
    assert_ptr_equal(handover_list_take(&waiting), third);
    assert_null(handover_list_take(&waiting));
    save_free(first);
    save_free(second);
    save_free(third);
    save_free(other);
    claim_and_settle(&window, "k", SAVE_CONFIRMED); /* what was refused is forgotten */
    key_window_done(&window);
}

static void an_unknown_outcome_is_tried_again_with_the_same_body_only(void **state)
{
    (void)state;
    struct key_window window;
    enum save_outcome outcome = SAVE_OUTCOMES;
    key_window_init(&window, CAPACITY);
    claim_and_settle(&window, "k", SAVE_UNKNOWN);
    assert_int_equal(ask(&window, "k", "[]", &outcome), KEY_REUSED);
    claim_and_settle(&window, "k", SAVE_CONFIRMED);
    assert_int_equal(ask(&window, "k", "{}", &outcome), KEY_SETTLED);
    assert_int_equal(outcome, SAVE_CONFIRMED);
    key_window_done(&window);
}

/* The first attempt may have been saved, whatever is known of the second. */
static void what_is_refused_after_an_unknown_outcome_stays_unknown(void **state)
{
    (void)state;
    struct key_window window;
    enum save_outcome outcome = SAVE_OUTCOMES;
    key_window_init(&window, CAPACITY);
    claim_and_settle(&window, "k", SAVE_UNKNOWN);
    struct save *again = save_of("k", "{}");
    assert_int_equal(claim(&window, again), KEY_NEW);
    again->outcome = SAVE_NACKED;
    assert_null(key_window_settle(&window, again).head);
    assert_int_equal(again->outcome, SAVE_UNKNOWN);
    save_free(again);
    assert_int_equal(ask(&window, "k", "[]", &outcome), KEY_REUSED);
    claim_and_settle(&window, "k", SAVE_CONFIRMED);
    key_window_done(&window);
}

static void without_a_capacity_only_those_in_flight_are_known(void **state)
{
    (void)state;
    struct key_window window;
    key_window_init(&window, 0);
    struct save *save = save_of("k", "{}");
    struct save *again = save_of("k", "{}");
    assert_int_equal(claim(&window, save), KEY_NEW);
    assert_int_equal(claim(&window, again), KEY_IN_FLIGHT);
    save_free(again);
    settle(&window, save, SAVE_CONFIRMED);
    claim_and_settle(&window, "k", SAVE_CONFIRMED);
    key_window_done(&window);
}

/* Beside a model that keeps the keys in a plain array, newest last. */
static void it_remembers_as_many_as_it_has_room_for(void **state)
{
    (void)state;
    struct key_window window;
    int model[CAPACITY];
    size_t known = 0;
    key_window_init(&window, CAPACITY);
    srand(7);
    for (int step = 0; step < MODEL_STEPS; step++) {
        int number = rand() % MODEL_KEYS;
        char key[32];
        snprintf(key, sizeof(key), "%.*s%d", number % 4, "kkkk", number);
        size_t at = 0;
        while (at < known && model[at] != number) {
            at++;
        }
        struct save *save = save_of(key, "{}");
        enum key_verdict verdict = claim(&window, save);
        assert_int_equal(verdict, at < known ? KEY_SETTLED : KEY_NEW);
        if (verdict == KEY_SETTLED) {
            save_free(save);
            continue;
        }
        settle(&window, save, SAVE_CONFIRMED);
        if (known == CAPACITY) {
            memmove(model, model + 1, (CAPACITY - 1) * sizeof(model[0]));
            known--;
        }
        model[known++] = number;
        assert_int_equal(window.remembered, known);
    }
    key_window_done(&window);
    assert_null(window.tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_settled_key_has_its_answer),
        cmocka_unit_test(those_that_come_meanwhile_wait),
        cmocka_unit_test(an_unknown_outcome_is_tried_again_with_the_same_body_only),
        cmocka_unit_test(what_is_refused_after_an_unknown_outcome_stays_unknown),
        cmocka_unit_test(without_a_capacity_only_those_in_flight_are_known),
        cmocka_unit_test(it_remembers_as_many_as_it_has_room_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
