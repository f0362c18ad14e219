/* Options: precedence, forms, ranges, secrets, and errors that name their source. */
#include "tests/support/options_fixture.h"

static void defaults(void **state)
{
    (void)state;
    assert_int_equal(load(NULL), OUTCOME_OK);
    assert_int_equal(action, OPTIONS_RUN);
    assert_string_equal(settings.queue, "session");
    assert_string_equal(settings.url, "amqp://localhost/");
    assert_null(settings.file);
    assert_int_equal(settings.type, 0);
    assert_int_equal(settings.prefetch, 500);
    assert_int_equal(settings.timeout_ms, 5000);
    assert_int_equal(settings.size_bytes, 65536);
    assert_int_equal(load("--check-config", NULL), OUTCOME_OK);
    assert_int_equal(action, OPTIONS_CHECK_CONFIG);
}

static void default_file_environment_command_line(void **state)
{
    (void)state;
    assert_int_equal(load_file("prefetch = 2\nqueue = f\n"), OUTCOME_OK);
    assert_int_equal(settings.prefetch, 2);
    assert_string_equal(settings.queue, "f");
    assert_int_equal(settings.timeout_ms, 5000);
    (void)setenv("A_SERVICE_PREFETCH", "3", 1);
    (void)setenv("A_SERVICE_QUEUE", "e", 1);
    assert_int_equal(load("--config", config_path, NULL), OUTCOME_OK);
    assert_int_equal(settings.prefetch, 3);
    assert_string_equal(settings.queue, "e");
    assert_int_equal(load("--prefetch", "4", "--config", config_path, "--queue=c", NULL),
                     OUTCOME_OK);
    assert_int_equal(settings.prefetch, 4);
    assert_string_equal(settings.queue, "c");
    /* Set and empty is not set. */
    (void)setenv("A_SERVICE_PREFETCH", "", 1);
    (void)setenv("A_SERVICE_QUEUE", "", 1);
    assert_int_equal(load("--config", config_path, NULL), OUTCOME_OK);
    assert_int_equal(settings.prefetch, 2);
    assert_string_equal(settings.queue, "f");
}

static void differences(void **state)
{
    (void)state;
    char names[128];
    char cut[8];
    enum options_action ignored;
    struct settings others = {.queue = NULL};
    char name[] = "a-service";
    char *argv[] = {name, NULL};
    assert_int_equal(load(NULL), OUTCOME_OK);
    assert_int_equal(options_load(&program, 1, argv, &others, NULL, &ignored, &error), OUTCOME_OK);
    assert_int_equal(options_list_differences(&program, &settings, &others, names, sizeof(names)),
                     0);
    assert_string_equal(names, "");
    assert_int_equal(
        load_file("queue = q\nprefetch = 2\nqueue-type = classic\npassword-file = f\n"),
        OUTCOME_OK);
    assert_int_equal(options_list_differences(&program, &settings, &others, names, sizeof(names)),
                     4);
    assert_string_equal(names, "queue, password-file, queue-type, prefetch");
    assert_int_equal(options_list_differences(&program, &others, &settings, cut, sizeof(cut)), 4);
    assert_true(strlen(cut) < sizeof(cut));
    options_done(&program, &others);
}

static void blanks_around_a_variable(void **state)
{
    (void)state;
    (void)setenv("A_SERVICE_QUEUE", " \r\n\ta b\n \n", 1);
    (void)setenv("A_SERVICE_PREFETCH", "3\n", 1);
    (void)setenv("A_SERVICE_AMQP_URL", " \n", 1);
    (void)setenv("AMQP_URL",
                 "\xef\xbb\xbf"
                 "amqp://plain/\r\n",
                 1);
    assert_int_equal(load(NULL), OUTCOME_OK);
    assert_string_equal(settings.queue, "a b");
    assert_int_equal(settings.prefetch, 3);
    assert_string_equal(settings.url, "amqp://plain/");
    /* The command line is not changed: a shell has read it. */
    assert_int_equal(load("--queue= a", NULL), OUTCOME_OK);
    assert_string_equal(settings.queue, " a");
}

static void the_second_variable(void **state)
{
    (void)state;
    (void)setenv("AMQP_URL", "amqp://plain/", 1);
    assert_int_equal(load(NULL), OUTCOME_OK);
    assert_string_equal(settings.url, "amqp://plain/");
    (void)setenv("A_SERVICE_AMQP_URL", "amqp://prefixed/", 1);
    assert_int_equal(load(NULL), OUTCOME_OK);
    assert_string_equal(settings.url, "amqp://prefixed/");
    (void)setenv("A_SERVICE_AMQP_URL", "", 1);
    assert_int_equal(load(NULL), OUTCOME_OK);
    assert_string_equal(settings.url, "amqp://plain/");
}

/* docker --env-file hands over the quotes that it finds. */
static void quoted_variables(void **state)
{
    (void)state;
    (void)setenv("A_SERVICE_QUEUE", "\"e\"", 1);
    (void)setenv("A_SERVICE_PREFETCH", "'3'", 1);
    (void)setenv("A_SERVICE_PASSWORD_FILE", "\"\"", 1);
    assert_int_equal(load(NULL), OUTCOME_OK);
    assert_string_equal(settings.queue, "e");
    assert_int_equal(settings.prefetch, 3);
    assert_null(settings.file);
    (void)setenv("AMQP_URL", "\"hunter2", 1);
    assert_int_equal(load(NULL), OUTCOME_INVALID);
    expect_error("AMQP_URL: amqp-url: the value has a quote at one end");
    /* A shell has taken the quotes away: those that are left are meant. */
    assert_int_equal(load("--queue", "\"q\"", "--amqp-url", "x", NULL), OUTCOME_INVALID);
    (void)unsetenv("AMQP_URL");
    assert_int_equal(load("--queue", "\"q\"", NULL), OUTCOME_OK);
    assert_string_equal(settings.queue, "\"q\"");
}

static void numbers(void **state)
{
    (void)state;
    static const struct {
        const char *argument;
        int64_t value; /* -1: refused */
    } cases[] = {
        {"--prefetch=1", 1},
        {"--prefetch=2000", 2000},
        {"--prefetch=0", -1},
        {"--prefetch=2001", -1},
        {"--prefetch=-1", -1},
        {"--prefetch=", -1},
        {"--prefetch= 1", -1},
        {"--prefetch=1 ", -1},
        {"--prefetch=+1", -1},
        {"--prefetch=0x10", -1},
        {"--prefetch=1s", -1},
        {"--prefetch=18446744073709551617", -1},
        {"--confirm-timeout=500ms", 500},
        {"--confirm-timeout=2m", 120000},
        {"--confirm-timeout=1h", 3600000},
        {"--confirm-timeout=99ms", -1},
        {"--confirm-timeout=5", -1},
        {"--confirm-timeout=5 s", -1},
        {"--confirm-timeout=5S", -1},
        {"--confirm-timeout=1.5s", -1},
        {"--confirm-timeout=ms", -1},
        {"--confirm-timeout=9223372036854775807ms", INT64_MAX},
        {"--confirm-timeout=9223372036854775807h", -1},
        {"--max-bytes=1", 1},
        {"--max-bytes=64KiB", 65536},
        {"--max-bytes=3MiB", 3145728},
        {"--max-bytes=2GiB", 2147483648},
        {"--max-bytes=-1KiB", -1024},
        {"--max-bytes=-2KiB", -1},
        {"--max-bytes=64kb", -1},
        {"--max-bytes=9223372036854775807GiB", -1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum outcome outcome = load(cases[i].argument, NULL);
        if (outcome != (cases[i].value == -1 ? OUTCOME_INVALID : OUTCOME_OK)) {
            fail_msg("%s: %d", cases[i].argument, (int)outcome);
        }
        if (outcome == OUTCOME_OK) {
            int64_t got = strstr(cases[i].argument, "prefetch")  ? settings.prefetch
                          : strstr(cases[i].argument, "timeout") ? settings.timeout_ms
                                                                 : settings.size_bytes;
            assert_true(got == cases[i].value);
        }
    }
}

static void a_refusal_says_what_is_allowed(void **state)
{
    (void)state;
    assert_int_equal(load("--prefetch", "2001", NULL), OUTCOME_INVALID);
    assert_string_equal(error.text,
                        "command line: prefetch: \"2001\" is not a whole number from 1 to 2000");
    (void)setenv("A_SERVICE_CONFIRM_TIMEOUT", "1", 1);
    assert_int_equal(load(NULL), OUTCOME_INVALID);
    expect_error("A_SERVICE_CONFIRM_TIMEOUT: confirm-timeout: \"1\" is not a duration");
    expect_error("from 100ms to ");
    (void)unsetenv("A_SERVICE_CONFIRM_TIMEOUT");
    assert_int_equal(load("--queue-type", "class", NULL), OUTCOME_INVALID);
    expect_error("queue-type: \"class\" is none of quorum|classic");
    assert_int_equal(load("--queue-type", "quorum|classic", NULL), OUTCOME_INVALID);
    assert_int_equal(load("--queue-type", "", NULL), OUTCOME_INVALID);
    assert_int_equal(load("--queue-type", "classic", NULL), OUTCOME_OK);
    assert_int_equal(settings.type, 1);
    /* Wrong is wrong, even where a better source overrides it. */
    assert_int_equal(load_file("\n\nprefetch = many\n"), OUTCOME_INVALID);
    expect_error(":3: prefetch: \"many\"");
    assert_int_equal(load("--prefetch=7", "--config", config_path, NULL), OUTCOME_INVALID);
}

static void flags(void **state)
{
    (void)state;
    static const struct {
        const char *first, *second, *error;
    } cases[] = {
        {"--nonsense", NULL, "unknown option --nonsense;"},
        {"--nonsense=hunter2", NULL, "unknown option --nonsense;"},
        {"--prefetc=7", NULL, "unknown option --prefetc;"},
        {"--pre", "7", "unknown option --pre;"},
        {"--amqp-ur", "hunter2", "unknown option --amqp-ur;"},
        {"--help=hunter2", NULL, "--help takes no value"},
        {"--prefetch", NULL, "--prefetch needs a value"},
        {"-p", NULL, "unknown option -p;"},
        {"-phunter2", NULL, "unknown option -p;"},
        {"hunter2", NULL, "argument 1 belongs to no option"},
        {"--", "hunter2", "argument 2 belongs to no option"},
        {"--amqp-url=", "hunter2", "argument 2 belongs to no option"},
        {"--config", "/nonexistent/file", "cannot read /nonexistent/file: No such file"},
        {"--config", "/tmp", "cannot read /tmp: Is a directory"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(load(cases[i].first, cases[i].second, NULL), OUTCOME_INVALID);
        expect_error(cases[i].error);
    }
    assert_int_equal(load("--queue=a", "--queue", "b", "--", NULL), OUTCOME_OK);
    assert_string_equal(settings.queue, "b");
    assert_int_equal(load("--queue", "--prefetch", NULL), OUTCOME_OK);
    assert_string_equal(settings.queue, "--prefetch");
}

static void secrets_leave_the_command_line(void **state)
{
    (void)state;
    assert_int_equal(load("--amqp-url", "hunter2", "--queue", "seen", "--amqp-url=hunter2!", NULL),
                     OUTCOME_OK);
    assert_string_equal(settings.url, "hunter2!");
    assert_string_equal(arguments[2], "xxxxxxx");
    assert_string_equal(arguments[4], "seen");
    assert_string_equal(arguments[5], "--amqp-url=xxxxxxxx");
    /* Also where the rest is wrong. */
    assert_int_equal(load("--amqp-url=hunter2", "--nonsense", NULL), OUTCOME_INVALID);
    assert_string_equal(arguments[1], "--amqp-url=xxxxxxx");
    assert_int_equal(load("--amqp-url=hunter2", "--prefetch=0", NULL), OUTCOME_INVALID);
    assert_string_equal(arguments[1], "--amqp-url=xxxxxxx");
    assert_int_equal(load("--amqp-ur", "hunter2", NULL), OUTCOME_INVALID);
    assert_string_equal(arguments[2], "xxxxxxx");
}

#define PIN_OPTIONS(OPTION) OPTION(pin, INTEGER(1, 9), "pin", "1", "a number", .secret = true)

struct pin_settings {
    PIN_OPTIONS(OPTION_MEMBER)
};

#define PIN_ROW(...) OPTION_ROW(struct pin_settings, __VA_ARGS__)
static const struct option_row pin_rows[] = {PIN_OPTIONS(PIN_ROW)};

static void a_secret_number_is_not_shown(void **state)
{
    (void)state;
    const struct options_program pin = {.name = "a-service",
                                        .environment_prefix = "A_SERVICE",
                                        .summary = "s",
                                        .rows = pin_rows,
                                        .count = 1};
    struct pin_settings values = {0};
    char name[] = "a-service";
    char argument[] = "--pin=4711";
    char *argv[] = {name, argument, NULL};
    assert_int_equal(options_load(&pin, 2, argv, &values, NULL, &action, &error), OUTCOME_INVALID);
    assert_null(strstr(error.text, "4711"));
    expect_error("pin: the value is not a whole number from 1 to 9");
    assert_string_equal(argument, "--pin=xxxx");
}

#define COMMAND_OPTIONS(OPTION)                                                                    \
    OPTION(all, FLAG, "all", NULL, "all of them")                                                  \
    OPTION(rate, INTEGER(1, 9), "rate", "7", "how fast", .command_line_only = true)

struct command_settings {
    COMMAND_OPTIONS(OPTION_MEMBER)
};

#define COMMAND_ROW(...) OPTION_ROW(struct command_settings, __VA_ARGS__)
static const struct option_row command_rows[] = {COMMAND_OPTIONS(COMMAND_ROW)};

static const struct options_program command = {.name = "a-command",
                                               .environment_prefix = "A_SERVICE",
                                               .summary = "s",
                                               .operands = "VERB [ID]...",
                                               .rows = command_rows,
                                               .count = 2};

/* `line` is split at its spaces; two in a row enclose an empty argument. */
static enum outcome load_command(const char *line, struct command_settings *ret_settings,
                                 struct options_operands *ret_operands)
{
    static char text[ARGUMENT_BYTES];
    char *argv[ARGUMENTS_MAX + 1];
    int argc = 0;
    char *rest = strcpy(text, line);
    while (rest != NULL) {
        assert_true(argc < ARGUMENTS_MAX);
        argv[argc++] = strsep(&rest, " ");
    }
    argv[argc] = NULL;
    *ret_settings = (struct command_settings){0};
    return options_load(&command, argc, argv, ret_settings, ret_operands, &action, &error);
}

/* Returns how many there are, and checks what the last one is taken for. */
static size_t strays(const char *name, const char *nearest)
{
    struct options_stray stray;
    size_t position = 0;
    size_t count = 0;
    while (options_next_stray(&program, &position, &stray)) {
        assert_string_equal(stray.name, name);
        assert_string_equal(stray.nearest, nearest);
        assert_memory_equal(stray.nearest_variable, "A_SERVICE_", 10);
        count++;
    }
    return count;
}

static void stray_variables(void **state)
{
    (void)state;
    static const struct {
        const char *name, *nearest; /* NULL: nobody is warned */
    } cases[] = {
        {"A_SERVICE_QEUE", "queue"},
        {"A_SERVICE_QUEUETYPE", "queue-type"},
        {"A_SERVICE_QUEUE-TYPE", "queue-type"},
        {"a_service_queue", "queue"},
        {"A_SERVICE_PREFTECH", "prefetch"},
        {"A_SERVICE_PASSWORD", "password-file"},
        {"A_SERVICE_URL", "amqp-url"},
        {"A_SERVICE_", "queue"},
        {"A_SERVICE_PREFETCH_PORTS", "prefetch"},
        {"A_SERVICE_AMQP", "amqp-url"},
        {"A_SERVICE_QUEUE", NULL},
        {"A_SERVICE_PORT", NULL},
        {"A_SERVICE_PORT_3000_TCP_ADDR", NULL},
        {"A_SERVICE_SERVICE_HOST", NULL},
        {"A_SERVICE_SERVICE_PORT", NULL},
        {"A_SERVICE_SERVICE_PORT_HTTP", NULL},
        {"A_SERVICE_METRICS_SERVICE_HOST", NULL},
        {"A_SERVICEX_QEUE", NULL},
        {"AMQP_URL", NULL},
        {"QUEUE", NULL},
    };
    assert_int_equal(strays("", ""), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        (void)setenv(cases[i].name, "hunter2", 1);
        size_t count = strays(cases[i].name, cases[i].nearest == NULL ? "" : cases[i].nearest);
        if (count != (cases[i].nearest != NULL)) {
            fail_msg("%s: %zu", cases[i].name, count);
        }
        (void)setenv(cases[i].name, "", 1);
        assert_int_equal(strays("", ""), 0);
        (void)unsetenv(cases[i].name);
    }
    char longest[1024];
    (void)snprintf(longest, sizeof(longest), "A_SERVICE_%0900d", 0);
    (void)setenv(longest, "x", 1);
    longest[OPTION_VARIABLE_BYTES - 1] = '\0';
    assert_int_equal(strays(longest, "queue"), 1);
    (void)snprintf(longest, sizeof(longest), "A_SERVICE_%0900d", 0);
    (void)unsetenv(longest);
}

static void operands_and_flags(void **state)
{
    (void)state;
    struct command_settings values;
    struct options_operands operands = {0};
    assert_int_equal(load_command("c redrive --all m1 --rate 3  - -- --all m2", &values, &operands),
                     OUTCOME_OK);
    assert_true(values.all);
    assert_int_equal(values.rate, 3);
    static const char *const expected[] = {"redrive", "m1", "", "-", "--all", "m2"};
    assert_int_equal(operands.count, 6);
    for (size_t i = 0; i < operands.count; i++) {
        assert_string_equal(operands.items[i], expected[i]);
    }
    free(operands.items);

    assert_int_equal(load_command("c --all=yes", &values, &operands), OUTCOME_INVALID);
    expect_error("--all takes no value");
    char with_file[64];
    (void)snprintf(with_file, sizeof(with_file), "c --config %s", config_path);
    write_config("rate = 2\n", 9);
    assert_int_equal(load_command(with_file, &values, &operands), OUTCOME_INVALID);
    expect_error("unknown key \"rate\"");
    (void)setenv("A_SERVICE_RATE", "2", 1);
    (void)setenv("A_SERVICE_ALL", "1", 1);
    assert_int_equal(load_command("c", &values, &operands), OUTCOME_OK);
    assert_int_equal(values.rate, 7);
    assert_false(values.all);
    assert_int_equal(operands.count, 0);
    free(operands.items);
    (void)unsetenv("A_SERVICE_RATE");
    (void)unsetenv("A_SERVICE_ALL");
}

static void help_and_version(void **state)
{
    (void)state;
    FILE *output = tmpfile();
    assert_non_null(output);
    (void)fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    assert_true(dup2(fileno(output), STDOUT_FILENO) >= 0);
    (void)setenv("A_SERVICE_AMQP_URL", "hunter2", 1);
    enum outcome help = load("--help", NULL);
    enum outcome version = load("--version", NULL);
    enum options_action version_action = action;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    (void)dup2(full, STDOUT_FILENO);
    enum outcome unwritten = load("--help", NULL);
    (void)dup2(saved, STDOUT_FILENO);
    assert_int_equal(close(saved), 0);
    assert_int_equal(close(full), 0);
    assert_int_equal(help, OUTCOME_OK);
    assert_int_equal(version, OUTCOME_OK);
    assert_int_equal(version_action, OPTIONS_EXIT);
    assert_int_equal(unwritten, OUTCOME_INVALID);
    char text[8192] = "";
    rewind(output);
    text[fread(text, 1, sizeof(text) - 1, output)] = '\0';
    assert_int_equal(fclose(output), 0);
    assert_non_null(strstr(text, "  --confirm-timeout DURATION\n      how long\n"
                                 "      default 5s; 100ms to "));
    assert_non_null(strstr(text, "default 64KiB; -1KiB to "));
    assert_non_null(strstr(text, "one of quorum|classic; variable A_SERVICE_QUEUE_TYPE\n"));
    assert_non_null(strstr(text, "variable A_SERVICE_AMQP_URL or AMQP_URL\n"));
    assert_non_null(strstr(text, "default none; variable A_SERVICE_PASSWORD_FILE\n"));
    assert_non_null(strstr(text, "--check-config"));
    assert_non_null(strstr(text, "\na-service " PROJECT_VERSION "\n"));
    assert_null(strstr(text, "hunter2"));
}

static void a_row_of_another_program_is_read_in_the_file_alone(void **state)
{
    (void)state;
    struct option_row shared_rows[2] = {pin_rows[0], pin_rows[0]};
    shared_rows[1].name = "theirs";
    shared_rows[1].file_only = true;
    const struct options_program both = {.name = "a-service",
                                         .environment_prefix = "A_SERVICE",
                                         .summary = "s",
                                         .rows = shared_rows,
                                         .count = 2};
    struct pin_settings values = {0};
    char name[] = "a-service";
    char flag[] = "--theirs=2";
    char config[] = "--config";
    char *argv[] = {name, config, config_path, NULL};
    char *argv_of_flag[] = {name, flag, NULL};
    assert_int_equal(options_load(&both, 2, argv_of_flag, &values, NULL, &action, &error),
                     OUTCOME_INVALID);
    expect_error("unknown option --theirs;");
    (void)setenv("A_SERVICE_THEIRS", "nonsense", 1);
    write_config("theirs = 2\n", 11);
    assert_int_equal(options_load(&both, 3, argv, &values, NULL, &action, &error), OUTCOME_OK);
    assert_int_equal(values.pin, 2);
    write_config("theirs = many\n", 14);
    assert_int_equal(options_load(&both, 3, argv, &values, NULL, &action, &error), OUTCOME_INVALID);
    expect_error(":1: theirs: ");
    (void)unsetenv("A_SERVICE_THEIRS");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(defaults, clear_environment),
        cmocka_unit_test_teardown(default_file_environment_command_line, clear_environment),
        cmocka_unit_test_teardown(differences, clear_environment),
        cmocka_unit_test_teardown(blanks_around_a_variable, clear_environment),
        cmocka_unit_test_teardown(the_second_variable, clear_environment),
        cmocka_unit_test_teardown(quoted_variables, clear_environment),
        cmocka_unit_test_teardown(numbers, clear_environment),
        cmocka_unit_test_teardown(a_refusal_says_what_is_allowed, clear_environment),
        cmocka_unit_test_teardown(flags, clear_environment),
        cmocka_unit_test_teardown(secrets_leave_the_command_line, clear_environment),
        cmocka_unit_test_teardown(a_secret_number_is_not_shown, clear_environment),
        cmocka_unit_test_teardown(a_row_of_another_program_is_read_in_the_file_alone,
                                  clear_environment),
        cmocka_unit_test_teardown(stray_variables, clear_environment),
        cmocka_unit_test_teardown(operands_and_flags, clear_environment),
        cmocka_unit_test_teardown(help_and_version, clear_environment),
    };
    return run_with_config(tests);
}
