/* A profile: other defaults, over which everything that is given wins, wherever the profile is
 * chosen. */
#include "tests/support/options_fixture.h"

static void expect_settings(enum queue_type type, int64_t prefetch, const char *queue,
                            int64_t size_bytes)
{
    assert_int_equal(settings.type, type);
    assert_int_equal(settings.prefetch, prefetch);
    assert_string_equal(settings.queue, queue);
    assert_int_equal(settings.size_bytes, size_bytes);
}

static void without_it_the_defaults_stay(void **state)
{
    (void)state;
    assert_int_equal(load(NULL), OUTCOME_OK);
    expect_settings(QUEUE_QUORUM, 500, "session", 65536);
    assert_int_equal(load("--compat", "none", NULL), OUTCOME_OK);
    expect_settings(QUEUE_QUORUM, 500, "session", 65536);
    (void)setenv("A_SERVICE_COMPAT", "old", 1);
    assert_int_equal(load("--compat=none", NULL), OUTCOME_OK);
    expect_settings(QUEUE_QUORUM, 500, "session", 65536);
}

static void it_is_chosen_from_everywhere(void **state)
{
    (void)state;
    assert_int_equal(load("--compat", "old", NULL), OUTCOME_OK);
    expect_settings(QUEUE_CLASSIC, 1, "", 102400);
    assert_int_equal(settings.timeout_ms, 5000);
    assert_int_equal(load_file("compat = old\n"), OUTCOME_OK);
    expect_settings(QUEUE_CLASSIC, 1, "", 102400);
    (void)setenv("A_SERVICE_COMPAT", "old", 1);
    assert_int_equal(load(NULL), OUTCOME_OK);
    expect_settings(QUEUE_CLASSIC, 1, "", 102400);
    (void)setenv("A_SERVICE_COMPAT", " none\n", 1);
    assert_int_equal(load("--config", config_path, NULL), OUTCOME_OK);
    expect_settings(QUEUE_QUORUM, 500, "session", 65536);
}

/* Each pair of places, in both orders of the command line, also with the value of the default. */
static void what_is_given_wins(void **state)
{
    (void)state;
    assert_int_equal(load("--prefetch=9", "--compat=old", "--queue", "q", NULL), OUTCOME_OK);
    expect_settings(QUEUE_CLASSIC, 9, "q", 102400);
    assert_int_equal(load("--compat=old", "--queue-type=quorum", "--prefetch=500", NULL),
                     OUTCOME_OK);
    expect_settings(QUEUE_QUORUM, 500, "", 102400);
    assert_int_equal(load_file("prefetch = 9\nqueue-type = quorum\ncompat = old\n"), OUTCOME_OK);
    expect_settings(QUEUE_QUORUM, 9, "", 102400);
    (void)setenv("A_SERVICE_MAX_BYTES", "64KiB", 1);
    (void)setenv("A_SERVICE_QUEUE", "", 1); /* set and empty is not given */
    assert_int_equal(load("--config", config_path, NULL), OUTCOME_OK);
    expect_settings(QUEUE_QUORUM, 9, "", 65536);
    assert_int_equal(load_file("prefetch = 9\n"), OUTCOME_OK);
    assert_int_equal(load("--config", config_path, "--compat", "old", NULL), OUTCOME_OK);
    expect_settings(QUEUE_CLASSIC, 9, "", 65536);
    (void)setenv("A_SERVICE_COMPAT", "old", 1);
    assert_int_equal(load("--config", config_path, "--max-bytes=1", "--queue=", NULL), OUTCOME_OK);
    expect_settings(QUEUE_CLASSIC, 9, "", 1);
    assert_int_equal(load("--compat", "demo", NULL), OUTCOME_INVALID);
    expect_error("command line: compat: \"demo\" is none of none|old");
}

static void it_shows_what_is_in_force(void **state)
{
    (void)state;
    struct buffer text;
    buffer_init(&text, OPTIONS_PROFILE_BYTES_MAX);
    assert_int_equal(load("--prefetch=9", NULL), OUTCOME_OK);
    assert_false(options_append_profile(&program, &settings, &text));
    assert_int_equal(text.length, 0);
    assert_int_equal(load("--compat=old", "--prefetch=9", NULL), OUTCOME_OK);
    assert_true(options_append_profile(&program, &settings, &text));
    assert_true(
        slice_equal(buffer_slice(&text),
                    slice_of("queue-type = classic; prefetch = 9; queue = ; max-bytes = 100KiB")));
    buffer_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(without_it_the_defaults_stay, clear_environment),
        cmocka_unit_test_teardown(it_is_chosen_from_everywhere, clear_environment),
        cmocka_unit_test_teardown(what_is_given_wins, clear_environment),
        cmocka_unit_test_teardown(it_shows_what_is_in_force, clear_environment),
    };
    return run_with_config(tests);
}
