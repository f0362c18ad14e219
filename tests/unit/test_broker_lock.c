/* The lock of a queue, and the consumers of one: held, of another, denied, something else. The
 * broker's end is the test's. */
#include "broker_pair.h"

static const char locked[] = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue "
                             "'session.lock' in vhost '/'";

static void append_declared(struct buffer *out, const char *queue, uint64_t consumers)
{
    struct buffer payload = nothing();
    append_integer(&payload, AMQP_QUEUE_DECLARE_OK_METHOD, 4);
    append_short(&payload, queue);
    append_integer(&payload, 7, 4);
    append_integer(&payload, consumers, 4);
    append_frame(out, AMQP_FRAME_METHOD, 1, buffer_slice(&payload));
    buffer_done(&payload);
}

/* The channel is opened again. */
static void append_refusal(struct buffer *out, int code, const char *text)
{
    struct buffer payload = nothing();
    append_integer(&payload, AMQP_CHANNEL_CLOSE_METHOD, 4);
    append_integer(&payload, (uint64_t)code, 2);
    append_short(&payload, text);
    append_integer(&payload, AMQP_QUEUE_DECLARE_METHOD, 4);
    append_frame(out, AMQP_FRAME_METHOD, 1, buffer_slice(&payload));
    payload.length = 0;
    append_integer(&payload, AMQP_CHANNEL_OPEN_OK_METHOD, 4);
    append_integer(&payload, 0, 4);
    append_frame(out, AMQP_FRAME_METHOD, 1, buffer_slice(&payload));
    buffer_done(&payload);
}

static struct pair answering(const struct buffer *bytes)
{
    struct pair pair = connected();
    pair.broker->timeout_ms = 1000;
    send_slice(&pair, buffer_slice(bytes));
    return pair;
}

static enum broker_lock lock_of(struct pair *pair, struct error *ret_why)
{
    enum broker_lock lock = BROKER_LOCK_HELD;
    struct error error = {.text = ""};
    assert_int_equal(broker_lock_and_wait(pair->broker, "session.lock", &lock, ret_why, &error),
                     OUTCOME_OK);
    return lock;
}

static void it_is_held_or_another_has_it(void **state)
{
    (void)state;
    struct buffer bytes = nothing();
    struct error why = {.text = ""};
    append_refusal(&bytes, 405, locked);
    append_declared(&bytes, "session.lock", 0);
    struct pair pair = answering(&bytes);
    assert_int_equal(lock_of(&pair, &why), BROKER_LOCK_OF_ANOTHER);
    assert_non_null(strstr(why.text, "405"));
    assert_non_null(strstr(why.text, locked));
    assert_true(pair.broker->healthy);
    assert_int_equal(lock_of(&pair, &why), BROKER_LOCK_HELD);
    buffer_done(&bytes);
    close_pair(&pair);
}

static void without_the_right_it_is_denied(void **state)
{
    (void)state;
    struct buffer bytes = nothing();
    struct error why = {.text = ""};
    append_refusal(&bytes, 403,
                   "ACCESS_REFUSED - access to queue 'session.lock' in vhost '/' refused for user "
                   "'u'");
    struct pair pair = answering(&bytes);
    assert_int_equal(lock_of(&pair, &why), BROKER_LOCK_DENIED);
    assert_non_null(strstr(why.text, "user 'u' lacks the right to configure queue 'session.lock'"));
    buffer_done(&bytes);
    close_pair(&pair);
}

static void another_refusal_is_a_failure(void **state)
{
    (void)state;
    struct buffer bytes = nothing();
    struct error error = {.text = ""};
    struct error why;
    enum broker_lock lock;
    append_refusal(&bytes, 541, "INTERNAL_ERROR");
    struct pair pair = answering(&bytes);
    assert_int_equal(broker_lock_and_wait(pair.broker, "session.lock", &lock, &why, &error),
                     OUTCOME_TRANSIENT);
    assert_non_null(strstr(error.text, "541"));
    buffer_done(&bytes);
    close_pair(&pair);
}

static void an_ordinary_queue_is_no_lock(void **state)
{
    (void)state;
    struct buffer bytes = nothing();
    struct error error = {.text = ""};
    append_refusal(&bytes, 405, locked);
    append_refusal(&bytes, 404, "NOT_FOUND - no queue 'session.lock' in vhost '/'");
    append_declared(&bytes, "session.lock", 0);
    struct pair pair = answering(&bytes);
    assert_int_equal(broker_check_lock(pair.broker, "session.lock", &error), OUTCOME_OK);
    assert_int_equal(broker_check_lock(pair.broker, "session.lock", &error), OUTCOME_OK);
    assert_int_equal(broker_check_lock(pair.broker, "session.lock", &error), OUTCOME_INVALID);
    assert_non_null(strstr(error.text, "'session.lock' is an ordinary queue"));
    buffer_done(&bytes);
    close_pair(&pair);
}

static void the_consumers_are_counted(void **state)
{
    (void)state;
    struct buffer bytes = nothing();
    struct error error = {.text = ""};
    uint64_t count = 0;
    append_declared(&bytes, "session", 3);
    append_declared(&bytes, "session", 2);
    struct pair pair = answering(&bytes);
    assert_int_equal(broker_count_consumers_and_wait(pair.broker, "session", &count, &error),
                     OUTCOME_OK);
    assert_int_equal(count, 3);
    const struct broker_event event = next_event(&pair);
    assert_int_equal(event.type, BROKER_EVENT_DECLARED);
    assert_int_equal(event.consumers, 2);
    assert_slice(event.text, "session");
    buffer_done(&bytes);
    close_pair(&pair);
}

static void two_heartbeats_without_a_word_give_a_connection_up(void **state)
{
    (void)state;
    struct pair pair = connected();
    uint64_t said_ms = pair.broker->said_ms;
    assert_false(broker_is_given_up(pair.broker, said_ms + 2 * HEARTBEAT_MS - 1));
    assert_true(broker_is_given_up(pair.broker, said_ms + 2 * HEARTBEAT_MS));
    pair.broker->heartbeat_ms = 0;
    assert_false(broker_is_given_up(pair.broker, said_ms + 2 * HEARTBEAT_MS));
    close_pair(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_held_or_another_has_it),
        cmocka_unit_test(without_the_right_it_is_denied),
        cmocka_unit_test(another_refusal_is_a_failure),
        cmocka_unit_test(an_ordinary_queue_is_no_lock),
        cmocka_unit_test(the_consumers_are_counted),
        cmocka_unit_test(two_heartbeats_without_a_word_give_a_connection_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
