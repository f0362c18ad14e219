/* From the users of a batch to the columns of statements. */
#include "session-service/store/store_postgres_write.h"

static void add_session(struct postgres_array arrays[], const struct fold_row *row)
{
    postgres_array_add(&arrays[0], row->session_id);
    postgres_array_add_integer(&arrays[1], row->opened_at_ms);
    postgres_array_add_integer(&arrays[2], row->extended_at_ms);
    postgres_array_add_integer(&arrays[3], row->expires_at_ms);
    postgres_array_add_integer(&arrays[4], row->session_saves);
}

/* Those who are there already, or the others. Whoever was saved has a session. */
static enum outcome write_users(struct postgres_columns *columns, struct postgres *postgres,
                                const struct postgres_batch *batch, bool had_row,
                                struct error *ret_error)
{
    struct postgres_array *arrays = columns->arrays;
    postgres_columns_begin(columns, "tiititiiiit");
    for (size_t i = 0; i < batch->user_count; i++) {
        const struct fold_user *user = &batch->users[i];
        const struct fold_row *row = &user->row;
        if (user->writes_row && row->is_there && user->writes_body && user->had_row == had_row) {
            postgres_array_add(&arrays[0], user->key);
            postgres_array_add_integer(&arrays[1], row->saved_at_ms);
            if (row->has_floor) {
                postgres_array_add_integer(&arrays[2], row->floor_ms);
            } else {
                postgres_array_add_null(&arrays[2]);
            }
            postgres_array_add(&arrays[3], row->message_id);
            postgres_array_add_integer(&arrays[4], row->saves);
            add_session(&arrays[5], row);
            postgres_array_add(&arrays[10], row->body);
        }
    }
    return columns->arrays[0].count == 0
               ? OUTCOME_OK
               : postgres_columns_send(columns, postgres,
                                       had_row ? POSTGRES_UPDATE_USERS : POSTGRES_INSERT_USERS,
                                       NULL, ret_error);
}

static enum outcome extend_users(struct postgres_columns *columns, struct postgres *postgres,
                                 const struct postgres_batch *batch, struct error *ret_error)
{
    struct postgres_array *arrays = columns->arrays;
    postgres_columns_begin(columns, "titiiii");
    for (size_t i = 0; i < batch->user_count; i++) {
        const struct fold_user *user = &batch->users[i];
        if (user->writes_row && user->row.is_there && !user->writes_body) {
            postgres_array_add(&arrays[0], user->key);
            postgres_array_add_integer(&arrays[1], user->row.saves);
            add_session(&arrays[2], &user->row);
        }
    }
    return columns->arrays[0].count == 0
               ? OUTCOME_OK
               : postgres_columns_send(columns, postgres, POSTGRES_EXTEND_USERS, NULL, ret_error);
}

static enum outcome delete_users(struct postgres_columns *columns, struct postgres *postgres,
                                 const struct postgres_batch *batch, struct error *ret_error)
{
    postgres_columns_begin(columns, "t");
    for (size_t i = 0; i < batch->user_count; i++) {
        const struct fold_user *user = &batch->users[i];
        if (user->writes_row && !user->row.is_there && user->had_row) {
            postgres_array_add(&columns->arrays[0], user->key);
        }
    }
    return columns->arrays[0].count == 0
               ? OUTCOME_OK
               : postgres_columns_send(columns, postgres, POSTGRES_DELETE_USERS, NULL, ret_error);
}

static enum outcome upsert_tombstones(struct postgres_columns *columns, struct postgres *postgres,
                                      const struct postgres_batch *batch, struct error *ret_error)
{
    struct postgres_array *arrays = columns->arrays;
    postgres_columns_begin(columns, "titi");
    for (size_t i = 0; i < batch->user_count; i++) {
        const struct fold_user *user = &batch->users[i];
        if (user->writes_tombstone && user->tombstone.is_there) {
            char hash[DIGEST_TEXT_BYTES];
            digest_text(user->hash, hash);
            postgres_array_add(&arrays[0], slice_of(hash));
            postgres_array_add_integer(&arrays[1], user->tombstone.deleted_at_ms);
            postgres_array_add(&arrays[2], user->tombstone.message_id);
            postgres_array_add_integer(&arrays[3], user->tombstone.handled_at_ms);
        }
    }
    return columns->arrays[0].count == 0
               ? OUTCOME_OK
               : postgres_columns_send(columns, postgres, POSTGRES_UPSERT_TOMBSTONES, NULL,
                                       ret_error);
}

static enum outcome delete_tombstones(struct postgres_columns *columns, struct postgres *postgres,
                                      const struct postgres_batch *batch, struct error *ret_error)
{
    postgres_columns_begin(columns, "t");
    for (size_t i = 0; i < batch->user_count; i++) {
        const struct fold_user *user = &batch->users[i];
        if (user->writes_tombstone && !user->tombstone.is_there && user->had_tombstone) {
            char hash[DIGEST_TEXT_BYTES];
            digest_text(user->hash, hash);
            postgres_array_add(&columns->arrays[0], slice_of(hash));
        }
    }
    return columns->arrays[0].count == 0
               ? OUTCOME_OK
               : postgres_columns_send(columns, postgres, POSTGRES_DELETE_TOMBSTONES, NULL,
                                       ret_error);
}

static enum outcome delete_attempts(struct postgres_columns *columns, struct postgres *postgres,
                                    const struct postgres_batch *batch,
                                    const struct store_effect effects[], struct error *ret_error)
{
    postgres_columns_begin(columns, "t");
    for (size_t i = 0; i < batch->count; i++) {
        struct slice key = batch->items[i].event->attempt_key;
        if (key.length > 0 && effects[i].result != STORE_CONFLICT) {
            postgres_array_add(&columns->arrays[0], key);
        }
    }
    return columns->arrays[0].count == 0
               ? OUTCOME_OK
               : postgres_columns_send(columns, postgres, POSTGRES_DELETE_ATTEMPTS, NULL,
                                       ret_error);
}

enum outcome postgres_write(struct postgres_columns *columns, struct postgres *postgres,
                            const struct postgres_batch *batch, const struct store_effect effects[],
                            struct error *ret_error)
{
    enum outcome outcome = write_users(columns, postgres, batch, false, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = write_users(columns, postgres, batch, true, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = extend_users(columns, postgres, batch, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = delete_users(columns, postgres, batch, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = upsert_tombstones(columns, postgres, batch, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = delete_tombstones(columns, postgres, batch, ret_error);
    }
    return outcome == OUTCOME_OK ? delete_attempts(columns, postgres, batch, effects, ret_error)
                                 : outcome;
}
