/* An arena of chunks, so that a copy costs no allocation and never moves. */
#include "session-service/delivery_batch.h"

#include <stdlib.h>

enum { CHUNK_BYTES = 256 * 1024 };

struct batch_chunk {
    struct batch_chunk *next;
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
    while (batch->chunks != NULL) {
        struct batch_chunk *chunk = batch->chunks;
        batch->chunks = chunk->next;
        free(chunk);
    }
    free(batch->items);
    *batch = (struct delivery_batch){0};
}

void delivery_batch_clear(struct delivery_batch *batch)
{
    struct batch_chunk *kept = NULL;
    while (batch->chunks != NULL) {
        struct batch_chunk *chunk = batch->chunks;
        batch->chunks = chunk->next;
        if (kept == NULL && chunk->capacity == CHUNK_BYTES) {
            kept = chunk;
            kept->used = 0;
            kept->next = NULL;
        } else {
            free(chunk);
        }
    }
    batch->chunks = kept;
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
    struct batch_chunk *chunk = batch->chunks;
    if (chunk != NULL && chunk->capacity - chunk->used >= bytes) {
        return true;
    }
    size_t capacity = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
    chunk = malloc(sizeof(*chunk) + capacity);
    if (chunk == NULL) {
        return false;
    }
    chunk->next = batch->chunks;
    chunk->used = 0;
    chunk->capacity = capacity;
    batch->chunks = chunk;
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
    copy(batch->chunks, &item->delivery.raw_properties);
    copy(batch->chunks, &message->body);
    copy(batch->chunks, &message->message_id);
    copy(batch->chunks, &message->content_type);
    copy(batch->chunks, &message->content_encoding);
    copy(batch->chunks, &message->type);
    copy(batch->chunks, &message->app_id);
    for (size_t i = 0; i < message->header_count; i++) {
        copy(batch->chunks, &message->headers[i].name);
        if (message->headers[i].type == MESSAGE_HEADER_TEXT) {
            copy(batch->chunks, &message->headers[i].text);
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
