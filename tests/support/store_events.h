/* Random batches of events, in which everything meets: few users and few ids, so that saves and
 * deletions of one user, times of others, bare messages, repeated ids and conflicts come together;
 * and what the tables of the embedded store hold after them. */
#pragma once

#include "tests/support/store_fixture.h"

#include <inttypes.h>

#include <sqlite3.h>

enum { EVENTS_MAX = 24, EVENT_TEXT_BYTES = 64, TABLE_BYTES = 1024 * 1024 };

struct random_events {
    uint64_t state;
    int64_t now_ms;
    uint64_t ids; /* of those that were given so far */
    struct store_event events[EVENTS_MAX];
    size_t count;
    char texts[EVENTS_MAX][3][EVENT_TEXT_BYTES];
    char given[8][EVENT_TEXT_BYTES]; /* ids that may come again */
};

static inline uint64_t random_below(struct random_events *random, uint64_t end)
{
    random->state = random->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (random->state >> 33) % end;
}

/* One of ours for that time, or any other. */
static inline void write_id(struct random_events *random, int64_t time_ms, char *ret_id)
{
    uint64_t number = ++random->ids;
    time_ms += random_below(random, 4) == 0 ? 150 : 0; /* then it is not one of ours for its time */
    if (random_below(random, 4) == 0) {
        snprintf(ret_id, EVENT_TEXT_BYTES, "%c key %" PRIu64, (int)('A' + random_below(random, 60)),
                 number);
    } else {
        /* Of one millisecond they differ behind their first 15 characters, in any order. */
        snprintf(ret_id, EVENT_TEXT_BYTES, "%08" PRIx64 "-%04" PRIx64 "-7%03x-8%03x-%012" PRIx64,
                 (uint64_t)time_ms >> 16, (uint64_t)time_ms & 0xffff,
                 (unsigned)random_below(random, 4096), 0U, number);
    }
}

static inline void add_random_event(struct random_events *random)
{
    char(*texts)[EVENT_TEXT_BYTES] = random->texts[random->count];
    struct store_event *event = &random->events[random->count++];
    bool is_bare = random_below(random, 6) == 0;
    bool comes_again = !is_bare && random_below(random, 8) == 0;
    char *given = random->given[random_below(random, 8)];
    int64_t saved_at_ms = random_below(random, 5) == 0
                              ? -1
                              : random->now_ms + (int64_t)random_below(random, 12) * 150 - 1200;
    if (is_bare) {
        texts[0][0] = '\0';
    } else if (comes_again && given[0] != '\0') {
        memcpy(texts[0], given, EVENT_TEXT_BYTES);
    } else {
        write_id(random, saved_at_ms < 0 ? random->now_ms : saved_at_ms, texts[0]);
        memcpy(given, texts[0], EVENT_TEXT_BYTES);
    }
    snprintf(texts[1], EVENT_TEXT_BYTES, "user \xc3\xa9%" PRIu64, random_below(random, 6));
    /* Few bodies: an id that comes again comes with the same one, or with another. */
    snprintf(texts[2], EVENT_TEXT_BYTES, "{\"n\":%" PRIu64 "}", random_below(random, 3));
    *event = (struct store_event){
        .change = random_below(random, 4) == 0 ? STORE_DELETE : STORE_SAVE,
        .message_id = slice_of(texts[0]),
        .payload = slice_of(texts[2]),
        .user_key = slice_of(texts[1]),
        .body = slice_of(texts[2]),
        .attempt_key = random_below(random, 3) == 0 ? slice_of(texts[0]) : (struct slice){0},
        .saved_at_ms = saved_at_ms,
    };
}

/* The next batch; the clock goes on, and is sometimes set back. */
static inline void next_events(struct random_events *random)
{
    random->now_ms += (int64_t)random_below(random, 500) - 60;
    random->count = 0;
    for (size_t left = 1 + random_below(random, EVENTS_MAX); left > 0; left--) {
        add_random_event(random);
    }
}

static inline void assert_same_effects(const struct random_events *random,
                                       const struct store_effect ours[],
                                       const struct store_effect theirs[])
{
    for (size_t i = 0; i < random->count; i++) {
        if (ours[i].result != theirs[i].result ||
            ours[i].session_opened != theirs[i].session_opened ||
            ours[i].user_changed != theirs[i].user_changed ||
            ours[i].ahead_ms != theirs[i].ahead_ms) {
            fail_msg("event %zu of a batch, id '%s', of %s: result %d %d, opened %d %d, changed "
                     "%d %d, ahead %" PRId64 " %" PRId64,
                     i, random->texts[i][0], random->texts[i][1], (int)ours[i].result,
                     (int)theirs[i].result, ours[i].session_opened, theirs[i].session_opened,
                     ours[i].user_changed, theirs[i].user_changed, ours[i].ahead_ms,
                     theirs[i].ahead_ms);
        }
    }
}

/* All but the ids of sessions, which are random. */
static const char *const table_queries[] = {
    "SELECT user_id, saved_at_ms, floor_ms, message_id, saves, opened_at_ms, extended_at_ms,"
    " expires_at_ms, session_saves, body FROM users ORDER BY user_id",
    "SELECT user_hash, deleted_at_ms, message_id, handled_at_ms FROM tombstones ORDER BY user_hash",
    "SELECT message_id, handled_at_ms FROM inbox WHERE message_id NOT LIKE 'batch without%'"
    " ORDER BY message_id",
    "SELECT key, count, at_ms FROM attempts ORDER BY key",
};
enum { TABLE_QUERIES = sizeof(table_queries) / sizeof(table_queries[0]) };

static inline void assert_same_tables(const char *ours, const char *theirs)
{
    size_t i = 0;
    while (ours[i] != '\0' && ours[i] == theirs[i]) {
        i++;
    }
    size_t from = i < 200 ? 0 : i - 200;
    if (ours[i] != theirs[i]) {
        fail_msg("the tables differ:\n%.260s\n%.260s", ours + from, theirs + from);
    }
}

static inline uint64_t seed_of_this_run(void)
{
    const char *given = getenv("TEST_SEED");
    uint64_t seed = (uint64_t)getpid();
    if (given != NULL) {
        seed = strtoul(given, NULL, 10);
    }
    print_message("TEST_SEED=%" PRIu64 "\n", seed);
    return seed;
}

static inline void append_cell(char *text, const char *cell)
{
    size_t length = strlen(text);
    snprintf(text + length, TABLE_BYTES - length, "%s|", cell == NULL ? "NULL" : cell);
}

/* So many tables of the embedded store. */
static inline void read_embedded(const struct fixture *fixture, size_t tables,
                                 char ret_text[TABLE_BYTES])
{
    sqlite3 *file = NULL;
    ret_text[0] = '\0';
    assert_int_equal(sqlite3_open_v2(fixture->path, &file, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    for (size_t i = 0; i < tables; i++) {
        sqlite3_stmt *rows = NULL;
        assert_int_equal(sqlite3_prepare_v2(file, table_queries[i], -1, &rows, NULL), SQLITE_OK);
        while (sqlite3_step(rows) == SQLITE_ROW) {
            for (int column = 0; column < sqlite3_column_count(rows); column++) {
                append_cell(ret_text, (const char *)sqlite3_column_text(rows, column));
            }
        }
        sqlite3_finalize(rows);
    }
    sqlite3_close(file);
}
