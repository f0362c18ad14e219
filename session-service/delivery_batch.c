/* An arena of chunks, so that a copy costs no allocation and never moves. */
#include "session-service/delivery_batch.h"

#include <stdlib.h>

enum { CHUNK_BYTES = 256 * 1024 };

struct batch_chunk {
    SLIST_ENTRY(batch_chunk) next;
    size_t used, capacity;
    char bytes[];
};

enum outcome delivery_batch_init(struct delivery_batch *batch, struct error *ret_error)
{
    *batch = (struct delivery_batch){
        .items = calloc(BATCH_DELIVERIES_MAX, sizeof(*batch->items)),
    };
    if (batch->items == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for a batch of deliveries");
    }
    return OUTCOME_OK;
}

void delivery_batch_done(struct delivery_batch *batch)
{
    struct batch_chunk *chunk = NULL;
    while ((chunk = SLIST_FIRST(&batch->chunks)) != NULL) {
        SLIST_REMOVE_HEAD(&batch->chunks, next);
        free(chunk);
    }
    free(batch->items);
    *batch = (struct delivery_batch){0};
}

void delivery_batch_clear(struct delivery_batch *batch)
{
    struct batch_chunk *chunk = NULL;
    struct batch_chunk *kept = NULL;
    while ((chunk = SLIST_FIRST(&batch->chunks)) != NULL) {
        SLIST_REMOVE_HEAD(&batch->chunks, next);
        if (kept == NULL && chunk->capacity == CHUNK_BYTES) {
            kept = chunk;
        } else {
            free(chunk);
        }
    }
    if (kept != NULL) {
        kept->used = 0;
        SLIST_INSERT_HEAD(&batch->chunks, kept, next);
    }
    batch->count = batch->next = batch->bytes = 0;
}

static size_t bytes_of(const struct broker_delivery *delivery)
{
    const struct message *message = &delivery->message;
    size_t bytes = delivery->raw_properties.length + message->body.length +
                   message->message_id.length + message->content_type.length +
                   message->content_encoding.length + message->type.length + message->app_id.length;
    for (size_t i = 0; i < message->header_count; i++) {
        bytes += message->headers[i].name.length;
        if (message->headers[i].type == MESSAGE_HEADER_TEXT) {
            bytes += message->headers[i].text.length;
        }
    }
    return bytes;
}

/* Makes sure that the first chunk has room. */
static bool reserve(struct delivery_batch *batch, size_t bytes)
{
    struct batch_chunk *chunk = SLIST_FIRST(&batch->chunks);
    if (chunk != NULL && chunk->capacity - chunk->used >= bytes) {
        return true;
    }
    size_t capacity = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
    chunk = malloc(sizeof(*chunk) + capacity);
    if (chunk == NULL) {
        return false;
    }
    chunk->used = 0;
    chunk->capacity = capacity;
    SLIST_INSERT_HEAD(&batch->chunks, chunk, next);
    return true;
}

static void copy(struct batch_chunk *chunk, struct slice *slice)
{
    if (slice->length > 0) {
        char *at = chunk->bytes + chunk->used;
        memcpy(at, slice->data, slice->length);
        chunk->used += slice->length;
        slice->data = at;
    }
}

enum outcome delivery_batch_add(struct delivery_batch *batch,
                                const struct broker_delivery *delivery, struct error *ret_error)
{
    size_t bytes = bytes_of(delivery);
    if (batch->count == BATCH_DELIVERIES_MAX || !reserve(batch, bytes)) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory to keep a message of %zu bytes",
                         delivery->message.body.length);
    }
    struct batch_item *item = &batch->items[batch->count];
    *item = (struct batch_item){.delivery = *delivery};
    struct message *message = &item->delivery.message;
    struct batch_chunk *chunk = SLIST_FIRST(&batch->chunks);
    copy(chunk, &item->delivery.raw_properties);
    copy(chunk, &message->body);
    copy(chunk, &message->message_id);
    copy(chunk, &message->content_type);
    copy(chunk, &message->content_encoding);
    copy(chunk, &message->type);
    copy(chunk, &message->app_id);
    for (size_t i = 0; i < message->header_count; i++) {
        copy(chunk, &message->headers[i].name);
        if (message->headers[i].type == MESSAGE_HEADER_TEXT) {
            copy(chunk, &message->headers[i].text);
        }
    }
    batch->count++;
    batch->bytes += bytes;
    return OUTCOME_OK;
}

bool delivery_batch_is_full(const struct delivery_batch *batch)
{
    return batch->count == BATCH_DELIVERIES_MAX || batch->bytes >= BATCH_BYTES_MAX;
}
