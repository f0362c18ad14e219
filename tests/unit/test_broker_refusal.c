/* What RabbitMQ's refusals mean, in the words that its versions have for them. */
#include "common/amqp/broker_refusal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum {
    QUEUE_DECLARE = 50 << 16 | 10,
    QUEUE_BIND = 50 << 16 | 20,
    BASIC_QOS = 60 << 16 | 10,
    BASIC_CONSUME = 60 << 16 | 20,
    BASIC_PUBLISH = 60 << 16 | 40,
    BASIC_GET = 60 << 16 | 70,
};

static struct broker_refusal refusal_of(int code, uint32_t method, const char *text)
{
    struct broker_refusal refusal = {.code = code, .method = method, .text_length = strlen(text)};
    assert_true(refusal.text_length <= sizeof(refusal.text));
    memcpy(refusal.text, text, refusal.text_length);
    return refusal;
}

static void expect(int code, uint32_t method, const char *text, enum outcome outcome,
                   const char *expected)
{
    struct error error;
    const struct broker_refusal refusal = refusal_of(code, method, text);
    assert_int_equal(broker_refusal_error(&refusal, "it", &error), outcome);
    assert_string_equal(error.text, expected);
}

static void a_missing_right_is_named(void **state)
{
    (void)state;
    static const char queue[] =
        "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'u'";
    static const char exchange[] =
        "ACCESS_REFUSED - access to exchange 'amq.default' in vhost '/' refused for user 'u'";
    expect(403, QUEUE_DECLARE, queue, OUTCOME_INVALID,
           "it: user 'u' lacks the right to configure queue 'q' in vhost '/' (403)");
    expect(403, BASIC_CONSUME, queue, OUTCOME_INVALID,
           "it: user 'u' lacks the right to read from queue 'q' in vhost '/' (403)");
    expect(403, BASIC_GET, queue, OUTCOME_INVALID,
           "it: user 'u' lacks the right to read from queue 'q' in vhost '/' (403)");
    expect(403, QUEUE_BIND, queue, OUTCOME_INVALID,
           "it: user 'u' lacks the right to write to queue 'q' in vhost '/' (403)");
    expect(403, QUEUE_BIND, exchange, OUTCOME_INVALID,
           "it: user 'u' lacks the right to read from exchange 'amq.default' in vhost '/' (403)");
    expect(403, BASIC_PUBLISH, exchange, OUTCOME_INVALID,
           "it: user 'u' lacks the right to write to exchange 'amq.default' in vhost '/' (403)");
}

static void the_broker_may_name_it_itself(void **state)
{
    (void)state;
    expect(
        403, 0, "ACCESS_REFUSED - configure access to queue 'q' in vhost '/' refused for user 'u'",
        OUTCOME_INVALID, "it: user 'u' lacks the right to configure queue 'q' in vhost '/' (403)");
    expect(
        403, BASIC_PUBLISH,
        "ACCESS_REFUSED - write access to topic 'k' in exchange 'amq.topic' in vhost '/' refused "
        "for user 'u' by backend rabbit_auth_backend_http: no",
        OUTCOME_INVALID,
        "it: user 'u' lacks the right to write to topic 'k' in exchange 'amq.topic' in vhost "
        "'/' (403)");
    /* Declaring a queue with a dead-letter exchange needs more than its method says. */
    expect(403, QUEUE_DECLARE,
           "ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'u'",
           OUTCOME_INVALID,
           "it: user 'u' lacks the right to read from queue 'q' in vhost '/' (403)");
}

static void what_is_cut_off_is_left_out(void **state)
{
    (void)state;
    expect(403, QUEUE_DECLARE, "ACCESS_REFUSED - access to queue 'qqq...", OUTCOME_INVALID,
           "it: the user lacks the right to configure queue 'qqq... (403)");
    expect(403, QUEUE_DECLARE, "", OUTCOME_INVALID, "it: the broker answered 403: ");
}

static void other_refusals_are_told_as_they_are(void **state)
{
    (void)state;
    expect(403, 10 << 16 | 11, "ACCESS_REFUSED - Login was refused", OUTCOME_INVALID,
           "it: the broker answered 403: ACCESS_REFUSED - Login was refused");
    expect(403, BASIC_QOS, "ACCESS_REFUSED - access to it refused", OUTCOME_INVALID,
           "it: the broker answered 403: ACCESS_REFUSED - access to it refused");
    expect(530, 10 << 16 | 40, "NOT_ALLOWED - access to vhost 'v' refused for user 'u'",
           OUTCOME_INVALID,
           "it: the broker answered 530: NOT_ALLOWED - access to vhost 'v' refused for user 'u'");
    expect(405, QUEUE_DECLARE, "RESOURCE_LOCKED", OUTCOME_TRANSIENT,
           "it: the broker answered 405: RESOURCE_LOCKED");
    expect(406, QUEUE_DECLARE, "PRECONDITION_FAILED - x", OUTCOME_INVALID,
           "it: the broker answered 406: PRECONDITION_FAILED - x");
}

static void expect_difference(const char *text, const char *argument, const char *expected)
{
    char found[BROKER_ARGUMENT_BYTES];
    struct error error;
    const struct broker_refusal refusal = refusal_of(406, QUEUE_DECLARE, text);
    assert_true(broker_refusal_difference(&refusal, found, &error));
    assert_string_equal(found, argument);
    assert_string_equal(error.text, expected);
}

#define ARG(argument, rest)                                                                        \
    "PRECONDITION_FAILED - inequivalent arg '" argument "' for queue 'q' in vhost '/': " rest

static void a_difference_has_both_values(void **state)
{
    (void)state;
    expect_difference(ARG("x-message-ttl", "received none but current is the value '60000' of type "
                                           "'signedint'"),
                      "x-message-ttl", "x-message-ttl is 60000, and not none");
    expect_difference(ARG("durable", "received 'true' but current is 'false'"), "durable",
                      "durable is false, and not true");
    expect_difference(ARG("x-overflow", "received the value 'a' of type 'longstr' but current is "
                                        "the value 'b' of type 'longstr'"),
                      "x-overflow", "x-overflow is b, and not a");
    expect_difference(ARG("x-dead-letter-exchange", "received none but current is the value 'it's' "
                                                    "of type 'longstr'"),
                      "x-dead-letter-exchange", "x-dead-letter-exchange is it's, and not none");
    /* The value may look like one that is missing. */
    expect_difference(ARG("x-dead-letter-exchange", "received none but current is the value 'none' "
                                                    "of type 'longstr'"),
                      "x-dead-letter-exchange", "x-dead-letter-exchange is none, and not none");
}

static void a_queue_without_a_type_is_classic(void **state)
{
    (void)state;
    expect_difference(
        ARG("x-queue-type", "received the value 'quorum' of type 'longstr' but current is none"),
        "x-queue-type", "x-queue-type is classic, and not quorum");
    expect_difference(ARG("x-queue-type", "received none but current is the value 'quorum' of type "
                                          "'longstr'"),
                      "x-queue-type", "x-queue-type is quorum, and not classic");
    expect_difference(ARG("x-queue-type", "received 'quorum' but current is 'stream'"),
                      "x-queue-type", "x-queue-type is stream, and not quorum");
}

static void a_difference_that_is_cut_off(void **state)
{
    (void)state;
    static const char other[] = "x-message-ttl is something else than was asked for";
    expect_difference("PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'qqq...",
                      "x-message-ttl", other);
    expect_difference(ARG("x-message-ttl", "received none but cur..."), "x-message-ttl", other);
    expect_difference(ARG("x-message-ttl", "received none but current is ..."), "x-message-ttl",
                      other);
    expect_difference("PRECONDITION_FAILED - inequivalent arg 'x-mess", "x-mess",
                      "x-mess is something else than was asked for");
}

static void no_difference(void **state)
{
    (void)state;
    char found[BROKER_ARGUMENT_BYTES];
    struct error error;
    struct broker_refusal refusal = refusal_of(406, QUEUE_DECLARE, "PRECONDITION_FAILED - timeout");
    assert_false(broker_refusal_difference(&refusal, found, &error));
    refusal = refusal_of(403, QUEUE_DECLARE, ARG("durable", "received 'true' but current is 'x'"));
    assert_false(broker_refusal_difference(&refusal, found, &error));
}

static void missing_is_not_down(void **state)
{
    (void)state;
    struct broker_refusal refusal =
        refusal_of(404, QUEUE_DECLARE, "NOT_FOUND - no queue 'q' in vhost '/'");
    assert_true(broker_refusal_is_missing(&refusal));
    refusal = refusal_of(404, QUEUE_DECLARE,
                         "NOT_FOUND - home node 'rabbit@a' of durable queue 'q' in vhost '/' is "
                         "down or inaccessible");
    assert_false(broker_refusal_is_missing(&refusal));
    refusal = refusal_of(403, QUEUE_DECLARE, "NOT_FOUND - no queue 'q' in vhost '/'");
    assert_false(broker_refusal_is_missing(&refusal));
}

/* The broker cuts its text at a byte. */
static void a_text_ends_with_a_whole_character(void **state)
{
    (void)state;
    struct broker_refusal refusal = {.code = REFUSED_NOT_FOUND};
    struct error error;
    broker_refusal_set_text(&refusal, slice_of("no queue '\xc3\xa9\xc3"));
    (void)broker_refusal_error(&refusal, "x", &error);
    assert_string_equal(error.text, "x: the broker answered 404: no queue '\xc3\xa9");
    broker_refusal_set_text(&refusal, slice_of(""));
    assert_int_equal(refusal.text_length, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_ends_with_a_whole_character),
        cmocka_unit_test(a_missing_right_is_named),
        cmocka_unit_test(the_broker_may_name_it_itself),
        cmocka_unit_test(what_is_cut_off_is_left_out),
        cmocka_unit_test(other_refusals_are_told_as_they_are),
        cmocka_unit_test(a_difference_has_both_values),
        cmocka_unit_test(a_queue_without_a_type_is_classic),
        cmocka_unit_test(a_difference_that_is_cut_off),
        cmocka_unit_test(no_difference),
        cmocka_unit_test(missing_is_not_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
