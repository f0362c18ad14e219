/* What a redelivered message is measured by: whether the inbox knows it, and how often a process
 * died while it handled the message alone. */
#include "session-service/store/store_postgres_connection.h"
#include "session-service/store/store_postgres_internal.h"

#include "common/base/digest.h"

/* One statement, in a call of its own. */
static enum outcome run_alone(struct store *base, enum postgres_statement name,
                              const struct postgres_values *values, PGresult **ret_result,
                              struct error *ret_error)
{
    struct store_postgres *store = store_postgres_of(base);
    enum outcome outcome = store_postgres_begin(store, 0, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = postgres_run(store->postgres, name, values, ret_result, ret_error);
        outcome = store_postgres_end(store, outcome);
    }
    return outcome;
}

/* `array` is to be freed by the caller. */
static void add_array_of(struct postgres_values *values, struct slice text,
                         struct postgres_array *array)
{
    postgres_array_init(array);
    postgres_array_begin(array, POSTGRES_TEXT);
    postgres_array_add(array, text);
    postgres_add_text(values, postgres_array_end(array));
}

static enum outcome run_with_array(struct store *base, enum postgres_statement name,
                                   struct slice text, PGresult **ret_result,
                                   struct error *ret_error)
{
    struct postgres_values values = {.count = 0};
    struct postgres_array array;
    add_array_of(&values, text, &array);
    enum outcome outcome = array.bytes.failed
                               ? error_set(ret_error, OUTCOME_BUSY, "no memory to ask PostgreSQL")
                               : run_alone(base, name, &values, ret_result, ret_error);
    buffer_done(&array.bytes);
    return outcome;
}

enum outcome store_postgres_knows(struct store *base, struct slice message_id, struct slice payload,
                                  bool *ret_known, struct error *ret_error)
{
    unsigned char hash[DIGEST_BYTES];
    PGresult *result = NULL;
    *ret_known = false;
    enum outcome outcome = digest_of(payload, hash, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = run_with_array(base, POSTGRES_SELECT_HASHES, message_id, &result, ret_error);
    }
    if (outcome == OUTCOME_OK && PQntuples(result) > 0) {
        const struct slice same = {(const char *)hash, DIGEST_BYTES};
        *ret_known = slice_equal(postgres_field(result, 0, 1), same);
    }
    PQclear(result);
    return outcome;
}

enum outcome store_postgres_accuse(struct store *base, struct slice key, bool is_counted,
                                   int64_t now_ms, struct error *ret_error)
{
    struct postgres_values values = {.count = 0};
    postgres_add_text(&values, key);
    postgres_add_integer(&values, is_counted);
    postgres_add_integer(&values, now_ms);
    return run_alone(base, POSTGRES_ACCUSE, &values, NULL, ret_error);
}

enum outcome store_postgres_find_attempts(struct store *base, struct slice key, bool *ret_accused,
                                          int64_t *ret_count, struct error *ret_error)
{
    struct postgres_values values = {.count = 0};
    PGresult *result = NULL;
    *ret_accused = false;
    *ret_count = 0;
    postgres_add_text(&values, key);
    enum outcome outcome = run_alone(base, POSTGRES_FIND_ATTEMPTS, &values, &result, ret_error);
    if (outcome == OUTCOME_OK && PQntuples(result) > 0) {
        *ret_accused = true;
        *ret_count = postgres_field_integer(result, 0, 0);
    }
    PQclear(result);
    return outcome;
}

enum outcome store_postgres_forget_attempts(struct store *base, struct slice key,
                                            struct error *ret_error)
{
    return run_with_array(base, POSTGRES_DELETE_ATTEMPTS, key, NULL, ret_error);
}
