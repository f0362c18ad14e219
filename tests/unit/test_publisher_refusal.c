/* What the broker has refused is held against the connections that follow, until a confirm. */
#include "publisher_fixture.h"

static void expect_state(struct fixture *fixture, enum publisher_state state, const char *reason)
{
    struct error error;
    assert_int_equal(publisher_get_state(fixture->publisher, &error), state);
    assert_string_equal(error.text, reason);
}

#define REFUSED_FOR_1_S "the broker has refused every message for 1 s: is the queue full?"

/* The connection is given up, and another one is there. */
static void refuse_for_long(struct fixture *fixture)
{
    struct error error;
    fixture->publisher->now_ms = NOW_MS;
    settle(fixture, BROKER_EVENT_NACK, 1);
    assert_int_equal(check(fixture, NACK_STREAK_MS_MIN + 1, &error), OUTCOME_TRANSIENT);
    lose(fixture);
    publisher_show_connected(fixture->publisher);
    expect_state(fixture, PUBLISHER_REFUSED, "nothing was confirmed since this: " REFUSED_FOR_1_S);
}

static void after_a_refusal_a_connection_proves_nothing(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error;
    open_fixture(&fixture, false);
    (void)publish(&fixture, "a");
    refuse_for_long(&fixture);
    free_events(&fixture.publisher->done);
    (void)publish(&fixture, "b");

    /* An alarm that ends says nothing of it either. */
    settle(&fixture, BROKER_EVENT_BLOCKED, 0);
    settle(&fixture, BROKER_EVENT_UNBLOCKED, 0);
    expect_state(&fixture, PUBLISHER_REFUSED, "nothing was confirmed since this: " REFUSED_FOR_1_S);
    settle(&fixture, BROKER_EVENT_ACK, 1);
    assert_int_equal(check(&fixture, NACK_STREAK_MS_MIN + 2, &error), OUTCOME_OK);
    expect_state(&fixture, PUBLISHER_CONNECTED, "");
    close_fixture(&fixture);
}

static void a_refusal_is_not_held_against_it_for_ever(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error;
    open_fixture(&fixture, false);
    (void)publish(&fixture, "a");
    refuse_for_long(&fixture);
    assert_int_equal(check(&fixture, NACK_STREAK_MS_MIN + 30000, &error), OUTCOME_OK);
    assert_int_equal(publisher_get_state(fixture.publisher, &error), PUBLISHER_REFUSED);
    assert_int_equal(check(&fixture, NACK_STREAK_MS_MIN + 30001, &error), OUTCOME_OK);
    expect_state(&fixture, PUBLISHER_CONNECTED, "");
    close_fixture(&fixture);
}

static void an_exchange_that_nothing_is_bound_to(void **state)
{
    (void)state;
    static const char unbound[] =
        "nothing was confirmed since this: no queue is bound to exchange 'x' for the key 'k'";
    struct fixture fixture;
    struct error error;
    open_fixture(&fixture, false);
    fixture.publisher->confirms.options.connection.route = (struct broker_route){"x", "k"};
    publisher_show_connected(fixture.publisher);
    struct event *event = publish(&fixture, "a");
    size_t bytes = broker_unsent_bytes(&fixture.broker);
    take_return(&fixture, "a");
    assert_int_equal(broker_unsent_bytes(&fixture.broker), bytes); /* its queue is others' */
    settle(&fixture, BROKER_EVENT_ACK, 1);
    expect_done(&fixture, event, EVENT_UNROUTABLE);
    expect_state(&fixture, PUBLISHER_REFUSED, unbound);

    /* The last that came back counts, and not the first. */
    fixture.publisher->now_ms = NOW_MS + 20000;
    event = publish(&fixture, "b");
    take_return(&fixture, "b");
    settle(&fixture, BROKER_EVENT_ACK, 2);
    expect_done(&fixture, event, EVENT_UNROUTABLE);
    assert_int_equal(check(&fixture, 49999, &error), OUTCOME_OK);
    expect_state(&fixture, PUBLISHER_REFUSED, unbound);

    event = publish(&fixture, "c");
    settle(&fixture, BROKER_EVENT_ACK, 3);
    expect_done(&fixture, event, EVENT_CONFIRMED);
    assert_int_equal(check(&fixture, 49999, &error), OUTCOME_OK);
    expect_state(&fixture, PUBLISHER_CONNECTED, "");
    close_fixture(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_a_refusal_a_connection_proves_nothing),
        cmocka_unit_test(a_refusal_is_not_held_against_it_for_ever),
        cmocka_unit_test(an_exchange_that_nothing_is_bound_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
