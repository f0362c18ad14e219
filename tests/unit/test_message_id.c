/* UUIDv7: form, time, uniqueness. */
#include "common/base/message_id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

enum { IDS = 100000 };

static char ids[IDS][MESSAGE_ID_TEXT_BYTES];

static int compare(const void *left, const void *right)
{
    return strcmp(left, right);
}

static void an_id_is_of_its_millisecond(void **state)
{
    (void)state;
    static struct message_id_generator generator;
    char id[MESSAGE_ID_TEXT_BYTES];
    uint64_t ms = UINT64_C(0x01a20a2361e7);
    assert_int_equal(message_id_generate(&generator, ms, id, NULL), OUTCOME_OK);
    assert_memory_equal(id, "01a20a23-61e7-7", 15);
    assert_true(message_id_is_of(slice_of(id), ms));
    assert_false(message_id_is_of(slice_of(id), ms + 1));
    assert_false(message_id_is_of(slice_of(id), ms + (UINT64_C(1) << 48)));
    assert_false(message_id_is_of((struct slice){id, 35}, ms));
    assert_false(message_id_is_of(slice_of(""), 0));
    id[14] = '4';
    assert_false(message_id_is_of(slice_of(id), ms));
}

static void form_and_time(void **state)
{
    (void)state;
    struct message_id_generator generator = {.left_bytes = 0};
    bool variants[4] = {false};
    for (int i = 0; i < 1000; i++) {
        generator.last_ms = 0; /* else it goes on from the last */
        char id[MESSAGE_ID_TEXT_BYTES];
        assert_int_equal(message_id_generate(&generator, 0x0123456789ab, id, NULL), OUTCOME_OK);
        assert_int_equal(strlen(id), 36);
        assert_memory_equal(id, "01234567-89ab-7", 15);
        assert_int_equal(strspn(id, "0123456789abcdef-"), 36);
        assert_true(id[18] == '-' && id[23] == '-');
        const char *variant = strchr("89ab", id[19]);
        assert_non_null(variant);
        variants[variant - strchr("89ab", '8')] = true;
    }
    for (size_t i = 0; i < 4; i++) {
        assert_true(variants[i]); /* the two bits beside the variant are random */
    }
}

static void unique_in_one_millisecond(void **state)
{
    (void)state;
    struct message_id_generator generator = {.left_bytes = 0};
    for (size_t i = 0; i < IDS; i++) {
        assert_int_equal(message_id_generate(&generator, 1, ids[i], NULL), OUTCOME_OK);
    }
    qsort(ids, IDS, sizeof(ids[0]), compare);
    for (size_t i = 1; i < IDS; i++) {
        assert_string_not_equal(ids[i - 1], ids[i]);
    }
}

static void later_ids_sort_after(void **state)
{
    (void)state;
    struct message_id_generator generator = {.left_bytes = 0};
    char earlier[MESSAGE_ID_TEXT_BYTES];
    char later[MESSAGE_ID_TEXT_BYTES];
    assert_int_equal(message_id_generate(&generator, 0xffff, earlier, NULL), OUTCOME_OK);
    assert_int_equal(message_id_generate(&generator, 0x10000, later, NULL), OUTCOME_OK);
    assert_true(strcmp(earlier, later) < 0);
}

/* Also when the clock stands, or is set back: what is saved later must sort after. */
static void each_sorts_after_the_one_before(void **state)
{
    (void)state;
    struct message_id_generator generator = {.left_bytes = 0};
    char before[MESSAGE_ID_TEXT_BYTES] = "";
    for (uint64_t i = 0; i < IDS; i++) {
        char id[MESSAGE_ID_TEXT_BYTES];
        uint64_t wall_ms = i < IDS / 2 ? 1000 + i / 100 : 500;
        assert_int_equal(message_id_generate(&generator, wall_ms, id, NULL), OUTCOME_OK);
        assert_true(strcmp(before, id) < 0);
        memcpy(before, id, sizeof(id));
    }
}

static void a_pair_is_always_the_same(void **state)
{
    (void)state;
    struct message_id_generator generator = {.left_bytes = 0};
    char id[MESSAGE_ID_TEXT_BYTES], pair[MESSAGE_ID_TEXT_BYTES], again[MESSAGE_ID_TEXT_BYTES];
    assert_int_equal(message_id_generate(&generator, 1000, id, NULL), OUTCOME_OK);
    assert_true(message_id_pair(slice_of(id), pair) && message_id_pair(slice_of(id), again));
    assert_string_equal(pair, again);
    assert_string_not_equal(pair, id);
    assert_true(message_id_is_of(slice_of(pair), 1000));
    assert_true(message_id_pair(slice_of(pair), again));
    assert_string_equal(again, id); /* so no two ids have the same one */

    static const char *const others[] = {"",
                                         "k1",
                                         "01A2192F-ee63-77c0-8887-4eca80dd3213",
                                         "01a2192f-ee63-47c0-8887-4eca80dd3213",
                                         "01a2192f-ee63-77c0-8887-4eca80dd321",
                                         "01a2192f-ee63-77c0-8887-4eca80dd321x"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_false(message_id_pair(slice_of(others[i]), pair));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(form_and_time),
        cmocka_unit_test(an_id_is_of_its_millisecond),
        cmocka_unit_test(unique_in_one_millisecond),
        cmocka_unit_test(later_ids_sort_after),
        cmocka_unit_test(each_sorts_after_the_one_before),
        cmocka_unit_test(a_pair_is_always_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
