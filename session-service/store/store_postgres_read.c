/* The first pipeline of a batch, and the question that only a known id needs. */
#include "session-service/store/store_postgres_read.h"

#include <stdlib.h>

void postgres_read_done(struct postgres_read *read)
{
    PQclear(read->users);
    PQclear(read->tombstones);
    PQclear(read->transaction);
    *read = (struct postgres_read){.users = NULL};
}

static enum outcome send_ids(struct postgres_columns *columns, struct postgres *postgres,
                             const struct postgres_batch *batch, int64_t now_ms,
                             struct error *ret_error)
{
    postgres_columns_begin(columns, "tb");
    for (size_t i = 0; i < batch->id_count; i++) {
        const struct batch_item *item = &batch->items[batch->ids[i]];
        postgres_array_add(&columns->arrays[0], item->event->message_id);
        postgres_array_add(&columns->arrays[1],
                           (struct slice){(const char *)item->hash, DIGEST_BYTES});
    }
    return postgres_columns_send(columns, postgres, POSTGRES_INSERT_INBOX, &now_ms, ret_error);
}

static int compare_locks(const void *left, const void *right)
{
    int64_t one = *(const int64_t *)left;
    int64_t other = *(const int64_t *)right;
    return (one > other) - (one < other);
}

/* A user who is not there has no row to lock: the lock is of his key. */
static enum outcome send_locks(struct postgres_columns *columns, struct postgres *postgres,
                               const struct postgres_batch *batch, struct error *ret_error)
{
    int64_t *locks = calloc(batch->user_count + 1, sizeof(*locks));
    if (locks == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the locks of a batch");
    }
    for (size_t i = 0; i < batch->user_count; i++) {
        const char *hash = (const char *)batch->users[i].hash;
        locks[i] = postgres_read_integer((struct slice){hash, POSTGRES_INTEGER_BYTES});
    }
    qsort(locks, batch->user_count, sizeof(*locks), compare_locks);
    postgres_columns_begin(columns, "i");
    for (size_t i = 0; i < batch->user_count; i++) {
        postgres_array_add_integer(&columns->arrays[0], locks[i]);
    }
    free(locks);
    return postgres_columns_send(columns, postgres, POSTGRES_LOCK_USERS, NULL, ret_error);
}

static enum outcome send_users(struct postgres_columns *columns, struct postgres *postgres,
                               const struct postgres_batch *batch, struct error *ret_error)
{
    postgres_columns_begin(columns, "t");
    for (size_t i = 0; i < batch->user_count; i++) {
        postgres_array_add(&columns->arrays[0], batch->users[i].key);
    }
    enum outcome outcome =
        postgres_columns_send(columns, postgres, POSTGRES_SELECT_USERS, NULL, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    postgres_columns_begin(columns, "t");
    for (size_t i = 0; i < batch->user_count; i++) {
        char hash[DIGEST_TEXT_BYTES];
        digest_text(batch->users[i].hash, hash);
        postgres_array_add(&columns->arrays[0], slice_of(hash));
    }
    return postgres_columns_send(columns, postgres, POSTGRES_SELECT_TOMBSTONES, NULL, ret_error);
}

static enum outcome send_questions(struct postgres_columns *columns, struct postgres *postgres,
                                   const struct postgres_batch *batch, int64_t now_ms,
                                   struct error *ret_error)
{
    enum outcome outcome = postgres_send(postgres, POSTGRES_BEGIN, NULL, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = send_ids(columns, postgres, batch, now_ms, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = send_locks(columns, postgres, batch, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = send_users(columns, postgres, batch, ret_error);
    }
    return outcome == OUTCOME_OK ? postgres_sync(postgres, ret_error) : outcome;
}

static void read_user(struct postgres_batch *batch, const PGresult *rows, int row)
{
    struct fold_user *user = batch_find_user(batch, postgres_field(rows, row, 0));
    if (user == NULL) {
        return;
    }
    user->had_row = true;
    user->row = (struct fold_row){
        .is_there = true,
        .has_floor = !PQgetisnull(rows, row, 2),
        .has_session = !PQgetisnull(rows, row, 5),
        .saved_at_ms = postgres_field_integer(rows, row, 1),
        .floor_ms = postgres_field_integer(rows, row, 2),
        .message_id = postgres_field(rows, row, 3),
        .saves = postgres_field_integer(rows, row, 4),
        .session_id = postgres_field(rows, row, 5),
        .opened_at_ms = postgres_field_integer(rows, row, 6),
        .extended_at_ms = postgres_field_integer(rows, row, 7),
        .expires_at_ms = postgres_field_integer(rows, row, 8),
        .session_saves = postgres_field_integer(rows, row, 9),
    };
}

static void read_tombstone(struct postgres_batch *batch, const PGresult *rows, int row)
{
    struct fold_user *user = batch_find_hash(batch, postgres_field(rows, row, 0));
    if (user != NULL) {
        user->had_tombstone = true;
        user->tombstone = (struct fold_tombstone){
            .is_there = true,
            .deleted_at_ms = postgres_field_integer(rows, row, 1),
            .message_id = postgres_field(rows, row, 2),
            .handled_at_ms = postgres_field_integer(rows, row, 3),
        };
    }
}

static enum outcome read_ids(struct postgres *postgres, struct postgres_batch *batch,
                             struct error *ret_error)
{
    PGresult *ids = NULL;
    enum outcome outcome = postgres_next(postgres, &ids, ret_error);
    for (int i = 0; outcome == OUTCOME_OK && i < PQntuples(ids); i++) {
        batch_mark_new(batch, postgres_field(ids, i, 0));
    }
    PQclear(ids);
    return outcome;
}

static enum outcome read_answers(struct postgres_read *read, struct postgres *postgres,
                                 struct postgres_batch *batch, struct error *ret_error)
{
    enum outcome outcome = postgres_next(postgres, NULL, ret_error); /* begin */
    if (outcome == OUTCOME_OK) {
        outcome = read_ids(postgres, batch, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = postgres_next(postgres, &read->transaction, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = postgres_next(postgres, &read->users, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = postgres_next(postgres, &read->tombstones, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = postgres_end(postgres, ret_error);
    }
    for (int i = 0; outcome == OUTCOME_OK && i < PQntuples(read->users); i++) {
        read_user(batch, read->users, i);
    }
    for (int i = 0; outcome == OUTCOME_OK && i < PQntuples(read->tombstones); i++) {
        read_tombstone(batch, read->tombstones, i);
    }
    return outcome;
}

static enum outcome read_hashes(struct postgres *postgres, struct postgres_batch *batch,
                                struct error *ret_error)
{
    PGresult *hashes = NULL;
    size_t position = 0;
    enum outcome outcome = postgres_next(postgres, &hashes, ret_error);
    for (int i = 0; outcome == OUTCOME_OK && i < PQntuples(hashes); i++) {
        batch_mark_known(batch, postgres_field(hashes, i, 0), postgres_field(hashes, i, 1));
    }
    PQclear(hashes);
    if (outcome == OUTCOME_OK) {
        outcome = postgres_end(postgres, ret_error);
    }
    if (outcome == OUTCOME_OK && batch_find_unmarked(batch, &position) != NULL) {
        return error_set(ret_error, OUTCOME_TRANSIENT,
                         "an id was pruned from the inbox while it was looked for");
    }
    return outcome;
}

/* In a new statement: the one that has not inserted an id may not see who has. */
static enum outcome ask_for_hashes(struct postgres_columns *columns, struct postgres *postgres,
                                   struct postgres_batch *batch, struct error *ret_error)
{
    size_t position = 0;
    const struct batch_item *item = NULL;
    postgres_columns_begin(columns, "t");
    while ((item = batch_find_unmarked(batch, &position)) != NULL) {
        postgres_array_add(&columns->arrays[0], item->event->message_id);
    }
    if (columns->arrays[0].count == 0) {
        return OUTCOME_OK;
    }
    enum outcome outcome =
        postgres_columns_send(columns, postgres, POSTGRES_SELECT_HASHES, NULL, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = postgres_sync(postgres, ret_error);
    }
    return outcome == OUTCOME_OK ? read_hashes(postgres, batch, ret_error) : outcome;
}

enum outcome postgres_read(struct postgres_read *read, struct postgres_columns *columns,
                           struct postgres *postgres, struct postgres_batch *batch, int64_t now_ms,
                           struct error *ret_error)
{
    enum outcome outcome = send_questions(columns, postgres, batch, now_ms, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = read_answers(read, postgres, batch, ret_error);
    }
    return outcome == OUTCOME_OK ? ask_for_hashes(columns, postgres, batch, ret_error) : outcome;
}
