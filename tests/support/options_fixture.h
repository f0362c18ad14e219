/* A table of options of every type, and a way to load them from arguments, variables and a file. */
#pragma once

#include "common/options/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 16, ARGUMENT_BYTES = 256 };

enum queue_type { QUEUE_QUORUM, QUEUE_CLASSIC };
enum compat { COMPAT_NONE, COMPAT_OLD };

#define FIXTURE_OPTIONS(OPTION)                                                                    \
    OPTION(queue, TEXT("NAME"), "queue", "session", "the queue")                                   \
    OPTION(url, TEXT("URL"), "amqp-url", "amqp://localhost/", "the broker",                        \
           .environment = "AMQP_URL", .secret = true)                                              \
    OPTION(file, TEXT("FILE"), "password-file", NULL, "a file")                                    \
    OPTION(type, CHOICE(enum queue_type, "TYPE", "quorum|classic"), "queue-type", "quorum",        \
           "the type")                                                                             \
    OPTION(compat, CHOICE(enum compat, "MODE", "none|old"), "compat", "none", "the profile")       \
    OPTION(prefetch, INTEGER(1, 2000), "prefetch", "500", "how many")                              \
    OPTION(timeout_ms, DURATION(100, INT64_MAX), "confirm-timeout", "5s", "how long")              \
    OPTION(size_bytes, SIZE(-1024, INT64_MAX), "max-bytes", "64KiB", "how large")

struct settings {
    FIXTURE_OPTIONS(OPTION_MEMBER)
};

#define ROW(...) OPTION_ROW(struct settings, __VA_ARGS__)
static const struct option_row rows[] = {FIXTURE_OPTIONS(ROW)};

static const struct option_preset old_presets[] = {
    {"queue-type", "classic"}, {"prefetch", "1"}, {"queue", ""}, {"max-bytes", "100KiB"}};
static const struct options_profile old_profile = {.option = "compat",
                                                   .choice = "old",
                                                   .presets = old_presets,
                                                   .count = sizeof(old_presets) /
                                                            sizeof(old_presets[0])};

static const struct options_program program = {.name = "a-service",
                                               .environment_prefix = "A_SERVICE",
                                               .summary = "tests options",
                                               .rows = rows,
                                               .count = sizeof(rows) / sizeof(rows[0]),
                                               .profile = &old_profile};

static struct settings settings;
static struct error error;
static enum options_action action;
static char arguments[ARGUMENTS_MAX][ARGUMENT_BYTES];
static char config_path[] = "/tmp/test_options_XXXXXX";

/* Loads with the arguments, ended by NULL. A failure must leave nothing and name no secret. */
static inline enum outcome load(const char *first, ...)
{
    char *argv[ARGUMENTS_MAX + 1] = {strcpy(arguments[0], "a-service")};
    int argc = 1;
    va_list list;
    va_start(list, first);
    for (const char *text = first; text != NULL; text = va_arg(list, const char *)) {
        assert_true(argc < ARGUMENTS_MAX && strlen(text) < ARGUMENT_BYTES);
        argv[argc] = strcpy(arguments[argc], text);
        argc++;
    }
    va_end(list);
    options_done(&program, &settings);
    memset(&settings, 0, sizeof(settings));
    strcpy(error.text, "untouched");
    action = (enum options_action)99;
    enum outcome outcome = options_load(&program, argc, argv, &settings, NULL, &action, &error);
    if (outcome != OUTCOME_OK) {
        assert_int_equal(outcome, OUTCOME_INVALID);
        assert_null(settings.queue);
        assert_null(settings.url);
        assert_int_equal(action, 99);
        assert_null(strstr(error.text, "hunter2"));
    }
    return outcome;
}

static inline void expect_error(const char *text)
{
    if (strstr(error.text, text) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", text, error.text);
    }
}

static inline void write_config(const char *data, size_t length)
{
    FILE *file = fopen(config_path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static inline enum outcome load_file(const char *text)
{
    write_config(text, strlen(text));
    return load("--config", config_path, NULL);
}

static inline int clear_environment(void **state)
{
    (void)state;
    for (size_t i = 0; i < program.count; i++) {
        char name[64];
        (void)snprintf(name, sizeof(name), "A_SERVICE_%s", rows[i].name);
        for (char *c = name; *c != '\0'; c++) {
            *c = *c == '-' ? '_' : *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
        }
        (void)unsetenv(name);
    }
    (void)unsetenv("AMQP_URL");
    options_done(&program, &settings);
    return 0;
}

/* Runs the tests with a file of their own. */
#define run_with_config(tests) run_tests_with_config(tests, sizeof(tests) / sizeof((tests)[0]))
static inline int run_tests_with_config(const struct CMUnitTest *tests, size_t count)
{
    (void)clear_environment(NULL);
    int descriptor = mkstemp(config_path);
    if (descriptor < 0) {
        return 1;
    }
    (void)close(descriptor);
    int failed = _cmocka_run_group_tests("options", tests, count, NULL, NULL);
    (void)unlink(config_path);
    return failed;
}
