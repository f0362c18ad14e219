/* Whether a user may publish: confirmed, in an alarm, refused. The broker's end is the test's. */
#include "broker_pair.h"

static void append_confirm(struct buffer *out, uint32_t method, uint64_t tag, bool multiple)
{
    struct buffer payload = nothing();
    append_integer(&payload, method, 4);
    append_integer(&payload, tag, 8);
    append_integer(&payload, multiple ? 1 : 0, 1);
    append_frame(out, AMQP_FRAME_METHOD, 1, buffer_slice(&payload));
    buffer_done(&payload);
}

static void append_return(struct buffer *out, const char *message_id)
{
    struct buffer payload = nothing();
    append_integer(&payload, AMQP_BASIC_RETURN_METHOD, 4);
    append_integer(&payload, 312, 2);
    append_short(&payload, "NO_ROUTE");
    append_short(&payload, "");
    append_short(&payload, "key");
    append_frame(out, AMQP_FRAME_METHOD, 1, buffer_slice(&payload));
    buffer_done(&payload);
    struct buffer properties = properties_of(slice_of(""), message_id);
    append_header(out, 0, buffer_slice(&properties));
    buffer_done(&properties);
}

static const char refused[] = "ACCESS_REFUSED - access to exchange 'amq.default' in vhost '/' "
                              "refused for user 'u'";

static void append_refusal(struct buffer *out)
{
    struct buffer payload = nothing();
    append_integer(&payload, AMQP_CHANNEL_CLOSE_METHOD, 4);
    append_integer(&payload, 403, 2);
    append_short(&payload, refused);
    append_integer(&payload, AMQP_BASIC_PUBLISH_METHOD, 4);
    append_frame(out, AMQP_FRAME_METHOD, 1, buffer_slice(&payload));
    buffer_done(&payload);
}

static void expect_confirm(const struct pair *pair, enum broker_event_type type, uint64_t tag,
                           bool multiple)
{
    const struct broker_event event = next_event(pair);
    assert_int_equal(event.type, type);
    assert_int_equal(event.tag, tag);
    assert_int_equal(event.multiple, multiple);
}

/* Its user counts from 1 all the same. */
static void a_check_that_was_confirmed(void **state)
{
    (void)state;
    struct pair pair = connected();
    struct buffer bytes = nothing();
    struct error error = {.text = ""};
    pair.broker->timeout_ms = 1000;
    append_return(&bytes, BROKER_CHECK_KEY);
    append_confirm(&bytes, AMQP_BASIC_ACK_METHOD, 1, false);
    append_confirm(&bytes, AMQP_BASIC_ACK_METHOD, 2, false);
    append_confirm(&bytes, AMQP_BASIC_NACK_METHOD, 5, true);
    append_return(&bytes, BROKER_CHECK_KEY); /* a client's message may have this id */
    send_slice(&pair, buffer_slice(&bytes));
    assert_int_equal(broker_check_publishing(pair.broker, &error), OUTCOME_OK);
    expect_confirm(&pair, BROKER_EVENT_ACK, 1, false);
    expect_confirm(&pair, BROKER_EVENT_NACK, 4, true);
    const struct broker_event event = next_event(&pair);
    assert_int_equal(event.type, BROKER_EVENT_RETURN);
    assert_slice(event.text, BROKER_CHECK_KEY);
    buffer_done(&bytes);
    close_pair(&pair);
}

static void a_check_in_an_alarm(void **state)
{
    (void)state;
    struct pair pair = connected();
    struct buffer bytes = nothing();
    struct error error = {.text = ""};
    pair.broker->timeout_ms = 1000;
    append_frame(&bytes, AMQP_FRAME_METHOD, 0,
                 (struct slice){"\x00\x0a\x00\x3c\x06"
                                "memory",
                                11});
    send_slice(&pair, buffer_slice(&bytes));
    assert_int_equal(broker_check_publishing(pair.broker, &error), OUTCOME_OK);
    assert_int_equal(next_event(&pair).type, BROKER_EVENT_BLOCKED);

    bytes.length = 0;
    append_frame(&bytes, AMQP_FRAME_METHOD, 0, (struct slice){"\x00\x0a\x00\x3d", 4});
    append_return(&bytes, BROKER_CHECK_KEY);
    append_return(&bytes, "mine");
    append_confirm(&bytes, AMQP_BASIC_ACK_METHOD, 2, true);
    send_slice(&pair, buffer_slice(&bytes));
    assert_int_equal(next_event(&pair).type, BROKER_EVENT_UNBLOCKED);
    const struct broker_event event = next_event(&pair);
    assert_int_equal(event.type, BROKER_EVENT_RETURN);
    assert_slice(event.text, "mine");
    expect_confirm(&pair, BROKER_EVENT_ACK, 1, true);
    assert_int_equal(read_event(&pair).type, BROKER_EVENT_NONE);
    buffer_done(&bytes);
    close_pair(&pair);
}

static void a_check_that_was_refused(void **state)
{
    (void)state;
    struct pair pair = connected();
    struct buffer bytes = nothing();
    struct error error = {.text = ""};
    pair.broker->timeout_ms = 1000;
    append_refusal(&bytes);
    send_slice(&pair, buffer_slice(&bytes));
    assert_int_equal(broker_check_publishing(pair.broker, &error), OUTCOME_INVALID);
    assert_string_equal(error.text, "basic.publish: user 'u' lacks the right to write to exchange "
                                    "'amq.default' in vhost '/' (403)");
    close_pair(&pair);

    /* Later, of what its user has published. */
    pair = connected();
    send_slice(&pair, buffer_slice(&bytes));
    struct broker_event event;
    enum outcome outcome = broker_read(pair.broker, &event, &error);
    assert_int_equal(outcome, OUTCOME_BROKEN);
    assert_true(broker_has_refused(pair.broker));
    assert_non_null(strstr(error.text, "closed the channel: user 'u' lacks the right to write to"));
    buffer_done(&bytes);
    close_pair(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_check_that_was_confirmed),
        cmocka_unit_test(a_check_in_an_alarm),
        cmocka_unit_test(a_check_that_was_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
