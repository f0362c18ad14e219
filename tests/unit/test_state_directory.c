/* Which folder it is, and that one process at a time holds it. */
#include "common/service/state_directory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/test_state_directory_XXXXXX";
static struct error error;

static void check_choice(const char *option, const char *granted, const char *expected)
{
    struct state_directory directory;
    if (granted == NULL) {
        (void)unsetenv("STATE_DIRECTORY");
    } else {
        (void)setenv("STATE_DIRECTORY", granted, 1);
    }
    enum outcome outcome = state_directory_choose(option, "a-service", &directory, &error);
    (void)unsetenv("STATE_DIRECTORY");
    assert_int_equal(outcome, expected == NULL ? OUTCOME_INVALID : OUTCOME_OK);
    if (expected != NULL) {
        assert_string_equal(directory.path, expected);
    }
}

static void test_choice(void **state)
{
    (void)state;
    static char long_path[2 * STATE_DIRECTORY_PATH_BYTES];
    memset(long_path, 'x', sizeof(long_path) - 1);
    check_choice(NULL, NULL, "/var/lib/a-service");
    check_choice(NULL, "/run/one", "/run/one");
    check_choice(NULL, "/run/one:/run/two", "/run/one");
    check_choice("/srv/x:y", "/run/one", "/srv/x:y");
    check_choice("", NULL, NULL);
    check_choice(NULL, "", NULL);
    check_choice(long_path, NULL, NULL);
}

/* In a process of its own; 0: it got hold of the folder. */
static int hold_elsewhere(struct error *ret_error)
{
    int channel[2];
    assert_int_equal(pipe(channel), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct state_directory directory = {.lock_descriptor = -1};
        struct error why = {.text = ""};
        (void)snprintf(directory.path, sizeof(directory.path), "%s", folder);
        enum outcome outcome = state_directory_hold(&directory, &why);
        bool told = write(channel[1], &why, sizeof(why)) == (ssize_t)sizeof(why);
        _exit(told ? (int)outcome : 99);
    }
    int status = 0;
    assert_int_equal(read(channel[0], ret_error, sizeof(*ret_error)), sizeof(*ret_error));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(close(channel[0]) + close(channel[1]), 0);
    return WEXITSTATUS(status);
}

static void test_one_process_holds_it(void **state)
{
    (void)state;
    struct state_directory directory = {.lock_descriptor = -1};
    (void)snprintf(directory.path, sizeof(directory.path), "%s", folder);
    assert_int_equal(state_directory_hold(&directory, &error), OUTCOME_OK);
    char process[32];
    (void)snprintf(process, sizeof(process), "in use by process %ld;", (long)getpid());
    assert_int_equal(hold_elsewhere(&error), OUTCOME_INVALID);
    assert_non_null(strstr(error.text, process));
    assert_non_null(strstr(error.text, folder));
    struct state_directory other = directory;
    bool is_held = true;
    other.lock_descriptor = -1;
    assert_int_equal(state_directory_try(&other, &is_held, &error), OUTCOME_OK);
    assert_false(is_held);
    assert_int_equal(other.lock_descriptor, -1);
    assert_non_null(strstr(error.text, "in use by process"));
    state_directory_release(&directory);
    state_directory_release(&directory);
    assert_int_equal(state_directory_try(&other, &is_held, &error), OUTCOME_OK);
    assert_true(is_held && other.lock_descriptor >= 0);
    state_directory_release(&other);
    assert_int_equal(hold_elsewhere(&error), OUTCOME_OK);
    assert_int_equal(state_directory_hold(&directory, &error), OUTCOME_OK);
    state_directory_release(&directory);
}

/* The operator may have moved it away while it was waited for. */
static void test_what_is_awaited_is_not_created(void **state)
{
    (void)state;
    char path[64], lock[80];
    (void)snprintf(path, sizeof(path), "%s/moved", folder);
    (void)snprintf(lock, sizeof(lock), "%s/lock", path);
    struct state_directory holder = {.lock_descriptor = -1};
    struct state_directory waiting = {.lock_descriptor = -1};
    bool is_held = true;
    (void)snprintf(holder.path, sizeof(holder.path), "%s", path);
    (void)snprintf(waiting.path, sizeof(waiting.path), "%s", path);
    assert_int_equal(state_directory_hold(&holder, &error), OUTCOME_OK);
    assert_int_equal(state_directory_try(&waiting, &is_held, &error), OUTCOME_OK);
    assert_false(is_held);
    assert_int_equal(unlink(lock) + rmdir(path), 0);
    assert_int_equal(state_directory_try(&waiting, &is_held, &error), OUTCOME_INVALID);
    assert_non_null(strstr(error.text, "No such file or directory"));
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(state_directory_try(&waiting, &is_held, &error), OUTCOME_OK);
    assert_true(is_held);
    state_directory_release(&waiting);
    state_directory_release(&holder);
    assert_int_equal(unlink(lock) + rmdir(path), 0);
}

static void test_what_cannot_be_used(void **state)
{
    (void)state;
    struct state_directory directory = {.lock_descriptor = -1};
    (void)snprintf(directory.path, sizeof(directory.path), "%s/none/below", folder);
    assert_int_equal(state_directory_hold(&directory, &error), OUTCOME_INVALID);
    assert_non_null(strstr(error.text, "create "));
    /* A lock that leads elsewhere is not followed. */
    char lock[64];
    (void)snprintf(lock, sizeof(lock), "%s/lock", folder);
    assert_int_equal(unlink(lock), 0);
    assert_int_equal(symlink("elsewhere", lock), 0);
    (void)snprintf(directory.path, sizeof(directory.path), "%s", folder);
    assert_int_equal(state_directory_hold(&directory, &error), OUTCOME_INVALID);
    assert_int_equal(unlink(lock), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_one_process_holds_it),
        cmocka_unit_test(test_what_is_awaited_is_not_created),
        cmocka_unit_test(test_what_cannot_be_used),
    };
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return rmdir(folder) == 0 ? failed : 1;
}
