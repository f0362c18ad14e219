/* What the store in PostgreSQL makes of events, without a database: beside the embedded store,
 * whose SQL has the same rules, and the order of what is locked and written. */
#include "session-service/store/store_postgres_batch.h"

#include "tests/support/store_events.h"

enum { BATCHES = 200, IDS_MAX = 8192, USERS_MAX = 16 };

struct kept_user {
    char key[EVENT_TEXT_BYTES];
    struct fold_row row;
    struct fold_tombstone tombstone;
    char message_id[EVENT_TEXT_BYTES], session_id[MESSAGE_ID_TEXT_BYTES], body[EVENT_TEXT_BYTES];
    char deletion_id[EVENT_TEXT_BYTES];
};

struct memory {
    char ids[IDS_MAX][EVENT_TEXT_BYTES];
    unsigned char hashes[IDS_MAX][DIGEST_BYTES];
    size_t id_count;
    struct kept_user users[USERS_MAX];
    size_t user_count;
    struct postgres_batch batch;
};

static struct slice keep(struct slice text, char *ret_copy)
{
    if (text.data != ret_copy) {
        memcpy(ret_copy, text.length > 0 ? text.data : "", text.length);
        ret_copy[text.length] = '\0';
    }
    return (struct slice){ret_copy, text.length};
}

static struct kept_user *find_user(struct memory *memory, struct slice key)
{
    size_t i = 0;
    while (i < memory->user_count && !slice_equal(slice_of(memory->users[i].key), key)) {
        i++;
    }
    if (i == memory->user_count) {
        assert_true(i < USERS_MAX);
        keep(key, memory->users[i].key);
        memory->user_count++;
    }
    return &memory->users[i];
}

static void mark_ids(struct memory *memory)
{
    struct postgres_batch *batch = &memory->batch;
    for (size_t i = 0; i < batch->id_count; i++) {
        const struct batch_item *item = &batch->items[batch->ids[i]];
        struct slice id = item->event->message_id;
        size_t known = 0;
        while (known < memory->id_count && !slice_equal(slice_of(memory->ids[known]), id)) {
            known++;
        }
        if (known < memory->id_count) {
            batch_mark_known(batch, id,
                             (struct slice){(char *)memory->hashes[known], DIGEST_BYTES});
        } else {
            assert_true(known < IDS_MAX);
            keep(id, memory->ids[known]);
            memcpy(memory->hashes[known], item->hash, DIGEST_BYTES);
            memory->id_count++;
            batch_mark_new(batch, id);
        }
    }
}

static void read_users(struct memory *memory)
{
    struct postgres_batch *batch = &memory->batch;
    for (size_t i = 0; i < batch->user_count; i++) {
        struct fold_user *user = &batch->users[i];
        const struct kept_user *kept = find_user(memory, user->key);
        user->row = kept->row;
        user->had_row = kept->row.is_there;
        user->tombstone = kept->tombstone;
        user->had_tombstone = kept->tombstone.is_there;
        assert_ptr_equal(batch_find_user(batch, user->key), user);
    }
}

static void write_users(struct memory *memory)
{
    struct postgres_batch *batch = &memory->batch;
    for (size_t i = 0; i < batch->user_count; i++) {
        struct fold_user *user = &batch->users[i];
        struct kept_user *kept = find_user(memory, user->key);
        struct slice body = user->writes_body ? user->row.body : kept->row.body;
        if (!user->writes_row) {
            assert_true(kept->row.is_there == user->row.is_there);
        }
        kept->row = user->row;
        kept->tombstone = user->tombstone;
        if (kept->row.is_there) {
            kept->row.body = keep(body, kept->body);
            kept->row.message_id = keep(user->row.message_id, kept->message_id);
            kept->row.session_id = keep(user->row.session_id, kept->session_id);
        }
        kept->tombstone.message_id = keep(user->tombstone.message_id, kept->deletion_id);
    }
}

static void take_in_memory(struct memory *memory, const struct random_events *random,
                           struct store_effect ret_effects[])
{
    const struct fold_rules rules = {random->now_ms, TTL_MS, TOLERANCE_MS};
    size_t position = 0;
    assert_int_equal(
        batch_begin(&memory->batch, random->events, random->count, random->now_ms, NULL),
        OUTCOME_OK);
    mark_ids(memory);
    assert_null(batch_find_unmarked(&memory->batch, &position));
    read_users(memory);
    batch_fold(&memory->batch, &rules, ret_effects);
    write_users(memory);
}

static int compare_kept(const void *left, const void *right)
{
    return strcmp(((const struct kept_user *)left)->key, ((const struct kept_user *)right)->key);
}

static void append_number(char *text, int64_t number)
{
    char cell[24];
    snprintf(cell, sizeof(cell), "%" PRId64, number);
    append_cell(text, cell);
}

/* As the first of table_queries shows them. */
static void show_users(struct memory *memory, char ret_text[TABLE_BYTES])
{
    ret_text[0] = '\0';
    qsort(memory->users, memory->user_count, sizeof(memory->users[0]), compare_kept);
    for (size_t i = 0; i < memory->user_count; i++) {
        struct kept_user *kept = &memory->users[i];
        const struct fold_row *row = &kept->row;
        kept->row.body.data = kept->body; /* sorting has moved what they point to */
        kept->row.message_id.data = kept->message_id;
        kept->row.session_id.data = kept->session_id;
        kept->tombstone.message_id.data = kept->deletion_id;
        if (row->is_there) {
            append_cell(ret_text, kept->key);
            append_number(ret_text, row->saved_at_ms);
            if (row->has_floor) {
                append_number(ret_text, row->floor_ms);
            } else {
                append_cell(ret_text, NULL);
            }
            append_cell(ret_text, kept->message_id);
            append_number(ret_text, row->saves);
            append_number(ret_text, row->opened_at_ms);
            append_number(ret_text, row->extended_at_ms);
            append_number(ret_text, row->expires_at_ms);
            append_number(ret_text, row->session_saves);
            append_cell(ret_text, kept->body);
        }
    }
}

static void test_it_does_what_the_embedded_store_does(void **state)
{
    struct fixture *fixture = *state;
    static char ours[TABLE_BYTES], theirs[TABLE_BYTES];
    struct memory *memory = calloc(1, sizeof(*memory));
    struct random_events random = {.state = seed_of_this_run(), .now_ms = 1700000000000};
    for (int i = 0; i < BATCHES; i++) {
        struct store_effect in_memory[EVENTS_MAX], embedded[EVENTS_MAX];
        next_events(&random);
        assert_int_equal(
            store_take(fixture->store, random.events, random.count, random.now_ms, embedded, NULL),
            OUTCOME_OK);
        take_in_memory(memory, &random, in_memory);
        assert_same_effects(&random, in_memory, embedded);
        read_embedded(fixture, 1, theirs);
        show_users(memory, ours);
        assert_same_tables(ours, theirs);
    }
    batch_done(&memory->batch);
    free(memory);
}

/* Two batches never wait for each other where both go in this order. */
static void test_ids_and_users_are_in_the_order_of_their_bytes(void **state)
{
    (void)state;
    static const char *const ids[] = {"b", "\xc3\xa9", "B", "a", "b", "aa", "", "Z"};
    static const char *const users[] = {"z", "\xc3\xa9", "Z", "", "z", "zz", "a", "Z"};
    struct store_event events[8];
    struct postgres_batch batch = {.items = NULL};
    for (size_t i = 0; i < 8; i++) {
        events[i] = (struct store_event){.message_id = slice_of(ids[i]),
                                         .payload = slice_of("{}"),
                                         .user_key = slice_of(users[i]),
                                         .body = slice_of("{}"),
                                         .saved_at_ms = -1};
    }
    assert_int_equal(batch_begin(&batch, events, 8, T0, NULL), OUTCOME_OK);
    assert_int_equal(batch.id_count, 6); /* one twice, one bare */
    for (size_t i = 1; i < batch.id_count; i++) {
        assert_true(strcmp(batch.items[batch.ids[i - 1]].event->message_id.data,
                           batch.items[batch.ids[i]].event->message_id.data) < 0);
    }
    assert_int_equal(batch.user_count, 6);
    for (size_t i = 1; i < batch.user_count; i++) {
        assert_true(strcmp(batch.users[i - 1].key.data, batch.users[i].key.data) < 0);
    }
    assert_int_equal(batch.items[4].first, 0);
    batch_done(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_it_does_what_the_embedded_store_does, set_up,
                                        tear_down),
        cmocka_unit_test(test_ids_and_users_are_in_the_order_of_their_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
