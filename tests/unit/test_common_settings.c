/* What no single option can check: URLs, the queue's name, where it is safe to listen. */
#include "common/service/common_settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

struct some_settings {
    struct common_settings common;
};

#define ROW(member, ...) OPTION_ROW(struct some_settings, common.member, __VA_ARGS__)
static const struct option_row rows[] = {COMMON_OPTIONS(ROW, "127.0.0.1:3000")};
static const struct options_program program = {.name = "some-service",
                                               .environment_prefix = "SOME_SERVICE_OF_A_TEST",
                                               .summary = "tests",
                                               .rows = rows,
                                               .count = sizeof(rows) / sizeof(rows[0])};

/* Loads the arguments and checks; "" where all is valid. */
static const char *check(const char *first, const char *second)
{
    static struct error error;
    struct some_settings settings = {.common = {.listen = NULL}};
    char name[] = "some-service";
    char copies[2][512];
    char *argv[4] = {name};
    int argc = 1;
    for (int i = 0; i < 2; i++) {
        const char *argument = i == 0 ? first : second;
        if (argument != NULL) {
            assert_true(strlen(argument) < sizeof(copies[i]));
            argv[argc++] = strcpy(copies[i], argument);
        }
    }
    enum options_action action;
    assert_int_equal(options_load(&program, argc, argv, &settings, NULL, &action, &error),
                     OUTCOME_OK);
    error.text[0] = '\0';
    enum outcome outcome = common_settings_check(&settings.common, &error);
    assert_int_equal(outcome, error.text[0] == '\0' ? OUTCOME_OK : OUTCOME_INVALID);
    assert_null(strstr(error.text, "hunter2"));
    options_done(&program, &settings);
    return error.text;
}

static void defaults_are_valid(void **state)
{
    (void)state;
    assert_string_equal(check(NULL, NULL), "");
}

static void queues(void **state)
{
    (void)state;
    char argument[300] = "--queue=";
    memset(argument + 8, 'q', 250);
    assert_string_equal(check(argument, NULL), "");
    argument[8 + 250] = 'q';
    assert_non_null(strstr(check(argument, NULL), "1 to 250 bytes"));
    assert_non_null(strstr(check("--queue=", NULL), "1 to 250 bytes"));
    assert_non_null(strstr(check("--queue=amq.gen", NULL), "\"amq.\""));
    assert_string_equal(check("--queue=amqp", NULL), "");
    assert_non_null(strstr(check("--queue=session\n", NULL), "queue: a line end"));
}

static void urls(void **state)
{
    (void)state;
    assert_string_equal(check("--amqp-url=amqp://u:hunter2@a:5672/,amqp://b/", NULL), "");
    assert_string_not_equal(check("--amqp-url=http://u:hunter2@a/", NULL), "");
    assert_string_not_equal(check("--amqp-url=amqp://a/,hunter2", NULL), "");
    assert_string_not_equal(check("--amqp-url=", NULL), "");
    assert_non_null(strstr(check("--amqp-url=amqp://a/,amqp://u:hunter2%@b/", NULL),
                           "amqp-url: URL 2 of 2: password: "));
    assert_non_null(strstr(check("--amqp-url=amqps://a/?cacertfile=/nonexistent", NULL),
                           "cacertfile in the URL: /nonexistent"));
    /* What the URL says is read in place of the option, so both are. */
    assert_non_null(strstr(
        check("--amqp-url=amqps://a/?cacertfile=/nonexistent/1", "--amqp-ca-file=/nonexistent/2"),
        "/nonexistent/2"));
    assert_non_null(
        strstr(check("--amqp-url=amqps://a/?certfile=/nonexistent", NULL), "only of use together"));
}

static void addresses(void **state)
{
    (void)state;
    assert_string_equal(check("--listen=[::1]:3000", NULL), "");
    assert_string_equal(check("--listen=localhost:3000", NULL), "");
    static const char *const open_ones[] = {"--listen=0.0.0.0:3000", "--listen=[::]:3000",
                                            "--listen=192.0.2.1:3000"};
    for (size_t i = 0; i < 3; i++) {
        const char *text = check(open_ones[i], NULL);
        assert_non_null(strstr(text, "--auth none"));
        assert_non_null(strstr(text, strchr(open_ones[i], '=') + 1));
        assert_string_equal(check(open_ones[i], "--auth=none"), "");
        assert_non_null(strstr(check(open_ones[i], "--auth=loopback"), "--auth none"));
    }
    assert_string_not_equal(check("--listen=3000", NULL), "");
    assert_string_not_equal(check("--listen=3000", "--auth=none"), "");
}

static void paths_and_origins(void **state)
{
    (void)state;
    assert_string_equal(check("--open-paths=", NULL), "");
    assert_string_equal(check("--open-paths=/metrics, /readyz", NULL), "");
    assert_non_null(strstr(check("--open-paths=/healthz,/users/save", NULL), "\"/users/save\""));
    assert_non_null(strstr(check("--open-paths=metrics", NULL), "none of /healthz"));
    assert_string_equal(check("--cors-origin=*", NULL), "");
    assert_string_equal(check("--cors-origin=https://a.example, http://b:81", NULL), "");
    assert_non_null(strstr(check("--cors-origin=https://a.example/", NULL), "a slash at the end"));
    assert_non_null(strstr(check("--cors-origin=https://a.example,*", NULL), "* stands alone"));
}

int main(void)
{
    (void)unsetenv("AMQP_URL");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_valid),
        cmocka_unit_test(queues),
        cmocka_unit_test(urls),
        cmocka_unit_test(addresses),
        cmocka_unit_test(paths_and_origins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
