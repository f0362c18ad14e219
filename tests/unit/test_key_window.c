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

static struct event *event_of(const char *key, const char *body)
{
    struct event *event = calloc(1, sizeof(*event));
    assert_non_null(event);
    event->message_id_length = strlen(key);
    memcpy(event->message_id, key, event->message_id_length);
    event->body = strdup(body);
    event->body_length = strlen(body);
    return event;
}

static enum key_verdict claim(struct key_window *window, struct event *event)
{
    enum key_verdict verdict = KEY_REUSED;
    struct error error;
    assert_int_equal(key_window_claim(window, event, &verdict, &event->outcome, &error),
                     OUTCOME_OK);
    return verdict;
}

/* The verdict for a request whose event is then given up. */
static enum key_verdict ask(struct key_window *window, const char *key, const char *body,
                            enum event_outcome *ret_outcome)
{
    struct event *event = event_of(key, body);
    enum key_verdict verdict = claim(window, event);
    *ret_outcome = event->outcome;
    event_free(event);
    return verdict;
}

static void settle(struct key_window *window, struct event *event, enum event_outcome outcome)
{
    event->outcome = outcome;
    struct work_list waiting;
    key_window_settle(window, event, &waiting);
    assert_true(STAILQ_EMPTY(&waiting));
    event_free(event);
}

static void claim_and_settle(struct key_window *window, const char *key, enum event_outcome outcome)
{
    struct event *event = event_of(key, "{}");
    assert_int_equal(claim(window, event), KEY_NEW);
    settle(window, event, outcome);
}

static void a_settled_key_has_its_answer(void **state)
{
    (void)state;
    struct key_window window;
    enum event_outcome outcome = EVENT_OUTCOMES;
    key_window_init(&window, CAPACITY);
    claim_and_settle(&window, "a", EVENT_CONFIRMED);
    claim_and_settle(&window, "ab", EVENT_STORED);
    assert_int_equal(ask(&window, "a", "{}", &outcome), KEY_SETTLED);
    assert_int_equal(outcome, EVENT_CONFIRMED);
    assert_int_equal(ask(&window, "ab", "{}", &outcome), KEY_SETTLED);
    assert_int_equal(outcome, EVENT_STORED);
    assert_int_equal(ask(&window, "a", "{ }", &outcome), KEY_SETTLED);
    assert_int_equal(ask(&window, "a", "{\"b\":1}", &outcome), KEY_REUSED);
    key_window_done(&window);
}

static void those_that_come_meanwhile_wait(void **state)
{
    (void)state;
    struct key_window window;
    key_window_init(&window, CAPACITY);
    struct event *first = event_of("k", "{}");
    struct event *second = event_of("k", "{}");
    struct event *third = event_of("k", "{}");
    struct event *other = event_of("k", "[]");
    assert_int_equal(claim(&window, first), KEY_NEW);
    assert_int_equal(claim(&window, second), KEY_IN_FLIGHT);
    key_window_wait(second);
    assert_int_equal(claim(&window, other), KEY_REUSED);
    assert_null(other->key);
    assert_int_equal(claim(&window, third), KEY_IN_FLIGHT);
    key_window_wait(third);
    first->outcome = EVENT_NACKED;
    struct work_list waiting;
    key_window_settle(&window, first, &waiting);
    assert_ptr_equal(work_list_take(&waiting), second);
    assert_ptr_equal(work_list_take(&waiting), third);
    assert_null(work_list_take(&waiting));
    event_free(first);
    event_free(second);
    event_free(third);
    event_free(other);
    claim_and_settle(&window, "k", EVENT_CONFIRMED); /* what was refused is forgotten */
    key_window_done(&window);
}

static void an_unknown_outcome_is_tried_again_with_the_same_body_only(void **state)
{
    (void)state;
    struct key_window window;
    enum event_outcome outcome = EVENT_OUTCOMES;
    key_window_init(&window, CAPACITY);
    claim_and_settle(&window, "k", EVENT_UNKNOWN);
    assert_int_equal(ask(&window, "k", "[]", &outcome), KEY_REUSED);
    claim_and_settle(&window, "k", EVENT_CONFIRMED);
    assert_int_equal(ask(&window, "k", "{}", &outcome), KEY_SETTLED);
    assert_int_equal(outcome, EVENT_CONFIRMED);
    key_window_done(&window);
}

/* The first attempt may have been saved, whatever is known of the second. */
static void what_is_refused_after_an_unknown_outcome_stays_unknown(void **state)
{
    (void)state;
    struct key_window window;
    enum event_outcome outcome = EVENT_OUTCOMES;
    key_window_init(&window, CAPACITY);
    claim_and_settle(&window, "k", EVENT_UNKNOWN);
    struct event *again = event_of("k", "{}");
    assert_int_equal(claim(&window, again), KEY_NEW);
    again->outcome = EVENT_NACKED;
    struct work_list waiting;
    key_window_settle(&window, again, &waiting);
    assert_true(STAILQ_EMPTY(&waiting));
    assert_int_equal(again->outcome, EVENT_UNKNOWN);
    event_free(again);
    assert_int_equal(ask(&window, "k", "[]", &outcome), KEY_REUSED);
    claim_and_settle(&window, "k", EVENT_CONFIRMED);
    key_window_done(&window);
}

/* The bodies of a save and of a deletion can be the same. */
static void another_type_under_a_known_key_is_refused(void **state)
{
    (void)state;
    struct key_window window;
    enum event_outcome outcome = EVENT_OUTCOMES;
    key_window_init(&window, CAPACITY);
    struct event *saved = event_of("k", "{}");
    struct event *deleted = event_of("k", "{}");
    deleted->type = EVENT_USER_DELETED;
    assert_int_equal(claim(&window, saved), KEY_NEW);
    assert_int_equal(claim(&window, deleted), KEY_REUSED);
    settle(&window, saved, EVENT_CONFIRMED);
    assert_int_equal(claim(&window, deleted), KEY_REUSED);
    assert_int_equal(ask(&window, "k", "{}", &outcome), KEY_SETTLED);
    event_free(deleted);
    key_window_done(&window);
}

static void without_a_capacity_only_those_in_flight_are_known(void **state)
{
    (void)state;
    struct key_window window;
    key_window_init(&window, 0);
    struct event *event = event_of("k", "{}");
    struct event *again = event_of("k", "{}");
    assert_int_equal(claim(&window, event), KEY_NEW);
    assert_int_equal(claim(&window, again), KEY_IN_FLIGHT);
    event_free(again);
    settle(&window, event, EVENT_CONFIRMED);
    claim_and_settle(&window, "k", EVENT_CONFIRMED);
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
        struct event *event = event_of(key, "{}");
        enum key_verdict verdict = claim(&window, event);
        assert_int_equal(verdict, at < known ? KEY_SETTLED : KEY_NEW);
        if (verdict == KEY_SETTLED) {
            event_free(event);
            continue;
        }
        settle(&window, event, EVENT_CONFIRMED);
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
        cmocka_unit_test(another_type_under_a_known_key_is_refused),
        cmocka_unit_test(without_a_capacity_only_those_in_flight_are_known),
        cmocka_unit_test(it_remembers_as_many_as_it_has_room_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
