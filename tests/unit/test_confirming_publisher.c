/* What the broker says of each publish: confirmed, refused, returned, or lost with the connection.
 * The broker's end of the connection is the test's. */
#include "common/amqp/confirming_publisher.h"

#include "broker_pair.h"

#include <stdio.h>

enum { WINDOW = 4, NOW_MS = 5000, ITEMS = 16 };

struct fixture {
    struct pair pair;
    struct worker owner; /* of the connector */
    struct confirming_publisher publisher;
    const char *items[ITEMS]; /* settled, in order; "" for one that was forgotten */
    enum confirm_result results[ITEMS];
    size_t settled_count, checked_count;
    size_t heard_count, stop_at; /* 0: never */
};

static void settle(void *item, enum confirm_result result, void *context)
{
    struct fixture *fixture = context;
    assert_true(fixture->settled_count < ITEMS);
    fixture->items[fixture->settled_count] = item == NULL ? "" : item;
    fixture->results[fixture->settled_count++] = result;
}

static bool hear(void *context, const struct broker_event *event)
{
    struct fixture *fixture = context;
    assert_true(event->type != BROKER_EVENT_NONE);
    return ++fixture->heard_count != fixture->stop_at;
}

static void open_fixture(struct fixture *fixture, bool with_connector)
{
    *fixture = (struct fixture){.pair = connected()};
    assert_int_equal(worker_init(&fixture->owner, NULL), OUTCOME_OK);
    struct confirming_publisher_options options = {.connection.urls = "amqp://127.0.0.1:1/",
                                                   .connection.queue = "session",
                                                   .connection.open.connection_name = "test",
                                                   .connection.owner = &fixture->owner,
                                                   .window = WINDOW,
                                                   .settled = settle,
                                                   .heard = hear,
                                                   .context = fixture};
    if (!with_connector) {
        options.connection.urls = NULL;
    }
    struct error error;
    assert_int_equal(confirming_publisher_init(&fixture->publisher, &options, &error), OUTCOME_OK);
    assert_false(confirming_publisher_has_room(&fixture->publisher)); /* not connected */
    fixture->publisher.broker = fixture->pair.broker;
}

static void close_fixture(struct fixture *fixture)
{
    assert_int_equal(fixture->settled_count, fixture->checked_count);
    fixture->pair.broker->healthy = false; /* nobody would answer the farewell */
    confirming_publisher_done(&fixture->publisher);
    worker_done(&fixture->owner);
    close(fixture->pair.peer);
}

static uint64_t publish(struct fixture *fixture, const char *id, const char *item)
{
    assert_true(confirming_publisher_has_room(&fixture->publisher));
    return confirm_window_add(&fixture->publisher.window, (void *)(uintptr_t)item, slice_of(id),
                              NOW_MS);
}

static void take(struct fixture *fixture, const struct broker_event *event)
{
    struct error error;
    assert_int_equal(confirming_publisher_take(&fixture->publisher, event, NOW_MS, &error),
                     OUTCOME_OK);
}

static void confirm(struct fixture *fixture, enum broker_event_type type, uint64_t tag,
                    bool multiple)
{
    const struct broker_event event = {.type = type, .tag = tag, .multiple = multiple};
    take(fixture, &event);
}

static void take_return(struct fixture *fixture, const char *id)
{
    const struct broker_event event = {.type = BROKER_EVENT_RETURN, .text = slice_of(id)};
    take(fixture, &event);
}

/* The next that was settled. */
static void expect(struct fixture *fixture, const char *item, enum confirm_result result)
{
    assert_true(fixture->checked_count < fixture->settled_count);
    assert_string_equal(fixture->items[fixture->checked_count], item);
    assert_int_equal(fixture->results[fixture->checked_count++], result);
}

static void acks_and_nacks_settle_what_they_name(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, true);
    publish(&fixture, "1", "a");
    publish(&fixture, "2", "b");
    publish(&fixture, "3", "c");
    publish(&fixture, "4", "d");
    assert_false(confirming_publisher_has_room(&fixture.publisher)); /* the window is full */
    confirm(&fixture, BROKER_EVENT_ACK, 3, false);
    expect(&fixture, "c", CONFIRM_CONFIRMED);
    assert_false(confirming_publisher_has_room(&fixture.publisher));
    confirm(&fixture, BROKER_EVENT_NACK, 2, true);
    expect(&fixture, "a", CONFIRM_REFUSED);
    expect(&fixture, "b", CONFIRM_REFUSED);
    assert_true(confirming_publisher_has_room(&fixture.publisher));
    confirm(&fixture, BROKER_EVENT_ACK, 4, true);
    expect(&fixture, "d", CONFIRM_CONFIRMED);

    struct error error;
    const struct broker_event of_nothing = {.type = BROKER_EVENT_ACK, .tag = 5};
    assert_int_equal(confirming_publisher_take(&fixture.publisher, &of_nothing, NOW_MS, &error),
                     OUTCOME_INVALID);
    confirm(&fixture, BROKER_EVENT_EMPTY, 0, false); /* says nothing of any publish */
    close_fixture(&fixture);
}

static void what_was_returned_is_not_confirmed_by_its_ack(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, true);
    publish(&fixture, "1", "a");
    publish(&fixture, "2", "b");
    take_return(&fixture, "2");
    assert_int_equal(fixture.settled_count, 0); /* it has no answer before its ack */
    size_t bytes = broker_unsent_bytes(fixture.pair.broker);
    assert_true(bytes > 0); /* the queue is declared again */
    publish(&fixture, "3", "c");
    take_return(&fixture, "3");
    assert_int_equal(broker_unsent_bytes(fixture.pair.broker), bytes); /* and only once */
    confirm(&fixture, BROKER_EVENT_ACK, 3, true);
    expect(&fixture, "a", CONFIRM_CONFIRMED);
    expect(&fixture, "b", CONFIRM_RETURNED);
    expect(&fixture, "c", CONFIRM_RETURNED);

    confirm(&fixture, BROKER_EVENT_DECLARED, 0, false);
    publish(&fixture, "1", "a");
    take_return(&fixture, "1");
    assert_true(broker_unsent_bytes(fixture.pair.broker) > bytes);
    confirm(&fixture, BROKER_EVENT_ACK, 4, false);
    expect(&fixture, "a", CONFIRM_RETURNED);
    close_fixture(&fixture);
}

static void a_return_of_a_repeated_id_may_mean_each(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, true);
    publish(&fixture, "twice", "a");
    publish(&fixture, "other", "b");
    publish(&fixture, "twice", "c");
    take_return(&fixture, "twice");
    confirm(&fixture, BROKER_EVENT_ACK, 3, true);
    expect(&fixture, "a", CONFIRM_MAYBE_RETURNED);
    expect(&fixture, "b", CONFIRM_CONFIRMED);
    expect(&fixture, "c", CONFIRM_MAYBE_RETURNED);

    /* So may one beside a publish that was forgotten, whose id is not known any more. */
    confirm_window_forget(&fixture.publisher.window, publish(&fixture, "twice", "d"));
    publish(&fixture, "twice", "e");
    take_return(&fixture, "twice");
    confirm(&fixture, BROKER_EVENT_ACK, 5, true);
    expect(&fixture, "", CONFIRM_CONFIRMED);
    expect(&fixture, "e", CONFIRM_MAYBE_RETURNED);
    close_fixture(&fixture);
}

static void a_lost_connection_gives_everything_back_in_order(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error why = {.text = "gone"};
    open_fixture(&fixture, true);
    publish(&fixture, "1", "a");
    publish(&fixture, "2", "b");
    publish(&fixture, "3", "c");
    confirm(&fixture, BROKER_EVENT_ACK, 2, false);
    expect(&fixture, "b", CONFIRM_CONFIRMED);
    take_return(&fixture, "3");
    confirm(&fixture, BROKER_EVENT_BLOCKED, 0, false);
    confirm(&fixture, BROKER_EVENT_NACK, 2, false); /* settled already */
    fixture.pair.broker->healthy = false;
    confirming_publisher_disconnect(&fixture.publisher, &why);
    expect(&fixture, "a", CONFIRM_LOST);
    expect(&fixture, "c", CONFIRM_LOST);
    assert_null(fixture.publisher.broker);
    assert_int_equal(broker_poll(fixture.publisher.broker).fd, -1);
    close(fixture.pair.peer);

    /* On the next connection tags begin anew, and nothing is left of the alarm. */
    fixture.pair = connected();
    fixture.publisher.broker = fixture.pair.broker;
    struct error error;
    assert_int_equal(
        nack_streak_check(&fixture.publisher.nacks, NOW_MS + NACK_STREAK_MS_MAX, &error),
        OUTCOME_OK);
    assert_int_equal(publish(&fixture, "3", "c"), 1);
    take_return(&fixture, "nobody");
    assert_true(broker_unsent_bytes(fixture.pair.broker) > 0);
    confirm(&fixture, BROKER_EVENT_ACK, 1, false);
    expect(&fixture, "c", CONFIRM_CONFIRMED);
    close_fixture(&fixture);
}

static void nothing_is_owed_in_an_alarm(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, true);
    const struct confirming_publisher *publisher = &fixture.publisher;
    assert_int_equal(confirming_publisher_owed_ms(publisher, NOW_MS), 0);
    publish(&fixture, "1", "a");
    assert_int_equal(confirming_publisher_owed_ms(publisher, NOW_MS + 7), 7);
    assert_int_equal(confirming_publisher_owed_ms(publisher, NOW_MS - 7), 0);
    confirm(&fixture, BROKER_EVENT_BLOCKED, 0, false);
    assert_false(confirming_publisher_has_room(publisher));
    assert_int_equal(confirming_publisher_owed_ms(publisher, NOW_MS + 7), 0);
    const struct broker_event unblocked = {.type = BROKER_EVENT_UNBLOCKED};
    struct error error;
    assert_int_equal(confirming_publisher_take(&fixture.publisher, &unblocked, NOW_MS + 10, &error),
                     OUTCOME_OK);
    assert_true(confirming_publisher_has_room(publisher));
    assert_int_equal(confirming_publisher_owed_ms(publisher, NOW_MS + 12), 2);
    confirm(&fixture, BROKER_EVENT_ACK, 1, false);
    expect(&fixture, "a", CONFIRM_CONFIRMED);
    close_fixture(&fixture);
}

/* The window has no room behind the one that is missing, whatever else is confirmed. */
static void a_confirm_that_never_comes_ends_the_connection(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error;
    enum { LOST_MS = 10000 };
    open_fixture(&fixture, true);
    struct confirming_publisher *publisher = &fixture.publisher;
    confirm_window_forget(&publisher->window, publish(&fixture, "1", "a")); /* it owes that too */
    for (uint64_t tag = 2; tag <= WINDOW; tag++) {
        publish(&fixture, "n", "b");
        confirm(&fixture, BROKER_EVENT_ACK, tag, false);
        expect(&fixture, "b", CONFIRM_CONFIRMED);
    }
    assert_false(confirming_publisher_has_room(publisher));
    assert_int_equal(confirming_publisher_check(publisher, NOW_MS + LOST_MS, LOST_MS, &error),
                     OUTCOME_OK);
    assert_int_equal(confirming_publisher_check(publisher, NOW_MS + LOST_MS + 1, LOST_MS, &error),
                     OUTCOME_TRANSIENT);
    assert_string_equal(error.text, "the broker has not confirmed a message for 10 s");
    confirm(&fixture, BROKER_EVENT_NACK, 1, false);
    expect(&fixture, "", CONFIRM_REFUSED);
    assert_true(confirming_publisher_has_room(publisher));
    assert_int_equal(confirming_publisher_check(publisher, NOW_MS + LOST_MS, LOST_MS, &error),
                     OUTCOME_TRANSIENT);
    assert_non_null(strstr(error.text, "refused every message"));
    close_fixture(&fixture);
}

static void a_connection_of_its_user_declares_nothing(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, false);
    publish(&fixture, "1", "a");
    take_return(&fixture, "1");
    assert_int_equal(broker_unsent_bytes(fixture.pair.broker), 0);
    confirm(&fixture, BROKER_EVENT_ACK, 1, false);
    expect(&fixture, "a", CONFIRM_RETURNED);
    close_fixture(&fixture);
}

/* The bits of a queue.declare that was appended alone; passive is the lowest. */
static unsigned declare_bits(const struct fixture *fixture)
{
    const struct broker *broker = fixture->pair.broker;
    const char *arguments = broker->out.data + 7 + 4 + 2; /* frame, method, ticket */
    return (unsigned char)arguments[1 + arguments[0]];
}

static void where_queues_are_not_declared_one_is_looked_for(void **state)
{
    (void)state;
    const struct {
        enum broker_declare declare;
        unsigned bits;
    } modes[] = {{BROKER_DECLARE_AUTO, 2}, {BROKER_DECLARE_NEVER, 1}}; /* durable, passive */
    for (size_t i = 0; i < 2; i++) {
        struct fixture fixture;
        open_fixture(&fixture, true);
        fixture.publisher.options.connection.declare = modes[i].declare;
        publish(&fixture, "1", "a");
        take_return(&fixture, "1");
        assert_int_equal(declare_bits(&fixture), modes[i].bits);
        confirm(&fixture, BROKER_EVENT_ACK, 1, false);
        expect(&fixture, "a", CONFIRM_RETURNED);
        close_fixture(&fixture);
    }
}

/* Where the second frame's method begins, after a frame that was appended before it. */
static uint32_t second_method(const struct fixture *fixture)
{
    const struct broker *broker = fixture->pair.broker;
    struct broker_cursor cursor = {broker->out.data, broker->out.length, false};
    (void)broker_take_bytes(&cursor, 3);
    (void)broker_take_bytes(&cursor, broker_take_integer(&cursor, 4) + 1);
    (void)broker_take_bytes(&cursor, 7);
    uint32_t method = (uint32_t)broker_take_integer(&cursor, 4);
    return cursor.failed ? 0 : method;
}

static void the_queue_behind_an_exchange(void **state)
{
    (void)state;
    for (int bind = 0; bind < 2; bind++) {
        struct fixture fixture;
        open_fixture(&fixture, true);
        struct shard_name name;
        struct connector_options *options = &fixture.publisher.options.connection;
        options->route = (struct broker_route){"x", bind == 1 ? "k" : NULL};
        options->bind = bind == 1;
        assert_string_equal(connector_route(options, 0, &name).exchange, "x");
        assert_string_equal(connector_route(options, 0, &name).routing_key,
                            bind == 1 ? "k" : "session");
        publish(&fixture, "1", "a");
        take_return(&fixture, "1");
        if (bind == 1) { /* declared and bound again, or left to others */
            assert_int_equal(second_method(&fixture), AMQP_QUEUE_BIND_METHOD);
        } else {
            assert_int_equal(broker_unsent_bytes(fixture.pair.broker), 0);
        }
        confirm(&fixture, BROKER_EVENT_ACK, 1, false);
        expect(&fixture, "a", CONFIRM_RETURNED);
        close_fixture(&fixture);
    }
}

static void without_an_exchange_the_key_is_the_queue(void **state)
{
    (void)state;
    const struct broker_route routes[] = {{NULL, NULL}, {"", "k"}};
    for (size_t i = 0; i < 2; i++) {
        struct shard_name name;
        struct connector_options options = {.queue = "session", .route = routes[i]};
        assert_string_equal(connector_route(&options, 0, &name).exchange, "");
        assert_string_equal(connector_route(&options, 0, &name).routing_key, "session");
        assert_true(connector_minds_queue(&options));
    }
}

static void append_ack(struct buffer *out, uint64_t tag)
{
    struct buffer payload = nothing();
    append_integer(&payload, AMQP_BASIC_ACK_METHOD, 4);
    append_integer(&payload, tag, 8);
    append_integer(&payload, 0, 1);
    append_frame(out, AMQP_FRAME_METHOD, 1, buffer_slice(&payload));
    buffer_done(&payload);
}

static void it_reads_what_has_arrived(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error;
    open_fixture(&fixture, true);
    publish(&fixture, "1", "a");
    publish(&fixture, "2", "b");
    publish(&fixture, "3", "c");
    struct buffer bytes = nothing();
    for (uint64_t tag = 3; tag >= 1; tag--) {
        append_ack(&bytes, tag);
    }
    assert_int_equal(write(fixture.pair.peer, bytes.data, bytes.length), (ssize_t)bytes.length);
    buffer_done(&bytes);
    fixture.stop_at = 2;
    assert_int_equal(confirming_publisher_read(&fixture.publisher, NOW_MS, &error), OUTCOME_OK);
    expect(&fixture, "c", CONFIRM_CONFIRMED);
    expect(&fixture, "b", CONFIRM_CONFIRMED);
    assert_int_equal(fixture.settled_count, 2); /* its user wanted no more */
    assert_int_equal(broker_poll(fixture.pair.broker).events, POLLIN);
    assert_int_equal(confirming_publisher_read(&fixture.publisher, NOW_MS, &error), OUTCOME_OK);
    expect(&fixture, "a", CONFIRM_CONFIRMED);
    assert_int_equal(confirming_publisher_read(&fixture.publisher, NOW_MS, &error), OUTCOME_OK);
    assert_int_equal(fixture.heard_count, 3);
    assert_int_equal(broker_append_ack(fixture.pair.broker, 1, false, &error), OUTCOME_OK);
    assert_int_equal(broker_poll(fixture.pair.broker).events, POLLOUT);

    shutdown(fixture.pair.peer, SHUT_RDWR);
    assert_int_equal(confirming_publisher_read(&fixture.publisher, NOW_MS, &error), OUTCOME_BROKEN);
    close_fixture(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acks_and_nacks_settle_what_they_name),
        cmocka_unit_test(what_was_returned_is_not_confirmed_by_its_ack),
        cmocka_unit_test(a_return_of_a_repeated_id_may_mean_each),
        cmocka_unit_test(a_lost_connection_gives_everything_back_in_order),
        cmocka_unit_test(nothing_is_owed_in_an_alarm),
        cmocka_unit_test(a_confirm_that_never_comes_ends_the_connection),
        cmocka_unit_test(a_connection_of_its_user_declares_nothing),
        cmocka_unit_test(where_queues_are_not_declared_one_is_looked_for),
        cmocka_unit_test(the_queue_behind_an_exchange),
        cmocka_unit_test(without_an_exchange_the_key_is_the_queue),
        cmocka_unit_test(it_reads_what_has_arrived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
