/* Idempotency keys: which request is new, which waits, which is answered again, which is refused.
 */
#include "user-service/key_window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CAPACITY = 3, IN_FLIGHT = 4, RETENTION_MS = 1000, MODEL_KEYS = 9, MODEL_STEPS = 20000 };

static void begin(struct key_window *window, size_t capacity)
{
    const struct key_window_options options = {
        .capacity = capacity, .in_flight_max = IN_FLIGHT, .retention_ms = RETENTION_MS};
    key_window_init(window, &options);
}

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

/* Returns whether the file is to be changed, and to what. */
static bool settle_and_see(struct key_window *window, struct event *event,
                           enum event_outcome outcome, struct key_change *ret_change)
{
    event->outcome = outcome;
    struct work_list waiting;
    bool is_changed = key_window_settle(window, event, &waiting, ret_change);
    assert_true(STAILQ_EMPTY(&waiting));
    event_free(event);
    return is_changed;
}

static void settle(struct key_window *window, struct event *event, enum event_outcome outcome)
{
    struct key_change change;
    (void)settle_and_see(window, event, outcome, &change);
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
    begin(&window, CAPACITY);
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
    begin(&window, CAPACITY);
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
    struct key_change change;
    assert_true(key_window_settle(&window, first, &waiting, &change));
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
    begin(&window, CAPACITY);
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
    begin(&window, CAPACITY);
    claim_and_settle(&window, "k", EVENT_UNKNOWN);
    struct event *again = event_of("k", "{}");
    assert_int_equal(claim(&window, again), KEY_NEW);
    again->outcome = EVENT_NACKED;
    struct work_list waiting;
    struct key_change change;
    assert_false(key_window_settle(&window, again, &waiting, &change));
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
    begin(&window, CAPACITY);
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
    begin(&window, 0);
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
    begin(&window, CAPACITY);
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

/* Claims a key at a time; what the file is to hold of it is copied. */
static struct event *claim_at(struct key_window *window, const char *key, uint64_t at_ms,
                              struct key_change *ret_change)
{
    struct event *event = event_of(key, "{}");
    event->occurred_at_ms = at_ms;
    assert_int_equal(claim(window, event), KEY_NEW);
    const struct key_change *change = key_window_to_write(event);
    assert_non_null(change);
    assert_int_equal(change->record.order, key_window_order(event));
    assert_int_equal(change->record.at_ms, at_ms);
    assert_null(key_window_to_write(event));
    *ret_change = *change;
    return event;
}

static void what_the_file_is_to_hold_follows_the_outcome(void **state)
{
    (void)state;
    struct key_window window;
    struct key_change change, after;
    begin(&window, CAPACITY);
    struct event *event = claim_at(&window, "saved", 1, &change);
    assert_int_equal(change.record.outcome, KEY_OUTCOME_UNKNOWN);
    assert_true(settle_and_see(&window, event, EVENT_STORED, &after));
    assert_int_equal(after.record.outcome, KEY_OUTCOME_STORED);
    assert_int_equal(after.record.order, change.record.order);
    assert_int_equal(after.place, change.place);

    event = claim_at(&window, "unknown", 1, &change);
    assert_false(settle_and_see(&window, event, EVENT_UNKNOWN, &after));
    event = event_of("unknown", "{}");
    assert_int_equal(claim(&window, event), KEY_NEW);
    assert_null(key_window_to_write(event)); /* it is there already */
    assert_int_equal(key_window_order(event), change.record.order);
    assert_true(settle_and_see(&window, event, EVENT_CONFIRMED, &after));
    assert_int_equal(after.record.outcome, KEY_OUTCOME_CONFIRMED);

    event = claim_at(&window, "refused", 1, &change);
    assert_true(settle_and_see(&window, event, EVENT_NACKED, &after));
    assert_int_equal(after.place, change.place);
    assert_int_equal(after.record.order, 0);
    event = claim_at(&window, "unwritten", 1, &change);
    assert_false(settle_and_see(&window, event, EVENT_KEYS_UNAVAILABLE, &after));
    key_window_done(&window);
}

static void a_file_needs_no_more_places_than_keys_are_known(void **state)
{
    (void)state;
    struct key_window window;
    begin(&window, CAPACITY);
    assert_int_equal(key_window_places_max(&window), CAPACITY + IN_FLIGHT);
    for (int i = 0; i < 100; i++) {
        struct key_change change;
        char key[32];
        snprintf(key, sizeof(key), "k%d", i);
        struct event *event = claim_at(&window, key, 1, &change);
        assert_in_range(change.place, 0, CAPACITY);
        settle(&window, event, i % 3 == 0 ? EVENT_NACKED : EVENT_CONFIRMED);
    }
    key_window_done(&window);
}

static void more_in_flight_than_said_are_refused(void **state)
{
    (void)state;
    struct key_window window;
    struct event *events[IN_FLIGHT];
    struct error error;
    enum key_verdict verdict;
    begin(&window, 0);
    for (int i = 0; i < IN_FLIGHT; i++) {
        char key[32];
        snprintf(key, sizeof(key), "k%d", i);
        events[i] = event_of(key, "{}");
        assert_int_equal(claim(&window, events[i]), KEY_NEW);
    }
    struct event *more = event_of("more", "{}");
    assert_int_equal(key_window_claim(&window, more, &verdict, &more->outcome, &error),
                     OUTCOME_BUSY);
    event_free(more);
    for (int i = 0; i < IN_FLIGHT; i++) {
        settle(&window, events[i], EVENT_CONFIRMED);
    }
    key_window_done(&window);
}

static void old_keys_are_forgotten(void **state)
{
    (void)state;
    struct key_window window;
    struct key_change change;
    enum { LAST = RETENTION_MS + 5 };
    begin(&window, CAPACITY);
    settle(&window, claim_at(&window, "a", 5, &change), EVENT_CONFIRMED);
    settle(&window, claim_at(&window, "b", LAST, &change), EVENT_UNKNOWN);
    struct event *same = event_of("a", "[]");
    same->occurred_at_ms = LAST;
    assert_int_equal(claim(&window, same), KEY_REUSED);
    same->occurred_at_ms = LAST + 1;
    assert_int_equal(claim(&window, same), KEY_NEW);
    assert_int_equal(window.remembered, 1);
    settle(&window, same, EVENT_CONFIRMED);
    /* Its time is that of its first attempt, and it stands behind a younger one. */
    struct event *again = event_of("b", "{}");
    again->occurred_at_ms = LAST + 2;
    assert_int_equal(claim(&window, again), KEY_NEW);
    settle(&window, again, EVENT_CONFIRMED);
    struct event *late = event_of("b", "[]");
    late->occurred_at_ms = LAST + RETENTION_MS + 1;
    assert_int_equal(claim(&window, late), KEY_NEW);
    settle(&window, late, EVENT_CONFIRMED);
    key_window_done(&window);
}

/* By the next process, from what this one has written. */
static void what_was_written_is_known_again(void **state)
{
    (void)state;
    struct key_window before, after;
    struct key_change changes[4];
    struct key_change ignored;
    struct error error;
    enum event_outcome outcome = EVENT_OUTCOMES;
    begin(&before, CAPACITY);
    struct event *saved = claim_at(&before, "saved", 500, &ignored);
    struct event *under_way = claim_at(&before, "under way", 600, &changes[1]);
    struct event *old = claim_at(&before, "old", 1, &changes[2]);
    assert_true(settle_and_see(&before, saved, EVENT_STORED, &changes[0]));
    settle(&before, under_way, EVENT_UNKNOWN);
    settle(&before, old, EVENT_CONFIRMED);
    key_window_done(&before);
    changes[3] = (struct key_change){.place = 3};

    begin(&after, CAPACITY);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(key_window_restore(&after, &changes[i], RETENTION_MS + 2, &error),
                         OUTCOME_OK);
    }
    assert_int_equal(after.remembered, 2);
    assert_int_equal(ask(&after, "saved", " { } ", &outcome), KEY_SETTLED);
    assert_int_equal(outcome, EVENT_STORED);
    assert_int_equal(ask(&after, "saved", "[]", &outcome), KEY_REUSED);
    assert_int_equal(ask(&after, "under way", "[]", &outcome), KEY_REUSED);
    struct event *again = event_of("under way", "{}");
    assert_int_equal(claim(&after, again), KEY_NEW);
    assert_null(key_window_to_write(again));
    again->outcome = EVENT_DISCONNECTED;
    struct work_list waiting;
    assert_false(key_window_settle(&after, again, &waiting, &ignored));
    assert_int_equal(again->outcome, EVENT_UNKNOWN); /* the process before may have saved it */
    event_free(again);
    settle(&after, claim_at(&after, "next", RETENTION_MS, &ignored), EVENT_CONFIRMED);
    assert_true(ignored.record.order > changes[2].record.order);
    assert_in_range(ignored.place, 2, 3); /* one of those that are free */
    key_window_done(&after);
}

/* A place that was given up is not emptied where another key is to be written into it anyway. */
static void of_two_records_of_a_key_the_later_one_counts(void **state)
{
    (void)state;
    struct key_window before, after;
    struct key_change changes[2];
    struct error error;
    enum event_outcome outcome;
    begin(&before, CAPACITY);
    settle(&before, claim_at(&before, "k", 1, &changes[0]), EVENT_NACKED);
    struct event *other = event_of("k", "[]");
    assert_int_equal(claim(&before, other), KEY_NEW);
    changes[1] = *key_window_to_write(other);
    changes[1].place = changes[0].place + 1;
    settle(&before, other, EVENT_CONFIRMED);
    key_window_done(&before);
    begin(&after, CAPACITY);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(key_window_restore(&after, &changes[i], 1, &error), OUTCOME_OK);
    }
    assert_int_equal(after.remembered, 1);
    assert_int_equal(ask(&after, "k", "{}", &outcome), KEY_REUSED);
    key_window_done(&after);
}

/* Of a file that was written with a greater capacity. */
static void the_newest_are_kept(void **state)
{
    (void)state;
    struct key_window before, after;
    struct key_change changes[CAPACITY + 2];
    struct error error;
    enum event_outcome outcome;
    begin(&before, CAPACITY + 2);
    for (int i = 0; i < CAPACITY + 2; i++) {
        char key[32];
        snprintf(key, sizeof(key), "k%d", i);
        settle(&before, claim_at(&before, key, 1, &changes[i]), EVENT_UNKNOWN);
    }
    key_window_done(&before);
    begin(&after, CAPACITY);
    for (int i = 0; i < CAPACITY + 2; i++) {
        assert_int_equal(key_window_restore(&after, &changes[i], 1, &error), OUTCOME_OK);
    }
    assert_int_equal(after.remembered, CAPACITY);
    assert_int_equal(ask(&after, "k2", "[]", &outcome), KEY_REUSED);
    claim_and_settle(&after, "k1", EVENT_CONFIRMED);
    key_window_done(&after);
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
        cmocka_unit_test(what_the_file_is_to_hold_follows_the_outcome),
        cmocka_unit_test(a_file_needs_no_more_places_than_keys_are_known),
        cmocka_unit_test(more_in_flight_than_said_are_refused),
        cmocka_unit_test(old_keys_are_forgotten),
        cmocka_unit_test(what_was_written_is_known_again),
        cmocka_unit_test(of_two_records_of_a_key_the_later_one_counts),
        cmocka_unit_test(the_newest_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
