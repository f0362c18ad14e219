/* A store in a folder of its own, with a reader, and the steps that tests of it repeat. Each test
 * has a fresh one: cmocka_unit_test_setup_teardown(test, set_up, tear_down). */
#pragma once

#include "session-service/store/store_reader.h"

#include "tests/support/database_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

enum { TTL_MS = 1000, RETENTION_MS = 60000, TOLERANCE_MS = 500, T0 = 1000000 };

struct fixture {
    char directory[64], path[128];
    struct store *store;
    struct store_reader *reader;
    bool is_waiting; /* of a test that asks for it */
};

static inline void create_store(struct fixture *fixture)
{
    struct store_options options = {.directory = fixture->directory,
                                    .session_ttl_ms = TTL_MS,
                                    .inbox_retention_ms = RETENTION_MS,
                                    .clock_tolerance_ms = TOLERANCE_MS};
    assert_int_equal(store_create(&options, &fixture->store, NULL), OUTCOME_OK);
    assert_int_equal(store_reader_create(fixture->store, &fixture->reader, NULL), OUTCOME_OK);
}

static inline void free_store(struct fixture *fixture)
{
    store_reader_free(fixture->reader);
    store_free(fixture->store);
}

static inline int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    strcpy(fixture->directory, "/tmp/test-store-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    snprintf(fixture->path, sizeof(fixture->path), "%s/session-service.db", fixture->directory);
    create_store(fixture);
    *state = fixture;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *fixture = *state;
    free_store(fixture);
    remove_store_directory(fixture->directory);
    free(fixture);
    return 0;
}

static inline struct store_effect take(struct fixture *fixture, const struct store_event *event,
                                       int64_t now_ms)
{
    struct store_effect effect;
    struct error error = {.text = ""};
    if (store_take(fixture->store, event, 1, now_ms, &effect, &error) != OUTCOME_OK) {
        fail_msg("%s", error.text);
    }
    return effect;
}

static inline struct store_effect apply(struct fixture *fixture, const char *message_id,
                                        const char *user, const char *body, int64_t saved_at_ms,
                                        int64_t now_ms)
{
    const struct store_event event = {.message_id = slice_of(message_id),
                                      .payload = slice_of(body),
                                      .user_key = slice_of(user),
                                      .body = slice_of(body),
                                      .saved_at_ms = saved_at_ms};
    return take(fixture, &event, now_ms);
}

static inline struct store_effect delete_user(struct fixture *fixture, const char *message_id,
                                              const char *user, int64_t deleted_at_ms,
                                              int64_t now_ms)
{
    const struct store_event event = {.change = STORE_DELETE,
                                      .message_id = slice_of(message_id),
                                      .payload = slice_of("a deletion"),
                                      .user_key = slice_of(user),
                                      .saved_at_ms = deleted_at_ms};
    return take(fixture, &event, now_ms);
}

/* The parsed answer, NULL where nothing was found; owned. */
static inline json_t *ask(struct fixture *fixture, enum question question, const char *key,
                          int64_t limit, int64_t now_ms)
{
    struct buffer json;
    struct error error = {.text = ""};
    bool found = false;
    buffer_init(&json, 1024 * 1024);
    if (store_reader_ask(fixture->reader, question, slice_of(key), limit, now_ms, &json, &found,
                         &error) != OUTCOME_OK) {
        fail_msg("%s", error.text);
    }
    json_t *answer = found ? json_loadb(json.data, json.length, 0, NULL) : NULL;
    buffer_done(&json);
    return answer;
}

static inline void expect_user(struct fixture *fixture, const char *user, const char *name,
                               int64_t saved_at_ms)
{
    json_t *answer = ask(fixture, ASK_USER, user, 0, T0);
    assert_non_null(answer);
    json_t *data = json_object_get(answer, "data");
    assert_string_equal(json_string_value(json_object_get(data, "name")), name);
    assert_int_equal(json_integer_value(json_object_get(answer, "saved_at_ms")), saved_at_ms);
    json_decref(answer);
}
