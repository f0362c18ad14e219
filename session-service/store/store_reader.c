/* Has each call done by the kind of the store. */
#include "session-service/store/store_reader.h"

#include "session-service/store/store_kind_internal.h"

enum outcome store_reader_create(const struct store *store, struct store_reader **ret_reader,
                                 struct error *ret_error)
{
    struct store_reader *reader = NULL;
    enum outcome outcome = store->kind->reader_create(store, &reader, ret_error);
    if (outcome == OUTCOME_OK) {
        reader->kind = store->kind;
        *ret_reader = reader;
    }
    return outcome;
}

void store_reader_free(struct store_reader *reader)
{
    if (reader != NULL) {
        reader->kind->reader_free(reader);
    }
}

enum outcome store_reader_ask(struct store_reader *reader, enum question question, struct slice key,
                              int64_t limit, int64_t now_ms, struct buffer *json, bool *ret_found,
                              struct error *ret_error)
{
    return reader->kind->reader_ask(reader, question, key, limit, now_ms, json, ret_found,
                                    ret_error);
}
