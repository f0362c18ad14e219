/* A transition that a table does not allow ends the process, in every build that keeps assert(). */
#include "common/base/transitions.h"

#include "common/amqp/confirm_window.h"
#include "common/database/database.h"
#include "user-service/key_window.h"
#include "user-service/publisher_internal.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum light { RED, GREEN, YELLOW };

static const uint8_t light_transitions[] = {
    [RED] = STATE_BIT(GREEN),
    [GREEN] = STATE_BIT(YELLOW),
    [YELLOW] = STATE_BIT(RED) | STATE_BIT(YELLOW),
};

static char folder[] = "/tmp/test_transitions.XXXXXX";

/* Runs `mistake` in a process of its own, which must be ended by assert(). */
static void expect_abort(void (*mistake)(void))
{
#ifdef NDEBUG
    (void)mistake;
    skip();
#endif
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit no_core = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)signal(SIGABRT, SIG_DFL); /* cmocka catches it */
        (void)close(STDERR_FILENO);
        mistake();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void test_a_table_allows_what_it_lists(void **state)
{
    (void)state;
    enum light light = RED;
    STATE_SET(light_transitions, light, GREEN);
    STATE_SET(light_transitions, light, YELLOW);
    STATE_SET(light_transitions, light, YELLOW);
    STATE_SET(light_transitions, light, RED);
    assert_int_equal(light, RED);
}

static void skip_green(void)
{
    enum light light = RED;
    STATE_SET(light_transitions, light, YELLOW);
    _exit(light == YELLOW ? 0 : 1);
}

static void stay_red(void)
{
    enum light light = RED;
    STATE_SET(light_transitions, light, RED);
    _exit(light == RED ? 0 : 1);
}

static void block_without_a_connection(void)
{
    struct publisher publisher = {.state = PUBLISHER_DISCONNECTED};
    pthread_mutex_init(&publisher.lock, NULL);
    publisher_set_state(&publisher, PUBLISHER_BLOCKED, "an alarm");
}

static void settle_a_key_twice(void)
{
    struct key_window window;
    struct work_list waiting;
    struct key_change change;
    char body[] = "{}";
    struct event event = {.message_id = "k",
                          .message_id_length = 1,
                          .body = body,
                          .body_length = 2,
                          .outcome = EVENT_CONFIRMED};
    enum key_verdict verdict = KEY_REUSED;
    enum event_outcome outcome = EVENT_OUTCOMES;
    const struct key_window_options options = {.capacity = 2, .in_flight_max = 1};
    key_window_init(&window, &options);
    if (key_window_claim(&window, &event, &verdict, &outcome, NULL) != OUTCOME_OK) {
        _exit(1);
    }
    (void)!key_window_settle(&window, &event, &waiting, &change);
    (void)!key_window_settle(&window, &event, &waiting, &change);
}

static struct database *open_database(void)
{
    static const char *const migrations[] = {"CREATE TABLE numbers (number INTEGER)"};
    static const char *const statements[] = {"INSERT INTO numbers VALUES (1)"};
    const struct database_options options = {.directory = folder,
                                             .file_name = "test.db",
                                             .application_id = 1,
                                             .migrations = migrations,
                                             .version = 1,
                                             .statements = statements,
                                             .statement_count = 1};
    struct database *database = NULL;
    if (database_create(&options, &database, NULL) != OUTCOME_OK ||
        database_begin(database, NULL) != OUTCOME_OK) {
        _exit(1);
    }
    return database;
}

static void begin_in_a_transaction(void)
{
    _exit(database_begin(open_database(), NULL) == OUTCOME_OK ? 0 : 1);
}

static void commit_outside_of_a_transaction(void)
{
    struct database *database = open_database();
    database_rollback(database, OUTCOME_BUSY);
    _exit(database_commit(database, NULL) == OUTCOME_OK ? 0 : 1);
}

static void write_outside_of_a_transaction(void)
{
    struct database *database = open_database();
    database_rollback(database, OUTCOME_BUSY);
    _exit(statement_run(database_statement(database, 0), NULL) == OUTCOME_OK ? 0 : 1);
}

static void ignore(void *item, enum confirm_result result, void *context)
{
    (void)item;
    (void)result;
    (void)context;
}

static void publish_beyond_the_window(void)
{
    struct confirm_window window;
    if (confirm_window_init(&window, 1, ignore, NULL, NULL) != OUTCOME_OK) {
        _exit(1);
    }
    (void)confirm_window_add(&window, &window, (struct slice){0}, 0);
    (void)confirm_window_add(&window, &window, (struct slice){0}, 0);
}

static void test_a_transition_that_is_not_listed_ends_the_process(void **state)
{
    (void)state;
    expect_abort(skip_green);
    expect_abort(stay_red);
    expect_abort(block_without_a_connection);
    expect_abort(settle_a_key_twice);
}

static void test_a_file_is_written_in_one_transaction_at_a_time(void **state)
{
    (void)state;
    expect_abort(begin_in_a_transaction);
    expect_abort(commit_outside_of_a_transaction);
    expect_abort(write_outside_of_a_transaction);
}

static void test_a_window_holds_no_more_than_its_capacity(void **state)
{
    (void)state;
    expect_abort(publish_beyond_the_window);
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"test.db", "test.db-wal", "test.db-shm"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_table_allows_what_it_lists),
        cmocka_unit_test(test_a_transition_that_is_not_listed_ends_the_process),
        cmocka_unit_test(test_a_file_is_written_in_one_transaction_at_a_time),
        cmocka_unit_test(test_a_window_holds_no_more_than_its_capacity),
    };
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, remove_folder);
}
