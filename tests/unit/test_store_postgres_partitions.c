/* The bounds of the partitions of the inbox, beside the ids that message_id_generate() writes. */
#include "session-service/store/store_postgres_partitions.h"

#include "common/base/message_id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define DAY_MS (INT64_C(24) * 3600 * 1000)

/* 2026-11-27 00:00 UTC */
#define MIDNIGHT_MS INT64_C(1795737600000)

static void write_id(int64_t ms, char ret_id[MESSAGE_ID_TEXT_BYTES])
{
    static struct message_id_generator generator;
    generator = (struct message_id_generator){.left_bytes = 0};
    assert_int_equal(message_id_generate(&generator, (uint64_t)ms, ret_id, NULL), OUTCOME_OK);
}

static bool contains(const struct partition *partition, int64_t ms)
{
    char id[MESSAGE_ID_TEXT_BYTES];
    write_id(ms, id);
    return strcmp(id, partition->from) >= 0 && strcmp(id, partition->to) < 0;
}

static struct partition of_day(int64_t day)
{
    struct partition partition;
    assert_true(partition_of_day(day, &partition));
    return partition;
}

static void test_a_day_has_the_ids_of_its_milliseconds(void **state)
{
    (void)state;
    struct partition today = of_day(partition_day(MIDNIGHT_MS));
    assert_string_equal(today.name, "inbox_20261127");
    assert_string_equal(today.from, "01a21a4d-4000");
    assert_string_equal(today.to, "01a21f73-9c00");
    assert_false(contains(&today, MIDNIGHT_MS - 1));
    assert_true(contains(&today, MIDNIGHT_MS));
    assert_true(contains(&today, MIDNIGHT_MS + DAY_MS - 1));
    assert_false(contains(&today, MIDNIGHT_MS + DAY_MS));
}

static void test_days_follow_each_other_without_a_gap(void **state)
{
    (void)state;
    int64_t first = partition_day(MIDNIGHT_MS);
    assert_int_equal(partition_day(MIDNIGHT_MS - 1), first - 1);
    assert_int_equal(partition_day(MIDNIGHT_MS + DAY_MS - 1), first);
    for (int64_t day = first; day < first + 1000; day++) {
        struct partition one = of_day(day);
        struct partition next = of_day(day + 1);
        assert_string_equal(one.to, next.from);
        assert_true(strcmp(one.from, one.to) < 0 && strcmp(one.name, next.name) < 0);
        assert_true(contains(&one, day * DAY_MS + 12345678));
    }
}

static void test_a_leap_day_and_the_turn_of_a_year(void **state)
{
    (void)state;
    int64_t day = partition_day(MIDNIGHT_MS);
    assert_string_equal(of_day(day + 34).name, "inbox_20261231");
    assert_string_equal(of_day(day + 35).name, "inbox_20270101");
    assert_string_equal(of_day(day + 459).name, "inbox_20280229");
}

/* Where the clock is far from right, and from 2039 on. */
static void test_a_day_whose_ids_begin_otherwise_has_none(void **state)
{
    (void)state;
    struct partition partition;
    int64_t last = partition_day(INT64_C(0x1ffffffffff));
    assert_true(partition_of_day(last - 1, &partition));
    assert_string_equal(partition.name, "inbox_20390906");
    assert_false(partition_of_day(last, &partition));
    assert_string_equal(partition.name, "inbox_20390907");
    assert_false(partition_of_day(last + 1, &partition));
    assert_false(partition_of_day(0, &partition));
    assert_true(partition_of_day(partition_day(INT64_C(0x10000000000)) + 1, &partition));
    assert_false(partition_of_day(partition_day(INT64_C(0x10000000000)), &partition));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_day_has_the_ids_of_its_milliseconds),
        cmocka_unit_test(test_days_follow_each_other_without_a_gap),
        cmocka_unit_test(test_a_leap_day_and_the_turn_of_a_year),
        cmocka_unit_test(test_a_day_whose_ids_begin_otherwise_has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
