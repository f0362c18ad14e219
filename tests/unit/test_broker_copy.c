/* What a copy of a delivery keeps, what it moves, and what it leaves out. */
#include "tests/unit/broker_pair.h"

static bool has_header(struct slice headers, const char *name)
{
    struct broker_cursor cursor = {headers.data, headers.length, false};
    struct broker_header header;
    while (broker_next_header(&cursor, &header)) {
        if (slice_equal(header.name, slice_of(name))) {
            return true;
        }
    }
    assert_false(cursor.failed);
    return false;
}

/* The properties of the one message that was appended: behind its publish. */
static struct broker_properties appended_properties(struct pair *pair)
{
    struct broker_cursor out = {pair->broker->out.data, pair->broker->out.length, false};
    struct broker_properties properties;
    (void)broker_take_bytes(&out, 3);
    (void)broker_take_bytes(&out, broker_take_integer(&out, 4) + 1);
    (void)broker_take_bytes(&out, 3);
    struct slice payload = broker_take_bytes(&out, broker_take_integer(&out, 4));
    assert_false(out.failed);
    assert_true(broker_properties_parse((struct slice){payload.data + 12, payload.length - 12},
                                        &properties));
    return properties;
}

static void a_copy(void **state)
{
    (void)state;
    struct pair pair = connected();
    struct buffer headers = nothing();
    struct buffer raw = nothing();
    struct error error;
    const struct message_header own[] = {
        {.name = slice_of("reason"), .type = MESSAGE_HEADER_TEXT, .text = slice_of("not-json")},
        {.name = slice_of("at"), .type = MESSAGE_HEADER_INTEGER, .integer = -5}};
    const struct broker_copy copy = {
        .queue = "session.dead", .headers = own, .header_count = 2, .dropped_prefix = "drop-"};
    static const char *const names[] = {
        "CC", "BCC", "reason", "drop-this", "x-delivery-count", "x-acquired-count", "kept"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        append_short(&headers, names[i]);
        buffer_append(&headers, "t\x01", 2);
    }
    append_nested(&headers, 1000);
    unsigned flags = 0xfffc; /* all there are */
    append_integer(&raw, flags, 2);
    append_short(&raw, "content-type");
    append_short(&raw, "content-encoding");
    append_integer(&raw, headers.length, 4);
    buffer_append_slice(&raw, buffer_slice(&headers));
    append_integer(&raw, 1, 1);
    append_integer(&raw, 9, 1);
    static const char *const texts[] = {"correlation-id", "reply-to", "60000", "message-id"};
    for (size_t i = 0; i < 4; i++) {
        append_short(&raw, texts[i]);
    }
    append_integer(&raw, 1234567890123, 8);
    static const char *const last[] = {"type", "user", "app-id", "cluster-id"};
    for (size_t i = 0; i < 4; i++) {
        append_short(&raw, last[i]);
    }
    assert_int_equal(
        broker_append_copy(pair.broker, slice_of("body"), buffer_slice(&raw), &copy, &error),
        OUTCOME_OK);
    struct broker_properties found = appended_properties(&pair);
    assert_slice(found.content_type, "content-type");
    assert_slice(found.content_encoding, "content-encoding");
    assert_slice(found.correlation_id, "correlation-id");
    assert_slice(found.reply_to, "reply-to");
    assert_slice(found.message_id, "message-id");
    assert_slice(found.type, "type");
    assert_slice(found.app_id, "app-id");
    assert_slice(found.cluster_id, "cluster-id");
    assert_int_equal(found.priority, 9);
    assert_int_equal(found.delivery_mode, AMQP_DELIVERY_PERSISTENT);
    assert_true(found.timestamp_s == 1234567890123);
    assert_slice(found.expiration, "");
    assert_slice(found.user_id, "");
    assert_int_equal(found.flags & (AMQP_BASIC_EXPIRATION_FLAG | AMQP_BASIC_USER_ID_FLAG), 0);
    static const char *const wanted[] = {
        "reason", "at",  "original-expiration", "original-user-id", "original-CC", "original-BCC",
        "kept",   "deep"};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        assert_true(has_header(found.headers, wanted[i]));
    }
    static const char *const gone[] = {"CC", "BCC", "drop-this", "x-delivery-count",
                                       "x-acquired-count"};
    for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++) {
        assert_false(has_header(found.headers, gone[i]));
    }
    buffer_done(&headers);
    buffer_done(&raw);
    close_pair(&pair);
}

/* Where the headers fill a frame there is no room for a reason beside them. */
static void a_copy_without_room(void **state)
{
    (void)state;
    struct pair pair = connected();
    struct buffer headers = nothing();
    struct error error;
    const struct message_header own = {
        .name = slice_of("reason"), .type = MESSAGE_HEADER_TEXT, .text = slice_of("not-json")};
    const struct broker_copy copy = {.queue = "session.dead", .headers = &own, .header_count = 1};
    append_nested(&headers, 26207);
    struct buffer properties = properties_of(buffer_slice(&headers), "m1");
    assert_int_equal(
        broker_append_copy(pair.broker, slice_of("body"), buffer_slice(&properties), &copy, &error),
        OUTCOME_OK);
    struct broker_properties found = appended_properties(&pair);
    assert_true(has_header(found.headers, "reason"));
    assert_false(has_header(found.headers, "deep"));
    assert_slice(found.message_id, "m1");
    buffer_done(&properties);
    buffer_done(&headers);
    close_pair(&pair);
}

/* A copy that stands for its original is none where something is missing. */
static void a_whole_copy_or_none(void **state)
{
    (void)state;
    struct pair pair = connected();
    struct buffer headers = nothing();
    struct error error;
    const struct message_header own = {
        .name = slice_of("reason"), .type = MESSAGE_HEADER_TEXT, .text = slice_of("not-json")};
    const struct broker_copy copy = {
        .queue = "session", .headers = &own, .header_count = 1, .whole = true};
    append_nested(&headers, 26207);
    struct buffer properties = properties_of(buffer_slice(&headers), "m1");
    struct slice raw = buffer_slice(&properties);
    const struct slice bad[] = {raw, {0}, {raw.data, 3}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(broker_append_copy(pair.broker, slice_of("body"), bad[i], &copy, &error),
                         OUTCOME_INVALID);
        assert_int_equal(broker_unsent_bytes(pair.broker), 0);
    }
    buffer_clear(&headers);
    append_nested(&headers, 1000);
    buffer_done(&properties);
    properties = properties_of(buffer_slice(&headers), "m1");
    assert_int_equal(
        broker_append_copy(pair.broker, slice_of("body"), buffer_slice(&properties), &copy, &error),
        OUTCOME_OK);
    struct broker_properties found = appended_properties(&pair);
    assert_true(has_header(found.headers, "reason"));
    assert_true(has_header(found.headers, "deep"));
    buffer_done(&properties);
    buffer_done(&headers);
    close_pair(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy),
        cmocka_unit_test(a_copy_without_room),
        cmocka_unit_test(a_whole_copy_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
