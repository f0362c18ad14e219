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
        {"queue = a\n  [x]\n", ":2: a section"},
        {" queue = a\n", ":1: an indented line; "},
        {"\xef\xbb\xbf queue = a\n", ":1: an indented line; "},
        {"# x\n\n\tqueue = a\n", ":3: an indented line; "},
        {"queue = a\n  b\n", ":2: an indented line; "},
        {"queue = a\n  prefetch = 5\n", ":2: an indented line; "},
        {"queue = a,\n  prefetch = 5\n", ":2: an indented line; "},
        {"queue = a,\n  prefetch: 5\n", ":2: an indented line; "},
        {"queue = a,\n  prefetched=5\n", ":2: an indented line; "},
        {"queue = a,\n  b\n  c\n", ":3: an indented line; "},
        {"queue = a, ; x\n  # y\n\n  b\nprefetch = x\n", ":5: prefetch: "},
        {"amqp-url = \"hunter2\n", ":1: amqp-url: the value has a quote at one end"},
        {"amqp-url = hunter2'\n", ":1: amqp-url: the value has a quote at one end"},
        {"queue = \"a'\n", ":1: queue: the value has a quote at one end"},
        {"queue = \"a\" \"b\"\n", ":1: queue: the value has a quote at one end"},
        {"queue = \"\n", ":1: queue: the value has a quote at one end"},
        {"queue = \"a ; b\"\n", ":1: queue: the value has a quote at one end"},
        {"queue = \"a,\"\n  \"b\"\n", ":2: an indented line; "},
        {"prefetch = \"many\"\n", ":1: prefetch: \"many\" is not"},
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
    assert_int_equal(load_file("# one\n ; two\n \t \nqueue=a b \r\n"
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

/* As a shell, systemd or docker-compose would take them. */
static void quoted_values(void **state)
{
    (void)state;
    assert_int_equal(load_file("queue = \"a b\"\namqp-url = 'amqp://u:it\"s@h/' ; x\n"
                               "prefetch = \"9\"\nqueue-type = 'classic'\npassword-file = \"\"\n"),
                     OUTCOME_OK);
    assert_string_equal(settings.queue, "a b");
    assert_string_equal(settings.url, "amqp://u:it\"s@h/");
    assert_string_equal(settings.file, "");
    assert_int_equal(settings.prefetch, 9);
    assert_int_equal(settings.type, 1);
    assert_int_equal(load_file("queue = 5\"6\namqp-url = \"amqp://a/,\n amqp://b/?c=d\"\n"),
                     OUTCOME_OK);
    assert_string_equal(settings.queue, "5\"6");
    assert_string_equal(settings.url, "amqp://a/,amqp://b/?c=d");
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

/* It would make JSON invalid that shows it. */
static void a_text_is_utf8(void **state)
{
    (void)state;
    assert_int_equal(load("--queue", "caf\xc3\xa9", NULL), OUTCOME_OK);
    assert_int_equal(load_file("queue = caf\xe9\n"), OUTCOME_INVALID);
    assert_non_null(strstr(error.text, "queue: the value is not valid UTF-8"));
    (void)setenv("AMQP_URL", "amqp://\xff/", 1);
    assert_int_equal(load(NULL), OUTCOME_INVALID);
    assert_non_null(strstr(error.text, "AMQP_URL"));
    assert_null(strstr(error.text, "\xff"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_text_is_utf8, clear_environment),
        cmocka_unit_test(files),
        cmocka_unit_test(values_in_files),
        cmocka_unit_test_teardown(quoted_values, clear_environment),
        cmocka_unit_test_teardown(long_values_in_files, clear_environment),
    };
    return run_with_config(tests);
}
