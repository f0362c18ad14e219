/* The growable buffer: content, limit, latch, ownership. */
#include "common/base/buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

static void assert_content(const struct buffer *buffer, const char *expected)
{
    assert_true(slice_equal(buffer_slice(buffer), slice_of(expected)));
}

static void appends(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 100000);
    buffer_append(&buffer, NULL, 0);
    buffer_append_slice(&buffer, (struct slice){NULL, 0});
    buffer_append_text(&buffer, "ab");
    buffer_append_byte(&buffer, 'c');
    buffer_append_format(&buffer, "-%d-%s", 42, "x");
    assert_content(&buffer, "abc-42-x");
    buffer_clear(&buffer);
    assert_content(&buffer, "");
    for (int i = 0; i < 10000; i++) {
        buffer_append_format(&buffer, "%04d", i);
    }
    assert_false(buffer.failed);
    assert_int_equal(buffer.length, 40000);
    assert_memory_equal(buffer.data + 39996, "9999", 4);
    buffer_done(&buffer);
    buffer_done(&buffer);
}

static void the_limit_latches_and_changes_nothing(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 8);
    buffer_append_text(&buffer, "5678");
    assert_false(buffer.failed);
    buffer_append_text(&buffer, "12345");
    assert_true(buffer.failed);
    assert_content(&buffer, "5678");
    buffer_append_byte(&buffer, 'x'); /* would fit, but the latch holds */
    buffer_append_format(&buffer, "%s", "y");
    assert_false(buffer_reserve(&buffer, 1));
    assert_content(&buffer, "5678");
    size_t length = 77;
    assert_null(buffer_take(&buffer, &length));
    assert_int_equal(length, 77);
    buffer_clear(&buffer);
    assert_false(buffer.failed);
    buffer_append_format(&buffer, "%s", "12345678");
    assert_content(&buffer, "12345678");
    assert_false(buffer.failed);
    buffer_clear(&buffer);
    buffer_append_format(&buffer, "%s", "123456789");
    assert_true(buffer.failed);
    assert_content(&buffer, "");
    buffer_clear(&buffer);
    assert_false(buffer_reserve(&buffer, SIZE_MAX));
    assert_true(buffer.failed);
    buffer_done(&buffer);
}

static void a_zeroed_buffer_takes_nothing(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    buffer_append_byte(&buffer, 'x');
    assert_true(buffer.failed);
    buffer_done(&buffer);
}

/* A failing realloc() must latch like the limit, and leave the content. */
static void no_memory_latches(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, SIZE_MAX);
    buffer_append_text(&buffer, "kept");
    assert_false(buffer_reserve(&buffer, SIZE_MAX - 4));
    assert_true(buffer.failed);
    assert_content(&buffer, "kept");
    buffer_done(&buffer);
}

static void take_hands_over(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 4);
    size_t length = 77;
    char *taken = buffer_take(&buffer, &length);
    assert_string_equal(taken, "");
    assert_int_equal(length, 0);
    free(taken);
    buffer_append_text(&buffer, "full");
    taken = buffer_take(&buffer, &length);
    assert_string_equal(taken, "full"); /* the NUL does not count towards the limit */
    assert_int_equal(length, 4);
    assert_content(&buffer, "");
    buffer_append_text(&buffer, "more");
    assert_string_equal(taken, "full");
    assert_content(&buffer, "more");
    free(taken);
    buffer_done(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends),
        cmocka_unit_test(the_limit_latches_and_changes_nothing),
        cmocka_unit_test(a_zeroed_buffer_takes_nothing),
        cmocka_unit_test(no_memory_latches),
        cmocka_unit_test(take_hands_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
