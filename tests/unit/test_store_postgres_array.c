/* The bytes that PostgreSQL documents for arrays and numbers. */
#include "session-service/store/store_postgres_array.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_an_array(void **state)
{
    (void)state;
    static const unsigned char expected[] = {0, 0,  0, 1, 0,   0,   0,    1,    0,    0,
                                             0, 25, 0, 0, 0,   2,   0,    0,    0,    1,
                                             0, 0,  0, 2, 'a', 'b', 0xff, 0xff, 0xff, 0xff};
    struct postgres_array array;
    postgres_array_init(&array);
    for (int i = 0; i < 2; i++) { /* its memory is used again */
        postgres_array_begin(&array, POSTGRES_TEXT);
        postgres_array_add(&array, slice_of("ab"));
        postgres_array_add_null(&array);
        struct slice bytes = postgres_array_end(&array);
        assert_int_equal(bytes.length, sizeof(expected));
        assert_memory_equal(bytes.data, expected, sizeof(expected));
    }
    buffer_done(&array.bytes);
}

static void test_numbers(void **state)
{
    (void)state;
    static const int64_t numbers[] = {0, 1, -1, INT64_MAX, INT64_MIN, 0x0102030405060708};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        char bytes[POSTGRES_INTEGER_BYTES];
        postgres_write_integer(numbers[i], bytes);
        assert_int_equal(postgres_read_integer((struct slice){bytes, sizeof(bytes)}), numbers[i]);
    }
    char bytes[POSTGRES_INTEGER_BYTES];
    postgres_write_integer(0x0102030405060708, bytes);
    assert_memory_equal(bytes, "\1\2\3\4\5\6\7\10", sizeof(bytes));
    assert_int_equal(postgres_read_integer((struct slice){bytes, 4}), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_array),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
