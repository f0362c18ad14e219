/* A sorted array of at most `capacity` deliveries; settled ones leave at each take. */
#include "session-service/ack_window.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

enum outcome ack_window_init(struct ack_window *window, size_t capacity, struct error *ret_error)
{
    *window = (struct ack_window){
        .entries = calloc(capacity, sizeof(*window->entries)),
        .capacity = capacity,
        .acks = calloc(capacity, sizeof(*window->acks)),
        .read_us = calloc(capacity, sizeof(*window->read_us)),
    };
    if (window->entries == NULL || window->acks == NULL || window->read_us == NULL) {
        ack_window_done(window);
        return error_set(ret_error, OUTCOME_BUSY, "no memory for %zu deliveries", capacity);
    }
    return OUTCOME_OK;
}

void ack_window_done(struct ack_window *window)
{
    free(window->entries);
    free(window->acks);
    free(window->read_us);
    *window = (struct ack_window){0};
}

void ack_window_clear(struct ack_window *window)
{
    window->count = 0;
    window->last_tag = 0;
    window->held = 0;
}

enum outcome ack_window_add(struct ack_window *window, const struct ack_window_entry *entry,
                            struct error *ret_error)
{
    if (entry->tag != window->last_tag + 1) {
        return error_set(ret_error, OUTCOME_BROKEN,
                         "the broker sent delivery tag %" PRIu64 " after %" PRIu64, entry->tag,
                         window->last_tag);
    }
    if (window->count == window->capacity) {
        return error_set(ret_error, OUTCOME_BROKEN,
                         "the broker sent more than the prefetch of %zu deliveries",
                         window->capacity);
    }
    window->last_tag = entry->tag;
    window->entries[window->count++] = *entry;
    return OUTCOME_OK;
}

static int compare_tag(const void *key, const void *entry)
{
    uint64_t tag = *(const uint64_t *)key;
    uint64_t other = ((const struct ack_window_entry *)entry)->tag;
    return (tag > other) - (tag < other);
}

static struct ack_window_entry *find(const struct ack_window *window, uint64_t tag)
{
    return bsearch(&tag, window->entries, window->count, sizeof(window->entries[0]), compare_tag);
}

bool ack_window_is_open(const struct ack_window *window, uint64_t tag)
{
    const struct ack_window_entry *entry = find(window, tag);
    return entry != NULL && !entry->settled;
}

void ack_window_settle(struct ack_window *window, uint64_t tag)
{
    struct ack_window_entry *entry = find(window, tag);
    if (entry != NULL) {
        entry->settled = true;
    }
}

void ack_window_hold(struct ack_window *window, uint8_t consumer)
{
    window->held = consumer;
}

struct ack_window_share ack_window_share_of(const struct ack_window *window, uint8_t consumer)
{
    struct ack_window_share share = {0};
    for (size_t i = 0; i < window->count; i++) {
        const struct ack_window_entry *entry = &window->entries[i];
        share.count += entry->consumer == consumer ? 1 : 0;
        share.unsettled += entry->consumer == consumer && !entry->settled ? 1 : 0;
    }
    return share;
}

static bool is_due(const struct ack_window *window, const struct ack_window_entry *entry)
{
    return entry->settled && (window->held == 0 || entry->consumer != window->held);
}

struct ack_batch ack_window_take_acks(struct ack_window *window)
{
    struct ack_batch batch = {.acks = window->acks, .read_us = window->read_us};
    size_t prefix = 0;
    while (prefix < window->count && is_due(window, &window->entries[prefix])) {
        window->read_us[batch.delivery_count++] = window->entries[prefix].read_us;
        prefix++;
    }
    if (prefix > 0) {
        window->acks[batch.ack_count++] =
            (struct ack){.tag = window->entries[prefix - 1].tag, .multiple = prefix > 1};
    }
    size_t kept = 0;
    for (size_t i = prefix; i < window->count; i++) {
        const struct ack_window_entry *entry = &window->entries[i];
        if (is_due(window, entry)) {
            window->acks[batch.ack_count++] = (struct ack){.tag = entry->tag};
            window->read_us[batch.delivery_count++] = entry->read_us;
        } else {
            window->entries[kept++] = *entry;
        }
    }
    assert(batch.delivery_count + kept == window->count);
    window->count = kept;
    return batch;
}
