/* The digest of a batch, and two questions to the database. */
#include "session-service/store/store_postgres_doubt.h"

#include <stdlib.h>

enum { DIGESTED_BYTES_MAX = 64 * 1024 * 1024 };

void postgres_doubt_clear(struct postgres_doubt *doubt)
{
    free(doubt->effects);
    *doubt = (struct postgres_doubt){.is_set = false};
}

static void copy_text(struct slice text, size_t size, char *ret_text)
{
    size_t length = text.length < size ? text.length : 0; /* what has no room is not there */
    memcpy(ret_text, text.length > 0 ? text.data : "", length);
    ret_text[length] = '\0';
}

void postgres_doubt_prepare(struct postgres_doubt *doubt, struct slice transaction,
                            struct slice evidence, int64_t now_ms)
{
    postgres_doubt_clear(doubt);
    doubt->now_ms = now_ms;
    copy_text(transaction, sizeof(doubt->transaction), doubt->transaction);
    copy_text(evidence, sizeof(doubt->evidence), doubt->evidence);
}

static void append(struct buffer *text, struct slice part)
{
    buffer_append(text, &part.length, sizeof(part.length));
    buffer_append_slice(text, part);
}

static bool digest_batch(const struct postgres_batch *batch, unsigned char ret_digest[DIGEST_BYTES])
{
    struct buffer text;
    bool is_ok = true;
    buffer_init(&text, DIGESTED_BYTES_MAX);
    for (size_t i = 0; is_ok && i < batch->count; i++) {
        const struct store_event *event = batch->items[i].event;
        unsigned char payload[DIGEST_BYTES];
        is_ok = digest_of(event->payload, payload, NULL) == OUTCOME_OK;
        buffer_append(&text, &event->change, sizeof(event->change));
        buffer_append(&text, &event->saved_at_ms, sizeof(event->saved_at_ms));
        append(&text, event->message_id);
        append(&text, event->user_key);
        append(&text, (struct slice){(const char *)payload, DIGEST_BYTES});
    }
    is_ok = is_ok && !text.failed && digest_of(buffer_slice(&text), ret_digest, NULL) == OUTCOME_OK;
    buffer_done(&text);
    return is_ok;
}

void postgres_doubt_set(struct postgres_doubt *doubt, const struct postgres_batch *batch,
                        const struct store_effect effects[])
{
    doubt->effects = calloc(batch->count, sizeof(*effects));
    if (doubt->effects == NULL || doubt->evidence[0] == '\0' ||
        !digest_batch(batch, doubt->batch)) {
        postgres_doubt_clear(doubt);
        return;
    }
    memcpy(doubt->effects, effects, batch->count * sizeof(*effects));
    doubt->count = batch->count;
    doubt->is_set = true;
}

static bool is_of(const struct postgres_doubt *doubt, const struct postgres_batch *batch)
{
    unsigned char digest[DIGEST_BYTES];
    return doubt->is_set && doubt->count == batch->count && digest_batch(batch, digest) &&
           memcmp(digest, doubt->batch, DIGEST_BYTES) == 0;
}

/* A number that this server has not given yet is an error, and no transaction that is under way. */
static enum outcome is_under_way(const struct postgres_doubt *doubt, struct postgres *postgres,
                                 bool *ret_is, struct error *ret_error)
{
    struct postgres_values values = {.count = 0};
    PGresult *result = NULL;
    postgres_add_text(&values, slice_of(doubt->transaction));
    enum outcome outcome =
        postgres_run(postgres, POSTGRES_TRANSACTION_STATUS, &values, &result, ret_error);
    *ret_is =
        outcome == OUTCOME_OK && slice_equal(postgres_field(result, 0, 0), slice_of("in progress"));
    PQclear(result);
    if (outcome != OUTCOME_OK && postgres->code[0] != '\0' && postgres_abandon(postgres)) {
        return OUTCOME_OK;
    }
    return outcome;
}

static enum outcome has_evidence(const struct postgres_doubt *doubt, struct postgres *postgres,
                                 bool *ret_has, struct error *ret_error)
{
    struct postgres_values values = {.count = 0};
    PGresult *result = NULL;
    postgres_add_text(&values, slice_of(doubt->evidence));
    postgres_add_integer(&values, doubt->now_ms);
    postgres_add_text(&values, slice_of(doubt->transaction));
    enum outcome outcome =
        postgres_run(postgres, POSTGRES_HAS_EVIDENCE, &values, &result, ret_error);
    if (outcome == OUTCOME_OK) {
        struct slice has = postgres_field(result, 0, 0);
        *ret_has = has.length == 1 && has.data[0] != '\0';
    }
    PQclear(result);
    return outcome;
}

enum outcome postgres_doubt_resolve(struct postgres_doubt *doubt, struct postgres *postgres,
                                    const struct postgres_batch *batch,
                                    struct store_effect ret_effects[], bool *ret_committed,
                                    struct error *ret_error)
{
    bool under_way = false;
    *ret_committed = false;
    if (!is_of(doubt, batch)) {
        postgres_doubt_clear(doubt);
        return OUTCOME_OK;
    }
    /* In this order: what has ended in between has left its evidence. */
    enum outcome outcome = is_under_way(doubt, postgres, &under_way, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = has_evidence(doubt, postgres, ret_committed, ret_error);
    }
    if (outcome == OUTCOME_OK && !*ret_committed && under_way) {
        return error_set(ret_error, OUTCOME_TRANSIENT,
                         "PostgreSQL has not finished the last COMMIT yet");
    }
    if (outcome == OUTCOME_OK && *ret_committed) {
        memcpy(ret_effects, doubt->effects, doubt->count * sizeof(*ret_effects));
    }
    if (outcome == OUTCOME_OK) {
        postgres_doubt_clear(doubt);
    }
    return outcome;
}
