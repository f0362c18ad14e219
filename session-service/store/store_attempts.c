/* How often the handling of a message was begun and not finished. */
#include "session-service/store/store_internal.h"

enum outcome store_count_attempt(struct store *store, struct slice key, int64_t now_ms,
                                 int64_t *ret_count, struct error *ret_error)
{
    enum outcome outcome = store_begin(store, ret_error);
    if (outcome == OUTCOME_OK) {
        struct statement *count = database_statement(store->database, COUNT_ATTEMPT);
        statement_bind_text(count, 1, key);
        statement_bind_integer(count, 2, now_ms);
        bool row = false;
        outcome = statement_step(count, &row, ret_error);
        if (outcome == OUTCOME_OK && row) {
            *ret_count = statement_integer(count, 0);
            statement_reset(count);
        }
    }
    return store_end(store, outcome, ret_error);
}

enum outcome store_forget_attempts(struct store *store, struct slice key, struct error *ret_error)
{
    struct statement *forget = database_statement(store->database, FORGET_ATTEMPTS);
    statement_bind_text(forget, 1, key);
    return statement_run(forget, ret_error);
}
