/* What a redelivered message is measured by: whether the inbox knows it, and how often a process
 * died while it handled the message alone. */
#include "session-service/store/store_sqlite_internal.h"
#include "session-service/store/store_sqlite_statements.h"

enum outcome store_sqlite_inbox_has(struct store_sqlite *store, struct slice message_id,
                                    const unsigned char hash[DIGEST_BYTES], bool *ret_has,
                                    struct error *ret_error)
{
    struct statement *select = database_statement(store->database, SELECT_HASH);
    statement_bind_text(select, 1, message_id);
    bool is_found = false;
    *ret_has = false;
    enum outcome outcome = statement_step(select, &is_found, ret_error);
    if (outcome == OUTCOME_OK && is_found) {
        const struct slice same = {(const char *)hash, DIGEST_BYTES};
        *ret_has = slice_equal(statement_text(select, 0), same);
        statement_reset(select);
    }
    return outcome;
}

enum outcome store_sqlite_knows(struct store *base, struct slice message_id, struct slice payload,
                                bool *ret_known, struct error *ret_error)
{
    struct store_sqlite *store = store_sqlite_of(base);
    unsigned char hash[DIGEST_BYTES];
    enum outcome outcome = store_sqlite_look(store, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = digest_of(payload, hash, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = store_sqlite_inbox_has(store, message_id, hash, ret_known, ret_error);
    }
    return store_sqlite_end_look(store, outcome);
}

enum outcome store_sqlite_accuse(struct store *base, struct slice key, bool is_counted,
                                 int64_t now_ms, struct error *ret_error)
{
    struct store_sqlite *store = store_sqlite_of(base);
    enum outcome outcome = store_sqlite_begin(store, ret_error);
    if (outcome == OUTCOME_OK) {
        struct statement *accuse = database_statement(store->database, ACCUSE);
        statement_bind_text(accuse, 1, key);
        statement_bind_integer(accuse, 2, is_counted);
        statement_bind_integer(accuse, 3, now_ms);
        outcome = statement_run(accuse, ret_error);
    }
    return store_sqlite_end(store, outcome, ret_error);
}

enum outcome store_sqlite_find_attempts(struct store *base, struct slice key, bool *ret_accused,
                                        int64_t *ret_count, struct error *ret_error)
{
    struct store_sqlite *store = store_sqlite_of(base);
    enum outcome outcome = store_sqlite_look(store, ret_error);
    *ret_count = 0;
    if (outcome == OUTCOME_OK) {
        struct statement *find = database_statement(store->database, FIND_ATTEMPTS);
        statement_bind_text(find, 1, key);
        outcome = statement_step(find, ret_accused, ret_error);
        if (outcome == OUTCOME_OK && *ret_accused) {
            *ret_count = statement_integer(find, 0);
            statement_reset(find);
        }
    }
    return store_sqlite_end_look(store, outcome);
}

enum outcome store_sqlite_delete_attempts(struct store_sqlite *store, struct slice key,
                                          struct error *ret_error)
{
    struct statement *forget = database_statement(store->database, FORGET_ATTEMPTS);
    statement_bind_text(forget, 1, key);
    return statement_run(forget, ret_error);
}

enum outcome store_sqlite_forget_attempts(struct store *base, struct slice key,
                                          struct error *ret_error)
{
    struct store_sqlite *store = store_sqlite_of(base);
    enum outcome outcome = store_sqlite_begin(store, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = store_sqlite_delete_attempts(store, key, ret_error);
    }
    return store_sqlite_end(store, outcome, ret_error);
}
