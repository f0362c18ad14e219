/* The options' file: what is a value, and what inih would let pass in silence. */
#include "tests/support/options_fixture.h"

static void files(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"queue = a\nnonsense = hunter2\n", ":2: unknown key \"nonsense\""},
        {"amqp-pass hunter2 = x\n", ":1: unknown key \"amqp-pass\""},
        {"Queue = a\n", ":1: unknown key \"Queue\""},
        {"queue = a\n# x\nqueue = a\n", ":3: duplicate key \"queue\" (first in line 1)"},
        {"queue = a\n[section]\n", ":2: a section"},
        {"  [section]\nqueue = a\n", ":1: a section"},
        {"queue = a\nhunter2\n", ":2: not of the form name = value"},
        {"amqp-url = hunter2\nprefetch = x\n", ":2: prefetch: "},
        {" queue = a\n  [x]\n", ":2: a section"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(load_file(cases[i].text), OUTCOME_INVALID);
        expect_error(cases[i].error);
        expect_error(config_path);
    }
    static const char with_nul[] = "queue = a\0b\n";
    write_config(with_nul, sizeof(with_nul) - 1);
    assert_int_equal(load("--config", config_path, NULL), OUTCOME_INVALID);
    expect_error(":1: a NUL byte");
}

static void values_in_files(void **state)
{
    (void)state;
    assert_int_equal(load_file("# one\n; two\n\n  queue=a b \r\n"
                               "amqp-url = amqp://u:p;w#x@h/%2f?a=b ; a comment\n"
                               "password-file = \n"
                               "prefetch : 9"),
                     OUTCOME_OK);
    assert_string_equal(settings.queue, "a b");
    assert_string_equal(settings.url, "amqp://u:p;w#x@h/%2f?a=b");
    assert_string_equal(settings.file, "");
    assert_int_equal(settings.prefetch, 9);
    assert_int_equal(load_file(""), OUTCOME_OK);
    assert_int_equal(load_file("\xef\xbb\xbfqueue = after a mark\n"), OUTCOME_OK);
    assert_string_equal(settings.queue, "after a mark");
}

/* inih cuts long lines in silence: here they are an error, and continuation lines the way out. */
static void long_values_in_files(void **state)
{
    (void)state;
    char text[2048];
    int length = snprintf(text, sizeof(text), "amqp-url = hunter2%0*d\nprefetch = 3\n", 300, 0);
    assert_true(length > 300);
    assert_int_equal(load_file(text), OUTCOME_INVALID);
    expect_error(":1: the line is too long");
    char expected[1024];
    (void)snprintf(expected, sizeof(expected), "%0150d,%0150d,%0150d", 1, 2, 3);
    (void)snprintf(text, sizeof(text),
                   "amqp-url = %0150d,\n  # between\n  %0150d,\n\t%0150d\nprefetch = 3\n", 1, 2, 3);
    assert_int_equal(load_file(text), OUTCOME_OK);
    assert_string_equal(settings.url, expected);
    assert_int_equal(settings.prefetch, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),
        cmocka_unit_test(values_in_files),
        cmocka_unit_test_teardown(long_values_in_files, clear_environment),
    };
    return run_with_config(tests);
}
