/* The lists of copies: deep copies, and which of them a confirm or a return is about. */
#include "session-service/dead_letter_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct dead_letter *make(uint64_t publish_tag, const char *message_id)
{
    struct broker_delivery delivery = {.tag = 100 + publish_tag};
    delivery.message.message_id = slice_of(message_id);
    struct dead_letter *letter = dead_letter_create(&delivery, "not-json", "", 0);
    assert_non_null(letter);
    letter->publish_tag = publish_tag;
    return letter;
}

static void fill(struct dead_letter_list *list, uint64_t first, uint64_t last)
{
    for (uint64_t tag = first; tag <= last; tag++) {
        dead_letter_list_append(list, make(tag, tag % 2 == 0 ? "even" : "odd"));
    }
}

/* Empties the list and checks that it held exactly these publish tags, as digits. */
static void assert_tags(struct dead_letter_list *list, const char *expected)
{
    char tags[16] = "";
    size_t count = 0;
    struct dead_letter *letter;
    while ((letter = dead_letter_list_take(list)) != NULL) {
        assert_true(count < sizeof(tags) - 1);
        tags[count++] = (char)('0' + letter->publish_tag);
        free(letter);
    }
    assert_string_equal(tags, expected);
    assert_null(list->tail);
}

static void check_confirm(uint64_t tag, bool multiple, const char *taken, const char *left)
{
    struct dead_letter_list list = {0};
    fill(&list, 2, 5);
    struct dead_letter_list about = dead_letter_list_take_confirmed(&list, tag, multiple);
    assert_tags(&about, taken);
    dead_letter_list_append(&list, make(6, ""));
    char expected[16] = "";
    strcat(strcat(expected, left), "6");
    assert_tags(&list, expected);
}

static void test_confirms(void **state)
{
    (void)state;
    check_confirm(1, true, "", "2345");
    check_confirm(1, false, "", "2345");
    check_confirm(2, false, "2", "345");
    check_confirm(4, false, "4", "235");
    check_confirm(5, false, "5", "234");
    check_confirm(9, false, "", "2345");
    check_confirm(2, true, "2", "345");
    check_confirm(4, true, "234", "5");
    check_confirm(9, true, "2345", "");
}

static void test_prepend(void **state)
{
    (void)state;
    struct dead_letter_list list = {0}, front = {0};
    dead_letter_list_prepend_all(&list, &front);
    assert_null(list.head);
    fill(&front, 1, 2);
    dead_letter_list_prepend_all(&list, &front);
    assert_null(front.head);
    fill(&list, 3, 4);
    fill(&front, 7, 8);
    dead_letter_list_prepend_all(&list, &front);
    dead_letter_list_append(&list, make(9, ""));
    assert_tags(&list, "7812349");
}

static void test_return_marks_every_copy_it_may_mean(void **state)
{
    (void)state;
    struct dead_letter_list list = {0};
    fill(&list, 1, 3);
    dead_letter_list_append(&list, make(4, ""));
    dead_letter_list_mark_returned(&list, slice_of("odd"));
    bool returned[] = {true, false, true, false};
    size_t i = 0;
    for (struct dead_letter *letter = list.head; letter != NULL; letter = letter->next) {
        assert_int_equal(letter->returned, returned[i++]);
    }
    dead_letter_list_mark_returned(&list, (struct slice){0});
    assert_true(list.tail->returned);
    assert_tags(&list, "1234");
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_confirms),
        cmocka_unit_test(test_prepend),
        cmocka_unit_test(test_return_marks_every_copy_it_may_mean),
        cmocka_unit_test(test_copy_is_deep),
        cmocka_unit_test(test_times_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
