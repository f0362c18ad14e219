/* The batch copies all of a delivery, has two limits, and is empty after a clear. */
#include "session-service/delivery_batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct delivery_batch batch;

static void add(uint64_t tag, struct slice body)
{
    struct broker_delivery delivery = {.tag = tag, .message.body = body};
    assert_int_equal(delivery_batch_add(&batch, &delivery, NULL), OUTCOME_OK);
}

static void test_copies_are_deep(void **state)
{
    (void)state;
    char text[] = "body id content type app raw name text gzip";
    struct broker_delivery delivery = {
        .tag = 7,
        .redelivered = true,
        .raw_properties = {text + 25, 3},
        .message =
            {.body = {text, 4},
             .message_id = {text + 5, 2},
             .content_type = {text + 8, 7},
             .content_encoding = {text + 39, 4},
             .type = {text + 16, 4},
             .app_id = {text + 21, 3},
             .header_count = 2,
             .headers = {{.name = {text + 29, 4},
                          .type = MESSAGE_HEADER_TEXT,
                          .text = {text + 34, 4}},
                         {.name = {text + 29, 4}, .type = MESSAGE_HEADER_INTEGER, .integer = -5}}},
    };
    assert_int_equal(delivery_batch_add(&batch, &delivery, NULL), OUTCOME_OK);
    memset(text, 'x', sizeof(text));
    const struct broker_delivery *kept = &batch.items[0].delivery;
    assert_int_equal(kept->tag, 7);
    assert_true(kept->redelivered);
    assert_true(slice_equal(kept->raw_properties, slice_of("raw")));
    assert_true(slice_equal(kept->message.body, slice_of("body")));
    assert_true(slice_equal(kept->message.message_id, slice_of("id")));
    assert_true(slice_equal(kept->message.content_type, slice_of("content")));
    assert_true(slice_equal(kept->message.content_encoding, slice_of("gzip")));
    assert_true(slice_equal(kept->message.type, slice_of("type")));
    assert_true(slice_equal(kept->message.app_id, slice_of("app")));
    assert_true(slice_equal(kept->message.headers[0].name, slice_of("name")));
    assert_true(slice_equal(kept->message.headers[0].text, slice_of("text")));
    assert_int_equal(kept->message.headers[1].integer, -5);
}

static void test_full_by_count(void **state)
{
    (void)state;
    for (uint64_t tag = 0; tag < BATCH_DELIVERIES_MAX; tag++) {
        assert_false(delivery_batch_is_full(&batch));
        add(tag, slice_of("b"));
    }
    assert_true(delivery_batch_is_full(&batch));
    struct broker_delivery one_more = {.tag = 999};
    assert_int_equal(delivery_batch_add(&batch, &one_more, NULL), OUTCOME_BUSY);
    assert_int_equal(batch.count, BATCH_DELIVERIES_MAX);
    delivery_batch_clear(&batch);
    assert_int_equal(batch.count, 0);
    assert_false(delivery_batch_is_full(&batch));
    add(1, slice_of("after"));
    assert_true(slice_equal(batch.items[0].delivery.message.body, slice_of("after")));
}

static void test_full_by_bytes_and_earlier_copies_stay(void **state)
{
    (void)state;
    char *large = malloc(BATCH_BYTES_MAX);
    assert_non_null(large);
    memset(large, 'y', BATCH_BYTES_MAX);
    add(1, slice_of("small"));
    add(2, (struct slice){large, BATCH_BYTES_MAX / 2});
    assert_false(delivery_batch_is_full(&batch));
    add(3, (struct slice){large, BATCH_BYTES_MAX / 2});
    assert_true(delivery_batch_is_full(&batch));
    assert_true(slice_equal(batch.items[0].delivery.message.body, slice_of("small")));
    assert_memory_equal(batch.items[1].delivery.message.body.data, large, BATCH_BYTES_MAX / 2);
    free(large);
}

static int set_up(void **state)
{
    (void)state;
    return delivery_batch_init(&batch, NULL) == OUTCOME_OK ? 0 : 1;
}

static int tear_down(void **state)
{
    (void)state;
    delivery_batch_done(&batch);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_copies_are_deep, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_by_count, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_by_bytes_and_earlier_copies_stay, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
