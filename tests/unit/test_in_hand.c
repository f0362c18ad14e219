/* What one process leaves to the next: how many were in hand, and which one was being handled. */
#include "session-service/store/in_hand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX = 256 };

struct fixture {
    char directory[64], path[128];
    struct in_hand in_hand;
};

static void open_file(struct fixture *fixture)
{
    struct error error = {.text = ""};
    in_hand_init(&fixture->in_hand, fixture->directory);
    if (in_hand_open(&fixture->in_hand, &error) != OUTCOME_OK) {
        fail_msg("%s", error.text);
    }
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    strcpy(fixture->directory, "/tmp/test-in-hand-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    snprintf(fixture->path, sizeof(fixture->path), "%s/in-hand", fixture->directory);
    open_file(fixture);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    in_hand_done(&fixture->in_hand);
    (void)unlink(fixture->path);
    assert_int_equal(rmdir(fixture->directory), 0);
    free(fixture);
    return 0;
}

/* The process dies, and the next one begins. */
static void die(struct fixture *fixture)
{
    in_hand_done(&fixture->in_hand);
    open_file(fixture);
}

static void mark(struct fixture *fixture, size_t count, const char *key)
{
    assert_int_equal(in_hand_mark(&fixture->in_hand, count, slice_of(key), NULL), OUTCOME_OK);
}

static size_t group_max(const struct fixture *fixture)
{
    return in_hand_group_max(&fixture->in_hand, MAX);
}

static void expect_death(const struct fixture *fixture, const char *key, bool was_alone)
{
    assert_string_equal(fixture->in_hand.died_at, key);
    assert_true(key[0] == '\0' || fixture->in_hand.died_alone == was_alone);
}

static void nothing_is_known_at_first(void **state)
{
    struct fixture *fixture = *state;
    expect_death(fixture, "", false);
    assert_int_equal(group_max(fixture), MAX);
    die(fixture);
    expect_death(fixture, "", false);
    assert_int_equal(group_max(fixture), MAX);
}

static void a_death_names_its_message_once(void **state)
{
    struct fixture *fixture = *state;
    mark(fixture, 10, "some id, with a space");
    die(fixture);
    expect_death(fixture, "some id, with a space", false);
    die(fixture);
    expect_death(fixture, "", false);
    assert_int_equal(group_max(fixture), 5); /* nothing was finished */
    mark(fixture, 1, "m1");
    die(fixture);
    expect_death(fixture, "m1", true);
}

static void a_death_at_the_disk_names_none(void **state)
{
    struct fixture *fixture = *state;
    mark(fixture, 1, "m1");
    mark(fixture, 1, "");
    die(fixture);
    expect_death(fixture, "", false);
    assert_int_equal(group_max(fixture), 1);
}

static void each_death_halves_until_one_is_left(void **state)
{
    struct fixture *fixture = *state;
    size_t count = MAX;
    for (size_t expected = MAX / 2; expected >= 1; expected /= 2) {
        mark(fixture, count, "m1");
        die(fixture);
        assert_int_equal(group_max(fixture), expected);
        count = expected;
    }
    mark(fixture, 1, "m1");
    die(fixture);
    assert_int_equal(group_max(fixture), 1);
}

static void what_is_finished_is_not_doubtful_any_more(void **state)
{
    struct fixture *fixture = *state;
    mark(fixture, 100, "");
    die(fixture);
    static const size_t groups[] = {50, 25, 12, 6, 3, 2, 1, 1};
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        assert_int_equal(group_max(fixture), groups[i]);
        mark(fixture, groups[i], "");
        in_hand_finish(&fixture->in_hand, groups[i]);
    }
    assert_int_equal(group_max(fixture), MAX);
    die(fixture);
    assert_int_equal(group_max(fixture), MAX);
}

static void what_has_failed_stays_doubtful(void **state)
{
    struct fixture *fixture = *state;
    mark(fixture, 100, "");
    die(fixture);
    mark(fixture, 50, "m1");
    in_hand_finish(&fixture->in_hand, 0); /* no room on the disk */
    assert_int_equal(group_max(fixture), 50);
    die(fixture);
    expect_death(fixture, "", false);
    assert_int_equal(group_max(fixture), 50);
}

static void no_group_is_larger_than_the_batch(void **state)
{
    struct fixture *fixture = *state;
    mark(fixture, 999999999, "");
    die(fixture);
    assert_int_equal(group_max(fixture), MAX);
}

static void the_longest_key_fits(void **state)
{
    struct fixture *fixture = *state;
    char key[IN_HAND_KEY_BYTES];
    memset(key, 'k', sizeof(key) - 1);
    key[sizeof(key) - 1] = '\0';
    mark(fixture, 999999999, key);
    die(fixture);
    expect_death(fixture, key, false);
}

static void expect_ignored(struct fixture *fixture, const char *bytes, size_t length)
{
    in_hand_done(&fixture->in_hand);
    FILE *file = fopen(fixture->path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    open_file(fixture);
    expect_death(fixture, "", false);
    assert_int_equal(group_max(fixture), MAX);
}

static void another_file_is_an_empty_one(void **state)
{
    struct fixture *fixture = *state;
    char bytes[300];
    memset(bytes, 'x', sizeof(bytes));
    static const char *const texts[] = {"",
                                        "in-hand-2 1 m1\n",
                                        "in-hand-1 1 m1",
                                        "in-hand-1 \n",
                                        "in-hand-1 1\n",
                                        "\n",
                                        "in-hand-1 x m1\n",
                                        "in-hand-1  m1\n",
                                        "in-hand-1 -1 m1\n",
                                        "in-hand-1\n",
                                        "in-hand",
                                        "IN-HAND-1 1 m1\n",
                                        "in-hand-1 1m m\n",
                                        "in-hand-1 1234567890 \n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        expect_ignored(fixture, texts[i], strlen(texts[i]));
    }
    expect_ignored(fixture, bytes, sizeof(bytes));
    memcpy(bytes, "in-hand-1 1 ", 12);
    bytes[250] = '\n'; /* behind more than a key can have */
    expect_ignored(fixture, bytes, sizeof(bytes));
}

static void a_folder_that_is_not_there_is_for_later(void **state)
{
    (void)state;
    struct in_hand in_hand;
    struct error error;
    in_hand_init(&in_hand, "/nowhere/at/all");
    assert_int_equal(in_hand_open(&in_hand, &error), OUTCOME_BUSY);
    assert_non_null(strstr(error.text, "/nowhere/at/all/in-hand"));
    in_hand_finish(&in_hand, 1);
    in_hand_done(&in_hand);
}

/* What stands there then is this process's again, and accuses nobody. */
static void a_file_that_was_removed_or_replaced_is_opened_anew(void **state)
{
    static const char foreign[] = "in-hand-1 1 innocent\n";
    struct fixture *fixture = *state;
    for (int i = 0; i < 2; i++) {
        fixture->in_hand.died_at[0] = '\0';
        assert_int_equal(unlink(fixture->path), 0);
        if (i == 1) {
            FILE *file = fopen(fixture->path, "w");
            assert_non_null(file);
            assert_int_equal(fwrite(foreign, 1, strlen(foreign), file), strlen(foreign));
            assert_int_equal(fclose(file), 0);
        }
        assert_int_equal(in_hand_open(&fixture->in_hand, NULL), OUTCOME_OK);
        expect_death(fixture, "", false);
        mark(fixture, 1, "m1");
        die(fixture);
        expect_death(fixture, "m1", true);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_known_at_first),
        TEST(a_death_names_its_message_once),
        TEST(a_death_at_the_disk_names_none),
        TEST(each_death_halves_until_one_is_left),
        TEST(what_is_finished_is_not_doubtful_any_more),
        TEST(what_has_failed_stays_doubtful),
        TEST(no_group_is_larger_than_the_batch),
        TEST(the_longest_key_fits),
        TEST(another_file_is_an_empty_one),
        TEST(a_file_that_was_removed_or_replaced_is_opened_anew),
        cmocka_unit_test(a_folder_that_is_not_there_is_for_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
