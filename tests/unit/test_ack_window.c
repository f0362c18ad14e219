/* The ack window: fewest acks, none for an unsettled delivery; scripts and a naive model. */
#include "session-service/ack_window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TAGS_MAX = 8, CONSUMERS = 3, MODEL_CAPACITY = 7, MODEL_TAGS = 2000, MODEL_RUNS = 200 };

static enum outcome add(struct ack_window *window, uint64_t tag, uint64_t read_us,
                        struct error *ret_error)
{
    const struct ack_window_entry entry = {
        .tag = tag, .read_us = read_us, .consumer = (uint8_t)(tag % CONSUMERS)};
    return ack_window_add(window, &entry, ret_error);
}

/* "+1" adds tag 1 of consumer 1, "!1" settles it, "=1" holds consumer 1, "~" clears, "[3m 5]" takes
 * these acks: 3 multiple, then 5. */
static void expect_acks(struct ack_window *window, const char **script)
{
    char text[256] = "[";
    struct ack_batch batch = ack_window_take_acks(window);
    for (size_t i = 0; i < batch.ack_count; i++) {
        size_t length = strlen(text);
        snprintf(text + length, sizeof(text) - length, "%s%llu%s", i == 0 ? "" : " ",
                 (unsigned long long)batch.acks[i].tag, batch.acks[i].multiple ? "m" : "");
    }
    strcat(text, "]");
    if (strncmp(text, *script, strlen(text)) != 0) {
        fail_msg("got %s where %s was expected", text, *script);
    }
    *script += strlen(text);
}

static void run_script(const char *script)
{
    struct ack_window window;
    assert_int_equal(ack_window_init(&window, TAGS_MAX, NULL), OUTCOME_OK);
    while (*script != '\0') {
        char what = *script;
        if (what == '[') {
            expect_acks(&window, &script);
            continue;
        }
        script++;
        if (what == '+' || what == '!' || what == '=') {
            char *end;
            uint64_t tag = strtoull(script, &end, 10);
            script = end;
            if (what == '!') {
                ack_window_settle(&window, tag);
            } else if (what == '=') {
                ack_window_hold(&window, (uint8_t)tag);
            } else {
                assert_int_equal(add(&window, tag, tag, NULL), OUTCOME_OK);
            }
        } else if (what == '~') {
            ack_window_clear(&window);
        } else {
            assert_int_equal(what, ' ');
        }
    }
    ack_window_done(&window);
}

static void test_scripts(void **state)
{
    (void)state;
    static const char *const scripts[] = {
        "[]",
        "+1 [] !1 [1] []",
        "+1 +2 +3 !1 !2 !3 [3m]",
        "+1 +2 +3 !3 !1 !2 [3m]",      /* any order settles the same */
        "+1 +2 +3 !2 !3 [2 3] !1 [1]", /* beyond an unsettled one: single, and never for it */
        "+1 +2 +3 +4 +5 !1 !2 !4 [2m 4] !3 !5 [5m]",
        "+1 !1 !1 !4 !6 [1] !1 []",                   /* twice, and unknown */
        "+1 +2 +3 +4 =1 !1 !2 !4 [2] !3 [3] =0 [4m]", /* what is held is acked when it is over */
        "+1 +2 =2 !1 !2 [1] =1 [2] +3 +4 !4 [] !3 [3] =0 [4]",
        "+1 =1 !1 [] ~ +1 !1 [1]",
        "+1 +2 !1 ~ !2 [] +1 [] !1 [1]", /* a tag of a lost connection settles nothing */
    };
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        run_script(scripts[i]);
    }
}

static void test_the_share_of_a_consumer(void **state)
{
    (void)state;
    struct ack_window window;
    assert_int_equal(ack_window_init(&window, TAGS_MAX, NULL), OUTCOME_OK);
    for (uint64_t tag = 1; tag <= 7; tag++) {
        assert_int_equal(add(&window, tag, 0, NULL), OUTCOME_OK);
    }
    ack_window_settle(&window, 1);
    ack_window_settle(&window, 4);
    struct ack_window_share share = ack_window_share_of(&window, 1); /* 1, 4, 7 */
    assert_int_equal(share.count, 3);
    assert_int_equal(share.unsettled, 1);
    ack_window_hold(&window, 1);
    assert_int_equal(ack_window_take_acks(&window).ack_count, 0);
    assert_int_equal(ack_window_share_of(&window, 1).count, 3);
    assert_int_equal(ack_window_share_of(&window, 2).count, 2);
    ack_window_done(&window);
}

static void test_old_unsettled_delivery_holds_nothing_up(void **state)
{
    (void)state;
    struct ack_window window;
    assert_int_equal(ack_window_init(&window, 3, NULL), OUTCOME_OK);
    assert_int_equal(add(&window, 1, 0, NULL), OUTCOME_OK);
    for (uint64_t tag = 2; tag < 100000; tag++) {
        assert_int_equal(add(&window, tag, 0, NULL), OUTCOME_OK);
        ack_window_settle(&window, tag);
        struct ack_batch batch = ack_window_take_acks(&window);
        assert_int_equal(batch.ack_count, 1);
        assert_int_equal(batch.acks[0].tag, tag);
        assert_false(batch.acks[0].multiple);
    }
    ack_window_done(&window);
}

static void test_protocol_errors(void **state)
{
    (void)state;
    struct ack_window window;
    struct error error;
    assert_int_equal(ack_window_init(&window, 2, NULL), OUTCOME_OK);
    assert_int_equal(add(&window, 2, 0, &error), OUTCOME_BROKEN); /* where is 1? */
    assert_int_equal(add(&window, 1, 0, &error), OUTCOME_OK);
    assert_int_equal(add(&window, 1, 0, &error), OUTCOME_BROKEN);
    assert_int_equal(add(&window, 3, 0, &error), OUTCOME_BROKEN);
    assert_non_null(strstr(error.text, "delivery tag 3 after 1"));
    assert_int_equal(add(&window, 2, 0, &error), OUTCOME_OK);
    assert_int_equal(add(&window, 3, 0, &error), OUTCOME_BROKEN);
    assert_non_null(strstr(error.text, "prefetch of 2"));
    ack_window_done(&window);
}

/* The broker's side of the contract: what it still holds, and that it is never told too much. */
struct model {
    bool out[MODEL_TAGS + 1], settled[MODEL_TAGS + 1];
    size_t out_count;
};

static void apply_ack(struct model *model, struct ack ack)
{
    for (uint64_t tag = ack.multiple ? 1 : ack.tag; tag <= ack.tag; tag++) {
        if (model->out[tag]) {
            assert_true(model->settled[tag]);
            model->out[tag] = false;
            model->out_count--;
        }
    }
}

/* One for the settled prefix, and one for each settled delivery beyond the first unsettled. */
static size_t fewest_acks(const struct model *model, uint64_t last_tag)
{
    size_t acks = 0;
    bool prefix = true, prefix_counted = false;
    for (uint64_t tag = 1; tag <= last_tag; tag++) {
        if (!model->out[tag]) {
            continue;
        }
        if (!model->settled[tag]) {
            prefix = false;
        } else if (!prefix || !prefix_counted) {
            acks++;
            prefix_counted = prefix_counted || prefix;
        }
    }
    return acks;
}

static void take_and_compare(struct ack_window *window, struct model *model, uint64_t last_tag)
{
    size_t fewest = fewest_acks(model, last_tag);
    size_t out_before = model->out_count;
    struct ack_batch batch = ack_window_take_acks(window);
    assert_int_equal(batch.ack_count, fewest);
    for (size_t i = 0; i < batch.ack_count; i++) {
        apply_ack(model, batch.acks[i]);
    }
    assert_int_equal(batch.delivery_count, out_before - model->out_count);
    for (size_t i = 0; i < batch.delivery_count; i++) {
        uint64_t tag = batch.read_us[i]; /* the tests read delivery N at N us */
        assert_true(model->settled[tag] && !model->out[tag]);
    }
    for (uint64_t tag = 1; tag <= last_tag; tag++) {
        assert_false(model->out[tag] && model->settled[tag]);
    }
}

static void run_model(unsigned seed)
{
    struct ack_window window;
    struct model model = {.out_count = 0};
    uint64_t last_tag = 0;
    unsigned random = seed;
    assert_int_equal(ack_window_init(&window, MODEL_CAPACITY, NULL), OUTCOME_OK);
    for (int i = 0; i < 400; i++) {
        int choice = rand_r(&random) % 8;
        if (choice < 3 && model.out_count < MODEL_CAPACITY) {
            last_tag++;
            assert_int_equal(add(&window, last_tag, last_tag, NULL), OUTCOME_OK);
            model.out[last_tag] = true;
            model.out_count++;
        } else if (choice < 7 && last_tag > 0) {
            uint64_t back = (uint64_t)rand_r(&random) % (2 * MODEL_CAPACITY);
            uint64_t tag = back < last_tag ? last_tag - back : 1;
            ack_window_settle(&window, tag);
            assert_false(ack_window_is_open(&window, tag));
            model.settled[tag] = true;
        } else {
            take_and_compare(&window, &model, last_tag);
        }
    }
    ack_window_done(&window);
}

static void test_model(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= MODEL_RUNS; seed++) {
        run_model(seed);
    }
}

static void test_what_is_open(void **state)
{
    (void)state;
    struct ack_window window;
    assert_int_equal(ack_window_init(&window, 4, NULL), OUTCOME_OK);
    assert_false(ack_window_is_open(&window, 1));
    for (uint64_t tag = 1; tag <= 3; tag++) {
        assert_int_equal(add(&window, tag, 0, NULL), OUTCOME_OK);
    }
    ack_window_settle(&window, 2);
    assert_true(ack_window_is_open(&window, 1));
    assert_false(ack_window_is_open(&window, 2));
    assert_true(ack_window_is_open(&window, 3));
    assert_false(ack_window_is_open(&window, 4));
    (void)ack_window_take_acks(&window);
    assert_false(ack_window_is_open(&window, 2));
    ack_window_clear(&window);
    assert_false(ack_window_is_open(&window, 1));
    ack_window_done(&window);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scripts),
        cmocka_unit_test(test_the_share_of_a_consumer),
        cmocka_unit_test(test_old_unsettled_delivery_holds_nothing_up),
        cmocka_unit_test(test_protocol_errors),
        cmocka_unit_test(test_what_is_open),
        cmocka_unit_test(test_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
