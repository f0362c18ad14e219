/* What an event does to the tables, in a transaction. */
#include "session-service/store/store_sqlite_internal.h"
#include "session-service/store/store_sqlite_statements.h"

#include "common/base/digest.h"

/* Begins an event: *ret_effect says whether it is to take effect, *ret_order where its place is. */
static enum outcome enter_inbox(struct store_sqlite *store, const struct store_event *event,
                                int64_t now_ms, struct store_order *ret_order,
                                struct store_effect *ret_effect, struct error *ret_error)
{
    *ret_order = store_order_of(event->message_id, event->saved_at_ms, now_ms,
                                store->store.options.clock_tolerance_ms);
    *ret_effect = (struct store_effect){.result = STORE_APPLIED, .ahead_ms = ret_order->ahead_ms};
    store->applied++;
    if (event->message_id.length == 0) {
        return OUTCOME_OK;
    }
    unsigned char hash[DIGEST_BYTES];
    enum outcome outcome = digest_of(event->payload, hash, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    struct statement *insert = database_statement(store->database, INSERT_INBOX);
    statement_bind_text(insert, 1, event->message_id);
    statement_bind_blob(insert, 2, hash, sizeof(hash));
    statement_bind_integer(insert, 3, now_ms);
    outcome = statement_run(insert, ret_error);
    if (outcome == OUTCOME_OK && database_changes(store->database) == 0) {
        bool is_same = false;
        outcome = store_sqlite_inbox_has(store, event->message_id, hash, &is_same, ret_error);
        ret_effect->result = is_same ? STORE_DUPLICATE : STORE_CONFLICT;
    }
    return outcome;
}

static enum outcome hash_user(const struct store_event *event, char ret_hash[DIGEST_TEXT_BYTES],
                              struct error *ret_error)
{
    unsigned char digest[DIGEST_BYTES];
    enum outcome outcome = digest_of(event->user_key, digest, ret_error);
    if (outcome == OUTCOME_OK) {
        digest_text(digest, ret_hash);
    }
    return outcome;
}

/* Binds where the place of a change is, as IS_AFTER reads it. */
static void bind_order(struct statement *statement, struct slice key,
                       const struct store_event *event, const struct store_order *order)
{
    statement_bind_text(statement, 1, key);
    statement_bind_integer(statement, 2, order->rank_ms);
    statement_bind_text(statement, 3, event->message_id);
    statement_bind_integer(statement, 4, order->latest_ms);
    statement_bind_integer(statement, 5, order->id_is_ours);
}

static void bind_floor(struct statement *statement, const struct store_order *order)
{
    if (order->by_arrival) {
        statement_bind_integer(statement, 6, order->floor_ms);
    }
}

/* Runs a statement that removes what the event is later than, and returns its time. */
static enum outcome replace(struct store_sqlite *store, enum statement_name name, struct slice key,
                            const struct store_event *event, struct store_order *order,
                            struct error *ret_error)
{
    struct statement *statement = database_statement(store->database, name);
    bind_order(statement, key, event, order);
    bool row = false;
    enum outcome outcome = statement_step(statement, &row, ret_error);
    if (outcome == OUTCOME_OK && row) {
        store_order_replaces(order, statement_integer(statement, 0));
        statement_reset(statement);
    }
    return outcome;
}

/* The user's state is below no tombstone that it has replaced. */
static enum outcome raise_floor(struct store_sqlite *store, const struct store_event *event,
                                const struct store_order *order, struct error *ret_error)
{
    struct statement *raise = database_statement(store->database, RAISE_FLOOR);
    statement_bind_text(raise, 1, event->user_key);
    statement_bind_integer(raise, 2, order->floor_ms);
    return statement_run(raise, ret_error);
}

/* A user who was not there has been saved: that ends an older deletion, and has no effect where the
 * deletion is newer. */
static enum outcome compare_with_tombstone(struct store_sqlite *store,
                                           const struct store_event *event,
                                           struct store_order *order, struct store_effect *effect,
                                           struct error *ret_error)
{
    char hash[DIGEST_TEXT_BYTES];
    int64_t floor_ms = order->floor_ms;
    enum outcome outcome = hash_user(event, hash, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = replace(store, DELETE_TOMBSTONE, slice_of(hash), event, order, ret_error);
    }
    if (outcome == OUTCOME_OK && order->by_arrival && order->floor_ms > floor_ms) {
        return raise_floor(store, event, order, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        struct statement *remove = database_statement(store->database, DELETE_BURIED_USER);
        statement_bind_text(remove, 1, event->user_key);
        statement_bind_text(remove, 2, slice_of(hash));
        outcome = statement_run(remove, ret_error);
    }
    if (outcome == OUTCOME_OK && database_changes(store->database) > 0) {
        effect->session_opened = effect->user_changed = false;
    }
    return outcome;
}

static void bind_state(struct statement *upsert, const struct store_sqlite *store,
                       const struct store_event *event, const struct store_order *order,
                       struct slice session_id, int64_t now_ms)
{
    bind_order(upsert, event->user_key, event, order);
    bind_floor(upsert, order);
    statement_bind_integer(upsert, 7, order->saved_at_ms);
    statement_bind_integer(upsert, 8, event->message_id.length > 0);
    statement_bind_text(upsert, 9, session_id);
    statement_bind_integer(upsert, 10, now_ms);
    statement_bind_integer(upsert, 11, now_ms + store->store.options.session_ttl_ms);
    statement_bind_text(upsert, 12, event->body);
}

static enum outcome upsert_user(struct store_sqlite *store, const struct store_event *event,
                                int64_t now_ms, struct store_order *order,
                                struct store_effect *effect, struct error *ret_error)
{
    char session_id[MESSAGE_ID_TEXT_BYTES];
    enum outcome outcome =
        message_id_generate(&store->ids, (uint64_t)now_ms, session_id, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = store_sqlite_ask_for_tombstones(store, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    bool counts = store->tombstones != TOMBSTONES_NONE;
    struct statement *upsert =
        database_statement(store->database, counts ? UPSERT_USER_AND_COUNT : UPSERT_USER);
    bind_state(upsert, store, event, order, slice_of(session_id), now_ms);
    bool row = false;
    bool may_be_new = false; /* one who is there has more saves, or had none with an id */
    outcome = statement_step(upsert, &row, ret_error);
    if (outcome == OUTCOME_OK && row) {
        effect->session_opened = statement_integer(upsert, 0) != 0;
        effect->user_changed = statement_integer(upsert, 1) != 0;
        may_be_new = counts && effect->session_opened && statement_integer(upsert, 2) <= 1;
        statement_reset(upsert);
    }
    return may_be_new ? compare_with_tombstone(store, event, order, effect, ret_error) : outcome;
}

static enum outcome bury_user(struct store_sqlite *store, const struct store_event *event,
                              int64_t now_ms, struct store_order *order,
                              struct store_effect *effect, struct error *ret_error)
{
    char hash[DIGEST_TEXT_BYTES];
    enum outcome outcome = hash_user(event, hash, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = replace(store, DELETE_USER, event->user_key, event, order, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        struct statement *insert = database_statement(store->database, INSERT_TOMBSTONE);
        bind_order(insert, event->user_key, event, order);
        bind_floor(insert, order);
        statement_bind_text(insert, 7, slice_of(hash));
        statement_bind_integer(insert, 8, now_ms);
        store->tombstones = TOMBSTONES_SOME;
        outcome = statement_run(insert, ret_error);
        effect->user_changed = outcome == OUTCOME_OK && database_changes(store->database) > 0;
    }
    return outcome;
}

static enum outcome change_user(struct store_sqlite *store, const struct store_event *event,
                                int64_t now_ms, struct store_order *order,
                                struct store_effect *effect, struct error *ret_error)
{
    switch (event->change) {
    case STORE_SAVE:
        return upsert_user(store, event, now_ms, order, effect, ret_error);
    case STORE_DELETE:
        return bury_user(store, event, now_ms, order, effect, ret_error);
    }
    return OUTCOME_OK;
}

enum outcome store_sqlite_apply(struct store_sqlite *store, const struct store_event *event,
                                int64_t now_ms, struct store_effect *ret_effect,
                                struct error *ret_error)
{
    struct store_order order;
    enum outcome outcome = enter_inbox(store, event, now_ms, &order, ret_effect, ret_error);
    if (outcome == OUTCOME_OK && ret_effect->result == STORE_APPLIED) {
        outcome = change_user(store, event, now_ms, &order, ret_effect, ret_error);
    }
    /* A conflict becomes a dead letter, and stays accused until that is confirmed. */
    if (outcome == OUTCOME_OK && ret_effect->result != STORE_CONFLICT &&
        event->attempt_key.length > 0) {
        outcome = store_sqlite_delete_attempts(store, event->attempt_key, ret_error);
    }
    return outcome;
}
