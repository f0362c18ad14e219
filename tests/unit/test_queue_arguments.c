/* Which arguments of a queue discard messages that were confirmed, as refusals name them. */
#include "common/amqp/queue_arguments.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct broker_refusal refusal_of(const char *text)
{
    struct broker_refusal refusal = {.code = 406, .method = 50 << 16 | 10};
    refusal.text_length = strlen(text) < sizeof(refusal.text) ? strlen(text) : sizeof(refusal.text);
    memcpy(refusal.text, text, refusal.text_length);
    return refusal;
}

static struct broker_refusal lacking(const char *name, const char *value, const char *type)
{
    char text[512];
    (void)snprintf(text, sizeof(text),
                   "PRECONDITION_FAILED - inequivalent arg '%s' for queue 'q' in vhost '/': "
                   "received none but current is the value '%s' of type '%s'",
                   name, value, type);
    return refusal_of(text);
}

static void add(struct queue_arguments *arguments, const char *name, const char *value,
                const char *type)
{
    const struct broker_refusal refusal = lacking(name, value, type);
    assert_true(queue_arguments_add(arguments, &refusal));
}

static void expect(const struct queue_arguments *arguments, const char *expected)
{
    struct error discards;
    queue_arguments_discards(arguments, &discards);
    assert_string_equal(discards.text, expected);
}

static void each_argument_that_discards_is_named(void **state)
{
    (void)state;
    struct queue_arguments arguments = {.count = 0};
    expect(&arguments, "");
    add(&arguments, "x-single-active-consumer", "true", "bool");
    add(&arguments, "x-dead-letter-exchange", "elsewhere", "longstr");
    add(&arguments, "x-delivery-limit", "16", "signedint");
    expect(&arguments, "");
    add(&arguments, "x-message-ttl", "60000", "signedint");
    expect(&arguments, "x-message-ttl 60000 discards what waits longer");
    add(&arguments, "x-expires", "3600000", "long");
    expect(&arguments, "x-message-ttl 60000 discards what waits longer; x-expires 3600000 deletes "
                       "the queue when nobody uses it for so long");
    assert_string_equal(arguments.items[0].type, "bool");
    assert_string_equal(arguments.items[1].value, "elsewhere");
}

static void a_length_discards_unless_a_full_queue_refuses(void **state)
{
    (void)state;
    static const char discards[] = "x-max-length 10 without x-overflow reject-publish discards the "
                                   "oldest";
    static const char *const overflows[] = {"drop-head", "reject-publish", "reject-publish-dlx"};
    for (int i = 0; i < 3; i++) {
        struct queue_arguments arguments = {.count = 0};
        add(&arguments, "x-max-length", "10", "signedint");
        expect(&arguments, discards);
        add(&arguments, "x-overflow", overflows[i], "longstr");
        expect(&arguments, i == 0 ? discards : "");
        add(&arguments, "x-max-length-bytes", "10", "signedint");
        struct error error;
        queue_arguments_discards(&arguments, &error);
        assert_true((strstr(error.text, "x-max-length-bytes 10") != NULL) == (i == 0));
    }
}

static void a_low_delivery_limit_discards(void **state)
{
    (void)state;
    static const char *const limits[] = {"15", "16", "-1", "0"};
    for (int i = 0; i < 4; i++) {
        struct queue_arguments arguments = {.count = 0};
        add(&arguments, "x-delivery-limit", limits[i], "signedint");
        struct error error;
        queue_arguments_discards(&arguments, &error);
        assert_true((error.text[0] != '\0') == (i == 0 || i == 3));
    }
}

/* What cannot be added ends the survey. */
static void what_is_no_new_argument_is_not_added(void **state)
{
    (void)state;
    struct queue_arguments arguments = {.count = 0};
    add(&arguments, "x-overflow", "drop-head", "longstr");
    static const char *const texts[] = {
        "PRECONDITION_FAILED - inequivalent arg 'x-overflow' for queue 'q' in vhost '/': received "
        "none but current is the value 'drop-head' of type 'longstr'",
        "PRECONDITION_FAILED - inequivalent arg 'x-expires' for queue 'q' in vhost '/': received "
        "'5' but current is '6'",
        "PRECONDITION_FAILED - inequivalent arg 'x-expires' for queue 'q' in vhost '/': received "
        "none but current is the value '60000' of type 'sign",
        "PRECONDITION_FAILED - inequivalent arg 'x-expires' for queue 'q' in vhost '/': received",
        "PRECONDITION_FAILED - invalid arg 'x-max-age' for queue 'q' in vhost '/' of queue type "
        "rabbit_quorum_queue",
        "",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const struct broker_refusal refusal = refusal_of(texts[i]);
        assert_false(queue_arguments_add(&arguments, &refusal));
    }
    struct broker_refusal refusal = lacking("x-expires", "1", "long");
    refusal.code = REFUSED_ACCESS;
    assert_false(queue_arguments_add(&arguments, &refusal));
    assert_int_equal(arguments.count, 1);
}

/* A part of a name would be the name of another argument in the next declaration. */
static void a_long_name_is_not_taken_in_part(void **state)
{
    (void)state;
    char name[BROKER_ARGUMENT_BYTES + 1];
    struct queue_arguments arguments = {.count = 0};
    memset(name, 'x', sizeof(name));
    name[BROKER_ARGUMENT_BYTES] = '\0';
    const struct broker_refusal refusal = lacking(name, "1", "long");
    assert_false(queue_arguments_add(&arguments, &refusal));
    name[BROKER_ARGUMENT_BYTES - 1] = '\0';
    add(&arguments, name, "1", "long");
}

static void there_is_room_for_so_many(void **state)
{
    (void)state;
    struct queue_arguments arguments = {.count = 0};
    char name[32];
    for (int i = 0; i < QUEUE_ARGUMENTS_MAX; i++) {
        (void)snprintf(name, sizeof(name), "x-%d", i);
        add(&arguments, name, "1", "long");
    }
    const struct broker_refusal refusal = lacking("x-expires", "1", "long");
    assert_false(queue_arguments_add(&arguments, &refusal));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_argument_that_discards_is_named),
        cmocka_unit_test(a_length_discards_unless_a_full_queue_refuses),
        cmocka_unit_test(a_low_delivery_limit_discards),
        cmocka_unit_test(what_is_no_new_argument_is_not_added),
        cmocka_unit_test(a_long_name_is_not_taken_in_part),
        cmocka_unit_test(there_is_room_for_so_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
