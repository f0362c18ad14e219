/* What a broker, or who publishes through it, may send: frames in pieces and together, too large
 * and malformed ones, headers of every kind and depth, silence. The bytes come through a socket
 * pair. */
#include "common/base/clock.h"
#include "tests/unit/broker_pair.h"

enum { DEEPEST = 26000, PARTS = 3, PART_BYTES = 100000 };

static void append_delivery(struct buffer *out, uint64_t tag, struct slice headers,
                            const char *body)
{
    struct buffer properties = properties_of(headers, "m1");
    append_deliver(out, tag);
    append_header(out, strlen(body), buffer_slice(&properties));
    append_frame(out, AMQP_FRAME_BODY, 1, slice_of(body));
    buffer_done(&properties);
}

static void expect_broken(struct pair *pair, const char *text)
{
    struct broker_event event;
    struct error error = {.text = ""};
    enum outcome outcome = broker_read(pair->broker, &event, &error);
    if (outcome == OUTCOME_OK && event.type == BROKER_EVENT_NONE) {
        outcome = broker_read(pair->broker, &event, &error);
    }
    assert_int_equal(outcome, OUTCOME_BROKEN);
    assert_non_null(strstr(error.text, text));
    assert_false(pair->broker->healthy);
    close_pair(pair);
}

static void a_delivery_byte_by_byte(void **state)
{
    (void)state;
    struct pair pair = connected();
    struct buffer bytes = nothing();
    append_delivery(&bytes, 7, slice_of(""), "body");
    for (size_t i = 0; i + 1 < bytes.length; i++) {
        send_slice(&pair, (struct slice){bytes.data + i, 1});
        assert_int_equal(next_event(&pair).type, BROKER_EVENT_NONE);
    }
    send_slice(&pair, (struct slice){bytes.data + bytes.length - 1, 1});
    struct broker_event event = next_event(&pair);
    assert_int_equal(event.type, BROKER_EVENT_DELIVERY);
    assert_int_equal(event.delivery.tag, 7);
    assert_true(event.delivery.redelivered);
    assert_slice(event.delivery.message.message_id, "m1");
    assert_slice(event.delivery.message.body, "body");
    buffer_done(&bytes);
    close_pair(&pair);
}

static void many_in_one_read(void **state)
{
    (void)state;
    struct pair pair = connected();
    struct buffer bytes = nothing();
    for (uint64_t tag = 1; tag <= 100; tag++) {
        struct buffer properties = properties_of(slice_of(""), "m1");
        append_deliver(&bytes, tag);
        append_header(&bytes, tag % 2 == 0 ? 4 : 0, buffer_slice(&properties));
        if (tag % 2 == 0) { /* an empty body has no frame */
            append_frame(&bytes, AMQP_FRAME_BODY, 1, slice_of("even"));
        }
        append_frame(&bytes, AMQP_FRAME_HEARTBEAT, 0, slice_of(""));
        buffer_done(&properties);
    }
    send_slice(&pair, buffer_slice(&bytes));
    for (uint64_t tag = 1; tag <= 100; tag++) {
        struct broker_event event = read_event(&pair);
        assert_int_equal(event.type, BROKER_EVENT_DELIVERY);
        assert_int_equal(event.delivery.tag, tag);
        assert_slice(event.delivery.message.body, tag % 2 == 0 ? "even" : "");
    }
    assert_int_equal(next_event(&pair).type, BROKER_EVENT_NONE);
    buffer_done(&bytes);
    close_pair(&pair);
}

static void what_a_delivery_says_of_its_content(void **state)
{
    (void)state;
    struct pair pair = connected();
    struct buffer bytes = nothing();
    struct buffer properties = nothing();
    append_integer(
        &properties,
        AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_CONTENT_ENCODING_FLAG | AMQP_BASIC_TYPE_FLAG, 2);
    append_short(&properties, "application/json");
    append_short(&properties, "gzip");
    append_short(&properties, "user.saved");
    append_deliver(&bytes, 1);
    append_header(&bytes, 0, buffer_slice(&properties));
    send_slice(&pair, buffer_slice(&bytes));
    struct broker_event event = next_event(&pair);
    assert_slice(event.delivery.message.content_type, "application/json");
    assert_slice(event.delivery.message.content_encoding, "gzip");
    assert_slice(event.delivery.message.type, "user.saved");
    buffer_done(&properties);
    buffer_done(&bytes);
    close_pair(&pair);
}

/* What is shown of its header outlasts the reads that bring the body. */
static void a_body_in_several_frames(void **state)
{
    (void)state;
    static char part[PART_BYTES];
    struct pair pair = connected();
    struct buffer head = nothing();
    struct buffer properties =
        properties_of((struct slice){"\x04kindS\x00\x00\x00\x02ok", 12}, "m1");
    append_deliver(&head, 1);
    append_header(&head, PARTS * PART_BYTES, buffer_slice(&properties));
    send_slice(&pair, buffer_slice(&head));
    for (int i = 0; i < PARTS; i++) {
        assert_int_equal(next_event(&pair).type, BROKER_EVENT_NONE);
        struct buffer frame = nothing();
        memset(part, 'a' + i, sizeof(part));
        append_frame(&frame, AMQP_FRAME_BODY, 1, (struct slice){part, sizeof(part)});
        send_slice(&pair, buffer_slice(&frame));
        buffer_done(&frame);
    }
    struct broker_event event = next_event(&pair);
    assert_int_equal(event.type, BROKER_EVENT_DELIVERY);
    struct slice body = event.delivery.message.body;
    assert_int_equal(body.length, PARTS * PART_BYTES);
    for (size_t i = 0; i < body.length; i++) {
        assert_int_equal(body.data[i], 'a' + (int)(i / PART_BYTES));
    }
    assert_slice(event.delivery.message.message_id, "m1");
    assert_int_equal(event.delivery.message.header_count, 1);
    assert_slice(event.delivery.message.headers[0].text, "ok");
    buffer_done(&properties);
    buffer_done(&head);
    close_pair(&pair);
}

/* What a caller appends to between two events does not keep the second from him. */
static void an_ack_between_two_deliveries(void **state)
{
    (void)state;
    struct pair pair = connected();
    struct buffer bytes = nothing();
    char sent[64];
    append_delivery(&bytes, 1, slice_of(""), "one");
    append_delivery(&bytes, 2, slice_of(""), "two");
    send_slice(&pair, buffer_slice(&bytes));
    assert_int_equal(read_event(&pair).delivery.tag, 1);
    assert_int_equal(broker_append_ack(pair.broker, 1, false, NULL), OUTCOME_OK);
    struct broker_event event = read_event(&pair);
    assert_int_equal(event.type, BROKER_EVENT_DELIVERY);
    assert_int_equal(event.delivery.tag, 2);
    assert_int_equal(recv(pair.peer, sent, sizeof(sent), 0), 21);
    buffer_done(&bytes);
    close_pair(&pair);
}

static void send_body_frame(const struct pair *pair, size_t payload_bytes)
{
    struct buffer bytes = nothing();
    struct buffer properties = properties_of(slice_of(""), "m1");
    append_deliver(&bytes, 1);
    append_header(&bytes, payload_bytes, buffer_slice(&properties));
    char *payload = calloc(1, payload_bytes);
    assert_non_null(payload);
    append_frame(&bytes, AMQP_FRAME_BODY, 1, (struct slice){payload, payload_bytes});
    free(payload);
    /* In pieces: a socket pair does not hold all of it. */
    for (size_t sent = 0; sent < bytes.length;) {
        size_t length = bytes.length - sent < 8192 ? bytes.length - sent : 8192;
        ssize_t count = send(pair->peer, bytes.data + sent, length, 0);
        assert_true(count > 0);
        sent += (size_t)count;
    }
    buffer_done(&properties);
    buffer_done(&bytes);
}

/* What a queue adds makes a frame larger than was agreed, within a bound. */
static void the_largest_frame(void **state)
{
    (void)state;
    size_t most = BROKER_FRAME_BYTES_MAX + BROKER_ADDED_HEADER_BYTES - BROKER_FRAME_OVERHEAD_BYTES;
    struct pair pair = connected();
    send_body_frame(&pair, most);
    struct broker_event event = next_event(&pair);
    assert_int_equal(event.type, BROKER_EVENT_DELIVERY);
    assert_int_equal(event.delivery.message.body.length, most);
    close_pair(&pair);
    pair = connected();
    send_body_frame(&pair, most + 1);
    expect_broken(&pair, "too large");
}

static void frames_that_are_none(void **state)
{
    (void)state;
    static const struct {
        struct slice bytes;
        const char *text;
    } cases[] = {
        {{"\x08\x00\x00\x00\x00\x00\x00\x00", 8}, "without its end mark"},
        {{"\x08\x00\x02\x00\x00\x00\x00\xce", 8}, "another channel"},
        {{"\x05\x00\x01\x00\x00\x00\x00\xce", 8}, "belongs to nothing"},
        {{"\x03\x00\x01\x00\x00\x00\x00\xce", 8}, "belongs to nothing"},
        {{"\x01\x00\x01\xff\xff\xff\xff", 7}, "too large"},
        {{"\x01\x00\x01\x00\x00\x00\x02\x00\x3c\xce", 10}, "cut off"},
        {{"\x01\x00\x01\x00\x00\x00\x06\x00\x3c\x00\x50\x00\x00\xce", 14}, "cut off"}, /* an ack */
        {{"HTTP/1.1 400 Bad Request\r\n\r\n", 28}, "too large"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pair pair = connected();
        send_slice(&pair, cases[i].bytes);
        expect_broken(&pair, cases[i].text);
    }
}

static void the_end_of_the_connection(void **state)
{
    (void)state;
    struct pair pair = connected();
    send_slice(&pair, (struct slice){"\x01\x00", 2});
    assert_int_equal(shutdown(pair.peer, SHUT_WR), 0);
    expect_broken(&pair, "closed the connection");
}

static void expect_malformed(struct slice headers, size_t said_bytes)
{
    struct pair pair = connected();
    struct buffer bytes = nothing();
    struct buffer properties = nothing();
    append_integer(&properties, AMQP_BASIC_HEADERS_FLAG, 2);
    append_integer(&properties, said_bytes, 4);
    buffer_append_slice(&properties, headers);
    append_deliver(&bytes, 1);
    append_header(&bytes, 0, buffer_slice(&properties));
    send_slice(&pair, buffer_slice(&bytes));
    buffer_done(&properties);
    buffer_done(&bytes);
    expect_broken(&pair, "malformed header");
}

static void tables_that_are_cut_off(void **state)
{
    (void)state;
    static const struct slice tables[] = {
        {"\x05name", 5},              /* the name is longer than the table */
        {"\x04name", 5},              /* no kind */
        {"\x04nameI\x00\x00\x00", 9}, /* three bytes of four */
        {"\x04nameS\x00\x00\x00\x05text", 14},
        {"\x04nameF\xff\xff\xff\xff", 10},
        {"\x04name?\x00", 7}, /* a kind that nobody knows */
    };
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        expect_malformed(tables[i], tables[i].length);
    }
    expect_malformed(slice_of(""), 1); /* the table is longer than the frame */
}

/* rabbitmq-c reads it by recursion, or not at all. */
static void headers_nested_deep(void **state)
{
    (void)state;
    struct pair pair = connected();
    struct buffer headers = nothing();
    struct buffer bytes = nothing();
    append_short(&headers, "before");
    buffer_append(&headers, "t\x01", 2);
    append_nested(&headers, DEEPEST - 100);
    append_short(&headers, BROKER_HEADER_DELIVERY_COUNT);
    buffer_append(&headers, "b\x03", 2);
    struct buffer properties = properties_of(buffer_slice(&headers), "m1");
    append_deliver(&bytes, 1);
    append_header(&bytes, 0, buffer_slice(&properties));
    send_slice(&pair, buffer_slice(&bytes));
    struct broker_event event = next_event(&pair);
    assert_int_equal(event.type, BROKER_EVENT_DELIVERY);
    assert_int_equal(event.delivery.message.header_count, 1);
    assert_slice(event.delivery.message.headers[0].name, BROKER_HEADER_DELIVERY_COUNT);
    assert_int_equal(event.delivery.message.headers[0].integer, 3);
    assert_slice(event.delivery.message.message_id, "m1");
    assert_int_equal(event.delivery.raw_properties.length, properties.length);
    buffer_done(&properties);
    buffer_done(&headers);
    buffer_done(&bytes);
    close_pair(&pair);
}

static void every_kind_of_header(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t length;
        bool is_shown;
        int64_t integer;
        const char *text;
    } kinds[] = {
        {"t\x01", 2, false, 0, NULL},
        {"b\xff", 2, true, -1, NULL},
        {"B\xff", 2, true, 255, NULL},
        {"s\xff\xfe", 3, true, -2, NULL},
        {"u\xff\xfe", 3, true, 65534, NULL},
        {"I\x80\x00\x00\x00", 5, true, INT32_MIN, NULL},
        {"i\x80\x00\x00\x00", 5, true, INT64_C(2147483648), NULL},
        {"l\xff\xff\xff\xff\xff\xff\xff\xfd", 9, true, -3, NULL},
        {"L\xff\xff\xff\xff\xff\xff\xff\xff", 9, false, 0, NULL},
        {"f\x00\x00\x00\x00", 5, false, 0, NULL},
        {"d\x00\x00\x00\x00\x00\x00\x00\x00", 9, false, 0, NULL},
        {"D\x02\x00\x00\x00\x01", 6, false, 0, NULL},
        {"S\x00\x00\x00\x02hi", 7, true, 0, "hi"},
        {"x\x00\x00\x00\x02hi", 7, true, 0, "hi"},
        {"A\x00\x00\x00\x02t\x01", 7, false, 0, NULL},
        {"F\x00\x00\x00\x02\x01k", 7, false, 0, NULL}, /* nobody looks into it */
        {"T\x00\x00\x00\x00\x00\x00\x00\x01", 9, false, 0, NULL},
        {"V", 1, false, 0, NULL},
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct pair pair = connected();
        struct buffer headers = nothing();
        struct buffer bytes = nothing();
        append_short(&headers, "name");
        buffer_append(&headers, kinds[i].bytes, kinds[i].length);
        append_short(&headers, "last");
        buffer_append(&headers, "b\x07", 2);
        append_delivery(&bytes, 1, buffer_slice(&headers), "body");
        send_slice(&pair, buffer_slice(&bytes));
        struct broker_event event = next_event(&pair);
        assert_int_equal(event.type, BROKER_EVENT_DELIVERY);
        const struct message *message = &event.delivery.message;
        assert_int_equal(message->header_count, kinds[i].is_shown ? 2 : 1);
        assert_int_equal(message->headers[message->header_count - 1].integer, 7);
        if (kinds[i].text != NULL) {
            assert_slice(message->headers[0].text, kinds[i].text);
        } else if (kinds[i].is_shown) {
            assert_true(message->headers[0].integer == kinds[i].integer);
        }
        buffer_done(&headers);
        buffer_done(&bytes);
        close_pair(&pair);
    }
}

static void silence(void **state)
{
    (void)state;
    struct pair pair = connected();
    char bytes[64];
    assert_int_equal(next_event(&pair).type, BROKER_EVENT_NONE);
    assert_int_equal(recv(pair.peer, bytes, sizeof(bytes), 0), -1);
    pair.broker->said_ms = clock_monotonic_ms() - HEARTBEAT_MS / 2;
    assert_int_equal(next_event(&pair).type, BROKER_EVENT_NONE);
    assert_int_equal(recv(pair.peer, bytes, sizeof(bytes), 0), 8);
    assert_memory_equal(bytes, "\x08\x00\x00\x00\x00\x00\x00\xce", 8);
    assert_int_equal(next_event(&pair).type, BROKER_EVENT_NONE);
    assert_int_equal(recv(pair.peer, bytes, sizeof(bytes), 0), -1); /* one is enough */
    pair.broker->said_ms = clock_monotonic_ms() - HEARTBEAT_MS / 2;
    assert_int_equal(broker_heartbeat_if_due(pair.broker, NULL), OUTCOME_OK);
    assert_int_equal(recv(pair.peer, bytes, sizeof(bytes), 0), 8);
    assert_int_equal(broker_heartbeat_if_due(pair.broker, NULL), OUTCOME_OK);
    assert_int_equal(recv(pair.peer, bytes, sizeof(bytes), 0), -1);
    pair.broker->heard_ms = clock_monotonic_ms() - 2 * HEARTBEAT_MS;
    send_slice(&pair, (struct slice){"\x08\x00\x00\x00\x00\x00\x00\xce", 8});
    assert_int_equal(next_event(&pair).type, BROKER_EVENT_NONE); /* it has said something */
    pair.broker->in_is_dry = true; /* as after a batch that was full, and long in the making */
    pair.broker->heard_ms = clock_monotonic_ms() - 2 * HEARTBEAT_MS;
    send_slice(&pair, (struct slice){"\x08\x00\x00\x00\x00\x00\x00\xce", 8});
    assert_int_equal(read_event(&pair).type, BROKER_EVENT_NONE);
    pair.broker->heard_ms = clock_monotonic_ms() - 2 * HEARTBEAT_MS;
    expect_broken(&pair, "silent");
}

static void answers_that_are_waited_for(void **state)
{
    (void)state;
    struct pair pair = connected();
    struct buffer bytes = nothing();
    struct broker_cursor arguments;
    struct error error = {.text = ""};
    struct broker_refusal refusal = {.code = -1};
    append_frame(&bytes, AMQP_FRAME_METHOD, 0,
                 (struct slice){"\x00\x0a\x00\x3c\x06"
                                "memory",
                                11}); /* connection.blocked */
    append_frame(&bytes, AMQP_FRAME_METHOD, 1,
                 (struct slice){"\x00\x3c\x00\x15\x01"
                                "c",
                                6});
    append_delivery(&bytes, 5, slice_of(""), "body");
    send_slice(&pair, buffer_slice(&bytes));
    assert_int_equal(broker_wait_for(pair.broker, AMQP_BASIC_CONSUME_OK_METHOD, "basic.consume",
                                     1000, &arguments, &refusal, &error),
                     OUTCOME_OK);
    assert_int_equal(refusal.code, 0);
    assert_slice(broker_take_short_string(&arguments), "c");
    assert_int_equal(read_event(&pair).type, BROKER_EVENT_BLOCKED);
    assert_int_equal(read_event(&pair).delivery.tag, 5);

    bytes.length = 0; /* a quorum queue may be quicker than the channel's answer */
    append_delivery(&bytes, 6, slice_of(""), "body");
    append_frame(&bytes, AMQP_FRAME_METHOD, 1,
                 (struct slice){"\x00\x3c\x00\x15\x01"
                                "c",
                                6});
    append_delivery(&bytes, 7, slice_of(""), "body");
    send_slice(&pair, buffer_slice(&bytes));
    assert_int_equal(broker_wait_for(pair.broker, AMQP_BASIC_CONSUME_OK_METHOD, "basic.consume",
                                     1000, &arguments, &refusal, &error),
                     OUTCOME_OK);
    assert_int_equal(next_event(&pair).delivery.tag, 6);
    assert_int_equal(read_event(&pair).delivery.tag, 7);

    bytes.length = 0;
    append_frame(&bytes, AMQP_FRAME_METHOD, 0, (struct slice){"\x00\x0a\x00\x3d", 4});
    append_frame(&bytes, AMQP_FRAME_METHOD, 1,
                 (struct slice){"\x00\x14\x00\x28\x01\x93\x02no\x00\x3c\x00\x14", 13});
    send_slice(&pair, buffer_slice(&bytes));
    assert_int_equal(broker_wait_for(pair.broker, AMQP_BASIC_CONSUME_OK_METHOD, "basic.consume",
                                     1000, &arguments, &refusal, &error),
                     OUTCOME_INVALID);
    assert_int_equal(refusal.code, 403);
    assert_int_equal(refusal.method, AMQP_BASIC_CONSUME_METHOD);
    assert_string_equal(error.text, "basic.consume: the broker answered 403: no");
    assert_int_equal(read_event(&pair).type, BROKER_EVENT_UNBLOCKED);

    assert_int_equal(broker_wait_for(pair.broker, AMQP_BASIC_CONSUME_OK_METHOD, "basic.consume", 1,
                                     &arguments, &refusal, &error),
                     OUTCOME_TRANSIENT);
    assert_non_null(strstr(error.text, "no reply"));
    buffer_done(&bytes);
    close_pair(&pair);
}

/* What comes without an end lengthens no wait. */
static void an_answer_that_is_late(void **state)
{
    (void)state;
    struct pair pair = connected();
    struct buffer bytes = nothing();
    struct broker_cursor arguments;
    struct error error = {.text = ""};
    for (int i = 0; i < 100; i++) {
        append_frame(&bytes, AMQP_FRAME_METHOD, 1,
                     (struct slice){"\x00\x3c\x00\x50\x00\x00\x00\x00\x00\x00\x00\x01\x00", 13});
    }
    send_slice(&pair, buffer_slice(&bytes));
    assert_int_equal(broker_wait_for(pair.broker, AMQP_BASIC_QOS_OK_METHOD, "basic.qos", 0,
                                     &arguments, NULL, &error),
                     OUTCOME_TRANSIENT);
    assert_string_equal(error.text, "basic.qos: no reply from the broker in time");
    assert_int_equal(next_event(&pair).type, BROKER_EVENT_ACK);
    buffer_done(&bytes);
    close_pair(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_delivery_byte_by_byte),
        cmocka_unit_test(many_in_one_read),
        cmocka_unit_test(what_a_delivery_says_of_its_content),
        cmocka_unit_test(a_body_in_several_frames),
        cmocka_unit_test(an_ack_between_two_deliveries),
        cmocka_unit_test(the_largest_frame),
        cmocka_unit_test(frames_that_are_none),
        cmocka_unit_test(the_end_of_the_connection),
        cmocka_unit_test(tables_that_are_cut_off),
        cmocka_unit_test(headers_nested_deep),
        cmocka_unit_test(every_kind_of_header),
        cmocka_unit_test(silence),
        cmocka_unit_test(answers_that_are_waited_for),
        cmocka_unit_test(an_answer_that_is_late),

    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
