/* What becomes of each event: before a connection, in an alarm, confirmed, refused, returned, late,
 * and when the connection is lost. The broker is only its buffer: nothing is connected. */
#include "publisher_fixture.h"

static void what_cannot_be_sent_now_is_refused_at_once(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, false);
    fixture.publisher->worker.is_stopping = true;
    expect_done(&fixture, accept(&fixture, "a"), EVENT_DRAINING);
    fixture.publisher->worker.is_stopping = false;

    fixture.publisher->confirms.broker = NULL;
    fixture.publisher->is_first_try_over = true;
    expect_done(&fixture, accept(&fixture, "b"), EVENT_DISCONNECTED);
    fixture.publisher->is_first_try_over = false;
    struct event *early = accept(&fixture, "c");
    expect_nothing_done(&fixture);
    fixture.publisher->confirms.broker = &fixture.broker;

    fixture.publisher->late = true;
    expect_done(&fixture, accept(&fixture, "d"), EVENT_BLOCKED);
    fixture.publisher->late = false;
    send_waiting(&fixture);
    assert_true(early->published);
    settle(&fixture, BROKER_EVENT_ACK, 1);
    expect_done(&fixture, early, EVENT_CONFIRMED);
    close_fixture(&fixture);
}

static void an_alarm_refuses_what_was_not_sent(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, false);
    struct event *sent = publish(&fixture, "sent");
    struct event *unsent = accept(&fixture, "unsent");
    const struct broker_event blocked = {.type = BROKER_EVENT_BLOCKED, .text = slice_of("memory")};
    take(&fixture, &blocked);
    expect_done(&fixture, unsent, EVENT_BLOCKED);
    struct error reason;
    assert_int_equal(publisher_get_state(fixture.publisher, &reason), PUBLISHER_BLOCKED);
    assert_string_equal(reason.text, "the broker has blocked publishing: memory");
    expect_done(&fixture, accept(&fixture, "later"), EVENT_BLOCKED);

    settle(&fixture, BROKER_EVENT_UNBLOCKED, 0);
    assert_int_equal(publisher_get_state(fixture.publisher, &reason), PUBLISHER_CONNECTED);
    settle(&fixture, BROKER_EVENT_ACK, 1);
    expect_done(&fixture, sent, EVENT_CONFIRMED);
    close_fixture(&fixture);
}

/* What was published over a connection before waits for the next one through an alarm. */
static void an_alarm_keeps_what_was_sent_before(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, false);
    struct event *sent = publish(&fixture, "sent");
    lose(&fixture);
    const struct broker_event blocked = {.type = BROKER_EVENT_BLOCKED, .text = slice_of("disk")};
    take(&fixture, &blocked);
    send_waiting(&fixture);
    expect_nothing_done(&fixture);
    assert_int_equal(sent->tag, 0);
    settle(&fixture, BROKER_EVENT_UNBLOCKED, 0);
    send_waiting(&fixture);
    assert_int_equal(sent->tag, 1);
    assert_int_equal(fixture.publisher->metrics.republished, 1);
    close_fixture(&fixture);
}

static void the_window_limits_what_is_sent(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, false);
    for (int i = 0; i < IN_FLIGHT_MAX; i++) {
        (void)publish(&fixture, "a");
    }
    struct event *last = accept(&fixture, "last");
    send_waiting(&fixture);
    assert_false(last->published);
    settle(&fixture, BROKER_EVENT_ACK, 1);
    send_waiting(&fixture);
    assert_true(last->published);
    close_fixture(&fixture);
}

static void what_cannot_be_encoded_is_not_sent(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, false);
    buffer_init(&fixture.broker.out, 16); /* less than a frame's overhead: no memory */
    struct event *event = accept(&fixture, "a");
    send_waiting(&fixture);
    assert_int_equal(broker_unsent_bytes(&fixture.broker), 0);
    expect_done(&fixture, event, EVENT_NO_MEMORY);

    buffer_init(&fixture.broker.out, OUT_BYTES);
    event = publish(&fixture, "b");
    size_t sent_bytes = broker_unsent_bytes(&fixture.broker);
    lose(&fixture);
    char long_name[300];
    memset(long_name, 'q', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    fixture.publisher->confirms.options.connection.route =
        (struct broker_route){long_name, "session"};
    send_waiting(&fixture);
    assert_int_equal(broker_unsent_bytes(&fixture.broker), sent_bytes);
    expect_done(&fixture, event, EVENT_UNKNOWN);
    close_fixture(&fixture);
}

static void a_refusal_is_told(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, false);
    struct event *event = publish(&fixture, "a");
    settle(&fixture, BROKER_EVENT_NACK, 1);
    expect_done(&fixture, event, EVENT_NACKED);
    event = publish(&fixture, "b");
    take_return(&fixture, "b");
    assert_true(fixture.publisher->confirms.declaring);
    settle(&fixture, BROKER_EVENT_ACK, 2);
    expect_done(&fixture, event, EVENT_UNROUTABLE);

    /* The queue is being declared already. */
    event = publish(&fixture, "c");
    size_t bytes = broker_unsent_bytes(&fixture.broker);
    take_return(&fixture, "c");
    assert_int_equal(broker_unsent_bytes(&fixture.broker), bytes);
    settle(&fixture, BROKER_EVENT_DECLARED, 0);
    assert_false(fixture.publisher->confirms.declaring);
    settle(&fixture, BROKER_EVENT_ACK, 3);
    expect_done(&fixture, event, EVENT_UNROUTABLE);
    close_fixture(&fixture);
}

static void a_refusal_of_what_may_be_there_already_is_unknown(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, false);
    struct event *event = publish(&fixture, "a");
    lose(&fixture);
    send_waiting(&fixture);
    settle(&fixture, BROKER_EVENT_NACK, 1);
    expect_done(&fixture, event, EVENT_UNKNOWN);

    /* One of two with the same id was returned: which, nobody says. */
    struct event *first = publish(&fixture, "twice");
    struct event *second = publish(&fixture, "twice");
    struct event *other = publish(&fixture, "other");
    take_return(&fixture, "twice");
    settle(&fixture, BROKER_EVENT_ACK, first->tag);
    expect_done(&fixture, first, EVENT_UNKNOWN);
    settle(&fixture, BROKER_EVENT_ACK, second->tag);
    expect_done(&fixture, second, EVENT_UNKNOWN);
    settle(&fixture, BROKER_EVENT_ACK, other->tag);
    expect_done(&fixture, other, EVENT_CONFIRMED);
    close_fixture(&fixture);
}

static void a_deadline_passes(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, false);
    struct event *sent = publish(&fixture, "sent");
    struct event *unsent = accept(&fixture, "unsent");
    publisher_expire(fixture.publisher);
    expect_nothing_done(&fixture);
    fixture.publisher->now_ms = DEADLINE_MS;
    publisher_expire(fixture.publisher);
    assert_ptr_equal(work_list_take(&fixture.publisher->done), sent);
    assert_int_equal(sent->outcome, EVENT_UNKNOWN);
    expect_done(&fixture, unsent, EVENT_OVERLOADED);
    event_free(sent);

    /* Its confirm comes late, and is nobody's; so is a late refusal. */
    settle(&fixture, BROKER_EVENT_ACK, 1);
    assert_int_equal(fixture.publisher->metrics.late_confirms, 1);
    expect_nothing_done(&fixture);

    fixture.publisher->confirms.broker = NULL;
    unsent = accept(&fixture, "without a broker");
    publisher_expire(fixture.publisher);
    expect_done(&fixture, unsent, EVENT_DISCONNECTED);
    fixture.publisher->confirms.broker = &fixture.broker;
    unsent = accept(&fixture, "in an alarm");
    fixture.publisher->confirms.blocked = true;
    publisher_expire(fixture.publisher);
    expect_done(&fixture, unsent, EVENT_BLOCKED);
    fixture.publisher->confirms.blocked = false;
    sent = publish(&fixture, "forgotten");
    publisher_expire(fixture.publisher);
    expect_done(&fixture, sent, EVENT_UNKNOWN);
    settle(&fixture, BROKER_EVENT_NACK, 2);
    expect_nothing_done(&fixture);
    close_fixture(&fixture);
}

/* Its key was written while others overtook it: it expires in its own time all the same. */
static void an_event_that_was_overtaken_expires_first(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, false);
    struct event *later = accept(&fixture, "later");
    struct event *overtaken = accept(&fixture, "overtaken");
    TAILQ_REMOVE(&fixture.publisher->owned, overtaken, in_order);
    TAILQ_REMOVE(&fixture.publisher->waiting, overtaken, waiting);
    overtaken->deadline_ms = DEADLINE_MS - 1;
    publisher_accept(fixture.publisher, overtaken);
    fixture.publisher->now_ms = DEADLINE_MS - 1;
    publisher_expire(fixture.publisher);
    expect_done(&fixture, overtaken, EVENT_OVERLOADED);
    fixture.publisher->now_ms = DEADLINE_MS;
    publisher_expire(fixture.publisher);
    expect_done(&fixture, later, EVENT_OVERLOADED);
    close_fixture(&fixture);
}

static void a_late_confirm_sends_others_to_the_outbox(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error;
    open_fixture(&fixture, true);
    publisher_set_state(fixture.publisher, PUBLISHER_CONNECTED, "");
    struct event *slow = publish(&fixture, "slow");
    assert_int_equal(check(&fixture, 500, &error), OUTCOME_OK);
    assert_false(fixture.publisher->late);
    assert_int_equal(check(&fixture, 501, &error), OUTCOME_OK);
    assert_int_equal(publisher_get_state(fixture.publisher, &error), PUBLISHER_BLOCKED);
    assert_string_equal(error.text, "the broker is slow to confirm");
    expect_outbox(&fixture, accept(&fixture, "next"), EVENT_BLOCKED);

    /* In an alarm it owes nothing; after it the time begins anew. */
    fixture.publisher->confirms.blocked = true;
    assert_int_equal(check(&fixture, 20000, &error), OUTCOME_OK);
    assert_int_equal(publisher_get_state(fixture.publisher, &error), PUBLISHER_BLOCKED);
    fixture.publisher->confirms.blocked = false;
    fixture.publisher->confirms.unblocked_ms = NOW_MS + 20000;
    assert_int_equal(check(&fixture, 20400, &error), OUTCOME_OK);
    assert_false(fixture.publisher->late);
    fixture.publisher->confirms.unblocked_ms = 0;

    assert_int_equal(check(&fixture, 10000, &error), OUTCOME_OK);
    assert_true(fixture.publisher->late);
    settle(&fixture, BROKER_EVENT_ACK, 1);
    expect_done(&fixture, slow, EVENT_CONFIRMED);
    assert_int_equal(check(&fixture, 10000, &error), OUTCOME_OK);
    assert_int_equal(publisher_get_state(fixture.publisher, &error), PUBLISHER_CONNECTED);
    close_fixture(&fixture);
}

static void a_connection_of_no_more_use_is_given_up(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error;
    open_fixture(&fixture, false);
    (void)publish(&fixture, "a");
    assert_int_equal(check(&fixture, 10000, &error), OUTCOME_OK);
    assert_false(fixture.publisher->late); /* there is no outbox to take what comes */
    assert_int_equal(check(&fixture, 10001, &error), OUTCOME_TRANSIENT);
    assert_string_equal(error.text, "the broker has not confirmed a message for 10 s");

    fixture.publisher->now_ms = NOW_MS;
    settle(&fixture, BROKER_EVENT_NACK, 1);
    assert_int_equal(check(&fixture, NACK_STREAK_MS_MIN, &error), OUTCOME_OK);
    assert_int_equal(check(&fixture, NACK_STREAK_MS_MIN + 1, &error), OUTCOME_TRANSIENT);
    assert_non_null(strstr(error.text, "refused every message for 1 s"));

    /* A confirm ends what refusals have begun. */
    (void)publish(&fixture, "b");
    settle(&fixture, BROKER_EVENT_NACK, 2);
    (void)publish(&fixture, "c");
    settle(&fixture, BROKER_EVENT_ACK, 3);
    assert_int_equal(check(&fixture, 10000, &error), OUTCOME_OK);
    close_fixture(&fixture);
}

static void a_lost_connection(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, false);
    struct event *first = publish(&fixture, "first");
    struct event *second = publish(&fixture, "second");
    struct event *unsent = accept(&fixture, "unsent");
    lose(&fixture);
    expect_done(&fixture, unsent, EVENT_DISCONNECTED);

    /* Lost again before anything was sent; then both are published, in their order. */
    lose(&fixture);
    expect_nothing_done(&fixture);
    send_waiting(&fixture);
    assert_int_equal(first->tag, 1);
    assert_int_equal(second->tag, 2);
    assert_int_equal(fixture.publisher->metrics.republished, 2);
    close_fixture(&fixture);

    open_fixture(&fixture, true);
    first = publish(&fixture, "first");
    unsent = accept(&fixture, "unsent");
    lose(&fixture);
    assert_ptr_equal(work_list_take(&fixture.publisher->to_outbox), first);
    assert_int_equal(first->outcome, EVENT_UNKNOWN);
    expect_outbox(&fixture, unsent, EVENT_DISCONNECTED);
    event_free(first);
    close_fixture(&fixture);
}

static void what_the_outbox_forwards_goes_back_to_it(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, true);
    struct event *forwarded = publish(&fixture, "forwarded");
    forwarded->outbox_sequence = 7;
    struct event *own = publish(&fixture, "own");
    settle(&fixture, BROKER_EVENT_ACK, 1);
    expect_outbox(&fixture, forwarded, EVENT_CONFIRMED);
    settle(&fixture, BROKER_EVENT_ACK, 2);
    expect_done(&fixture, own, EVENT_CONFIRMED);
    close_fixture(&fixture);
}

static void a_stop_completes_all(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, false);
    struct event *sent = publish(&fixture, "sent");
    struct event *unsent = accept(&fixture, "unsent");
    publisher_complete_all(fixture.publisher);
    assert_ptr_equal(work_list_take(&fixture.publisher->done), sent);
    assert_int_equal(sent->outcome, EVENT_UNKNOWN);
    expect_done(&fixture, unsent, EVENT_DRAINING);
    event_free(sent);
    close_fixture(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_sent_now_is_refused_at_once),
        cmocka_unit_test(an_alarm_refuses_what_was_not_sent),
        cmocka_unit_test(an_alarm_keeps_what_was_sent_before),
        cmocka_unit_test(the_window_limits_what_is_sent),
        cmocka_unit_test(what_cannot_be_encoded_is_not_sent),
        cmocka_unit_test(a_refusal_is_told),
        cmocka_unit_test(a_refusal_of_what_may_be_there_already_is_unknown),
        cmocka_unit_test(a_deadline_passes),
        cmocka_unit_test(an_event_that_was_overtaken_expires_first),
        cmocka_unit_test(a_late_confirm_sends_others_to_the_outbox),
        cmocka_unit_test(a_connection_of_no_more_use_is_given_up),
        cmocka_unit_test(a_lost_connection),
        cmocka_unit_test(what_the_outbox_forwards_goes_back_to_it),
        cmocka_unit_test(a_stop_completes_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
