/* The store in PostgreSQL beside the embedded one: the same events have the same effects, and leave
 * the same rows. It is given a server by tests/system/test_postgres_store.py. */
#include "tests/support/store_events.h"

#include "session-service/store/store_postgres_schema.h"

#include <libpq-fe.h>

enum { BATCHES = 150 };

struct both {
    struct fixture *embedded;
    struct fixture shared;
    char *url;
    enum store_partitions partitions;
};

static PGresult *query_shared(const struct both *both, const char *query)
{
    PGconn *connection = PQconnectdb(both->url);
    PGresult *result = PQexec(connection, "SET search_path = session_service");
    PQclear(result);
    result = PQexec(connection, query);
    if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK) {
        fail_msg("%s: %s", query, PQerrorMessage(connection));
    }
    PQfinish(connection);
    return result;
}

static void create_shared(struct both *both)
{
    const struct store_options options = {.directory = both->embedded->directory,
                                          .url = both->url,
                                          .partitions = both->partitions,
                                          .session_ttl_ms = TTL_MS,
                                          .inbox_retention_ms = RETENTION_MS,
                                          .clock_tolerance_ms = TOLERANCE_MS};
    struct error error = {.text = ""};
    assert_int_equal(store_create(&options, &both->shared.store, NULL), OUTCOME_OK);
    assert_int_equal(store_reader_create(both->shared.store, &both->shared.reader, NULL),
                     OUTCOME_OK);
    if (store_open(both->shared.store, &error) != OUTCOME_OK) {
        fail_msg("%s", error.text);
    }
}

static int set_up_both(void **state)
{
    struct both *both = calloc(1, sizeof(*both));
    both->url = getenv("TEST_POSTGRES_URL");
    both->partitions =
        getenv("TEST_POSTGRES_PARTITIONS") != NULL ? STORE_PARTITIONS_DAY : STORE_PARTITIONS_OFF;
    *state = both;
    if (both->url != NULL) {
        set_up((void **)&both->embedded);
        PQclear(query_shared(both, "DROP SCHEMA IF EXISTS session_service CASCADE"));
        create_shared(both);
    }
    return 0;
}

static int tear_down_both(void **state)
{
    struct both *both = *state;
    if (both->url != NULL) {
        free_store(&both->shared);
        tear_down((void **)&both->embedded);
    }
    free(both);
    return 0;
}

#define NEEDS_SERVER(both)                                                                         \
    if ((both)->url == NULL) {                                                                     \
        print_message("SKIPPED: no TEST_POSTGRES_URL\n");                                          \
        skip();                                                                                    \
    }

static void read_shared(const struct both *both, char ret_text[TABLE_BYTES])
{
    ret_text[0] = '\0';
    for (size_t i = 0; i < TABLE_QUERIES; i++) {
        PGresult *rows = query_shared(both, table_queries[i]);
        for (int row = 0; row < PQntuples(rows); row++) {
            for (int column = 0; column < PQnfields(rows); column++) {
                append_cell(ret_text,
                            PQgetisnull(rows, row, column) ? NULL : PQgetvalue(rows, row, column));
            }
        }
        PQclear(rows);
    }
}

static void take_both(struct both *both, const struct random_events *random)
{
    struct store_effect ours[EVENTS_MAX], theirs[EVENTS_MAX];
    struct error error = {.text = ""};
    assert_int_equal(store_take(both->embedded->store, random->events, random->count,
                                random->now_ms, ours, NULL),
                     OUTCOME_OK);
    if (store_take(both->shared.store, random->events, random->count, random->now_ms, theirs,
                   &error) != OUTCOME_OK) {
        fail_msg("%s", error.text);
    }
    assert_same_effects(random, ours, theirs);
}

static void test_random_events_are_the_same(void **state)
{
    struct both *both = *state;
    NEEDS_SERVER(both);
    static char ours[TABLE_BYTES], theirs[TABLE_BYTES];
    struct random_events random = {.state = seed_of_this_run(), .now_ms = 1700000000000};
    for (int i = 0; i < BATCHES; i++) {
        struct error error = {.text = ""};
        next_events(&random);
        struct slice key = random.events[0].message_id;
        for (int store = 0; key.length > 0 && store < 2; store++) {
            assert_int_equal(store_accuse(store == 0 ? both->embedded->store : both->shared.store,
                                          key, true, random.now_ms, &error),
                             OUTCOME_OK);
        }
        take_both(both, &random);
        if (i % 10 == 9) {
            read_embedded(both->embedded, TABLE_QUERIES, ours);
            read_shared(both, theirs);
            assert_same_tables(ours, theirs);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_random_events_are_the_same, set_up_both,
                                        tear_down_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
