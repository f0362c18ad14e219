/* Sorting, finding, and which event is applied. */
#include "session-service/store/store_postgres_batch.h"

#include <stdlib.h>

void batch_done(struct postgres_batch *batch)
{
    free(batch->items);
    free(batch->ids);
    free(batch->by_user);
    free(batch->users);
    *batch = (struct postgres_batch){.items = NULL};
}

/* As COLLATE "C" orders texts. */
static int compare_texts(struct slice left, struct slice right)
{
    size_t shorter = left.length < right.length ? left.length : right.length;
    int order = shorter == 0 ? 0 : memcmp(left.data, right.data, shorter);
    return order != 0 ? order : (left.length > right.length) - (left.length < right.length);
}

static int compare_ids(const void *left, const void *right, void *context)
{
    const size_t *one = left;
    const size_t *other = right;
    const struct batch_item *items = context;
    int order = compare_texts(items[*one].event->message_id, items[*other].event->message_id);
    return order != 0 ? order : (*one > *other) - (*one < *other);
}

static int compare_users(const void *left, const void *right, void *context)
{
    const struct batch_item *items = context;
    return compare_texts(items[*(const size_t *)left].event->user_key,
                         items[*(const size_t *)right].event->user_key);
}

static bool grow(struct postgres_batch *batch, size_t room)
{
    if (room <= batch->room) {
        return true;
    }
    struct message_id_generator generator = batch->generator;
    batch_done(batch);
    batch->generator = generator;
    batch->items = calloc(room, sizeof(*batch->items));
    batch->ids = calloc(room, sizeof(*batch->ids));
    batch->by_user = calloc(room, sizeof(*batch->by_user));
    batch->users = calloc(room, sizeof(*batch->users));
    if (batch->items == NULL || batch->ids == NULL || batch->by_user == NULL ||
        batch->users == NULL) {
        return false;
    }
    batch->room = room;
    return true;
}

static enum outcome add_item(struct postgres_batch *batch, const struct store_event *event,
                             int64_t now_ms, struct error *ret_error)
{
    struct batch_item *item = &batch->items[batch->count];
    enum outcome outcome = OUTCOME_OK;
    *item = (struct batch_item){.event = event, .first = batch->count};
    batch->by_user[batch->count] = batch->count;
    if (event->message_id.length > 0) {
        batch->ids[batch->id_count++] = batch->count;
        outcome = digest_of(event->payload, item->hash, ret_error);
    }
    if (outcome == OUTCOME_OK && event->change == STORE_SAVE) {
        outcome =
            message_id_generate(&batch->generator, (uint64_t)now_ms, item->session_id, ret_error);
    }
    batch->count++;
    batch->bytes += event->user_key.length + event->message_id.length + event->body.length;
    return outcome;
}

/* Of items with the same id only the first stays in the list. */
static void sort_ids(struct postgres_batch *batch)
{
    size_t kept = 0;
    qsort_r(batch->ids, batch->id_count, sizeof(*batch->ids), compare_ids, batch->items);
    for (size_t i = 0; i < batch->id_count; i++) {
        struct batch_item *item = &batch->items[batch->ids[i]];
        const struct batch_item *last = kept > 0 ? &batch->items[batch->ids[kept - 1]] : NULL;
        if (last != NULL && slice_equal(last->event->message_id, item->event->message_id)) {
            item->first = batch->ids[kept - 1];
        } else {
            batch->ids[kept++] = batch->ids[i];
        }
    }
    batch->id_count = kept;
}

static enum outcome sort_users(struct postgres_batch *batch, struct error *ret_error)
{
    enum outcome outcome = OUTCOME_OK;
    qsort_r(batch->by_user, batch->count, sizeof(*batch->by_user), compare_users, batch->items);
    for (size_t i = 0; outcome == OUTCOME_OK && i < batch->count; i++) {
        struct batch_item *item = &batch->items[batch->by_user[i]];
        struct slice key = item->event->user_key;
        if (batch->user_count == 0 || !slice_equal(batch->users[batch->user_count - 1].key, key)) {
            struct fold_user *user = &batch->users[batch->user_count++];
            *user = (struct fold_user){.key = key};
            outcome = digest_of(key, user->hash, ret_error);
        }
        item->user = batch->user_count - 1;
    }
    return outcome;
}

enum outcome batch_begin(struct postgres_batch *batch, const struct store_event events[],
                         size_t count, int64_t now_ms, struct error *ret_error)
{
    batch->count = batch->id_count = batch->user_count = batch->bytes = 0;
    if (!grow(batch, count)) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for %zu events", count);
    }
    for (size_t i = 0; i < count; i++) {
        enum outcome outcome = add_item(batch, &events[i], now_ms, ret_error);
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
    }
    if (count == 0) {
        return OUTCOME_OK;
    }
    sort_ids(batch);
    return sort_users(batch, ret_error);
}

static struct batch_item *find_id(struct postgres_batch *batch, struct slice message_id)
{
    size_t begin = 0;
    size_t end = batch->id_count;
    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;
        struct batch_item *item = &batch->items[batch->ids[middle]];
        int order = compare_texts(message_id, item->event->message_id);
        if (order == 0) {
            return item;
        }
        begin = order > 0 ? middle + 1 : begin;
        end = order > 0 ? end : middle;
    }
    return NULL;
}

void batch_mark_new(struct postgres_batch *batch, struct slice message_id)
{
    struct batch_item *item = find_id(batch, message_id);
    if (item != NULL) {
        item->is_new = true;
    }
}

void batch_mark_known(struct postgres_batch *batch, struct slice message_id, struct slice hash)
{
    struct batch_item *item = find_id(batch, message_id);
    if (item != NULL && hash.length == DIGEST_BYTES) {
        item->is_known = true;
        memcpy(item->known_hash, hash.data, DIGEST_BYTES);
    }
}

const struct batch_item *batch_find_unmarked(const struct postgres_batch *batch, size_t *position)
{
    while (*position < batch->id_count) {
        const struct batch_item *item = &batch->items[batch->ids[(*position)++]];
        if (!item->is_new && !item->is_known) {
            return item;
        }
    }
    return NULL;
}

struct fold_user *batch_find_user(struct postgres_batch *batch, struct slice key)
{
    size_t begin = 0;
    size_t end = batch->user_count;
    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;
        int order = compare_texts(key, batch->users[middle].key);
        if (order == 0) {
            return &batch->users[middle];
        }
        begin = order > 0 ? middle + 1 : begin;
        end = order > 0 ? end : middle;
    }
    return NULL;
}

struct fold_user *batch_find_hash(struct postgres_batch *batch, struct slice hash_text)
{
    for (size_t i = 0; i < batch->user_count; i++) {
        char text[DIGEST_TEXT_BYTES];
        digest_text(batch->users[i].hash, text);
        if (slice_equal(slice_of(text), hash_text)) {
            return &batch->users[i];
        }
    }
    return NULL;
}

static bool is_applied(const struct postgres_batch *batch, const struct batch_item *item)
{
    bool is_bare = item->event->message_id.length == 0;
    return is_bare || (item == &batch->items[item->first] && item->is_new);
}

void batch_fold(struct postgres_batch *batch, const struct fold_rules *rules,
                struct store_effect ret_effects[])
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct batch_item *item = &batch->items[i];
        if (is_applied(batch, item)) {
            fold_apply(&batch->users[item->user], item->event, rules, slice_of(item->session_id),
                       &ret_effects[i]);
        } else {
            const struct batch_item *first = &batch->items[item->first];
            const unsigned char *hash = first->is_new ? first->hash : first->known_hash;
            bool is_same = memcmp(hash, item->hash, DIGEST_BYTES) == 0;
            ret_effects[i] = fold_refuse(item->event, rules, is_same);
        }
    }
}
