/* Copies of deliveries: they are deep, and their headers say when and how often. */
#include "session-service/dead_letter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_copy_is_deep(void **state)
{
    (void)state;
    char id[] = "some-id", properties[] = "\x80\x00props", body[] = "not json", detail[] = "why";
    struct broker_delivery delivery = {.tag = 7, .redelivered = true};
    delivery.message.message_id = slice_of(id);
    delivery.message.body = slice_of(body);
    delivery.raw_properties = (struct slice){properties, sizeof(properties) - 1};
    struct dead_letter *letter = dead_letter_create(&delivery, "not-json", detail, 1234);
    assert_non_null(letter);
    memset(id, 'x', sizeof(id) - 1);
    memset(properties, 'x', sizeof(properties) - 1);
    memset(body, 'x', sizeof(body) - 1);
    memset(detail, 'x', sizeof(detail) - 1);
    assert_int_equal(letter->delivery_tag, 7);
    assert_true(slice_equal(letter->message_id, slice_of("some-id")));
    assert_true(slice_equal(letter->body, slice_of("not json")));
    assert_int_equal(letter->raw_properties.length, 7);
    assert_memory_equal(letter->raw_properties.data, "\x80\x00props", 7);
    struct message_header headers[DEAD_LETTER_HEADERS];
    dead_letter_headers(letter, "session", headers);
    struct message copy = {.header_count = DEAD_LETTER_HEADERS};
    memcpy(copy.headers, headers, sizeof(headers));
    assert_true(
        slice_equal(message_find_header(&copy, "dead-letter-reason", MESSAGE_HEADER_TEXT)->text,
                    slice_of("not-json")));
    assert_true(
        slice_equal(message_find_header(&copy, "dead-letter-detail", MESSAGE_HEADER_TEXT)->text,
                    slice_of("why")));
    assert_true(
        slice_equal(message_find_header(&copy, "dead-letter-queue", MESSAGE_HEADER_TEXT)->text,
                    slice_of("session")));
    assert_int_equal(
        message_find_header(&copy, "dead-letter-first-at-ms", MESSAGE_HEADER_INTEGER)->integer,
        1234);
    free(letter);
}

static void check_times(const struct message *before, int64_t first_at_ms, int64_t count)
{
    struct broker_delivery delivery = {.tag = 1, .message = *before};
    struct dead_letter *letter = dead_letter_create(&delivery, "not-json", "", 1234);
    assert_non_null(letter);
    struct message copy = {.header_count = DEAD_LETTER_HEADERS};
    dead_letter_headers(letter, "session", copy.headers);
    assert_int_equal(
        message_find_header(&copy, DEAD_LETTER_FIRST_AT, MESSAGE_HEADER_INTEGER)->integer,
        first_at_ms);
    assert_int_equal(
        message_find_header(&copy, DEAD_LETTER_LAST_AT, MESSAGE_HEADER_INTEGER)->integer, 1234);
    assert_int_equal(message_find_header(&copy, DEAD_LETTER_COUNT, MESSAGE_HEADER_INTEGER)->integer,
                     count);
    free(letter);
}

static void test_times_are_counted(void **state)
{
    (void)state;
    struct message message = {.header_count = 2};
    check_times(&(struct message){.header_count = 0}, 1234, 1);
    message.headers[0] = (struct message_header){
        .name = slice_of(DEAD_LETTER_FIRST_AT), .type = MESSAGE_HEADER_INTEGER, .integer = 55};
    message.headers[1] = (struct message_header){
        .name = slice_of(DEAD_LETTER_COUNT), .type = MESSAGE_HEADER_INTEGER, .integer = 2};
    check_times(&message, 55, 3);
    message.headers[1].integer = INT64_MAX;
    check_times(&message, 55, 1);
    message.headers[1].integer = -7;
    check_times(&message, 55, 1);
}

static struct message_header integer(const char *name, int64_t value)
{
    return (struct message_header){
        .name = slice_of(name), .type = MESSAGE_HEADER_INTEGER, .integer = value};
}

static void test_deliveries_before(void **state)
{
    (void)state;
    static const struct {
        int64_t counted, moved, all;
    } cases[] = {{0, 0, 0},   {3, 0, 3},   {0, 16, 16},       {3, 16, 19}, {-1, 16, 16},
                 {3, -16, 3}, {-1, -1, 0}, {3, INT64_MAX, 3}, {7, 16, 23}, {8, 0, 8}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct broker_delivery delivery = {.tag = 1};
        struct message *message = &delivery.message;
        message->headers[0] = integer(BROKER_HEADER_DELIVERY_COUNT, cases[i].counted);
        message->headers[1] = integer(EARLIER_DELIVERIES, cases[i].moved);
        message->header_count = 2;
        assert_int_equal(dead_letter_earlier_deliveries(message), cases[i].all);
        assert_int_equal(dead_letter_counted_deliveries(message),
                         cases[i].counted > 0 ? cases[i].counted : 0);
        assert_int_equal(dead_letter_is_worn(message), cases[i].counted >= 8);
        struct dead_letter *letter = dead_letter_create(&delivery, NULL, "", 1234);
        assert_non_null(letter);
        assert_int_equal(letter->earlier_deliveries, cases[i].all);
        free(letter);
    }
    assert_int_equal(dead_letter_earlier_deliveries(&(struct message){.header_count = 0}), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy_is_deep),
        cmocka_unit_test(test_times_are_counted),
        cmocka_unit_test(test_deliveries_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
