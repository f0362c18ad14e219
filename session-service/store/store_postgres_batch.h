/* A batch of events beside what PostgreSQL knows of their ids and their users: both in the order
 * of their keys, which is the order in which rows are locked and written. Knows no connection.
 *
 *     batch_begin -> ids and users are asked for -> batch_mark_new, batch_mark_known,
 *     batch_find_user, batch_find_hash -> batch_fold -> what changed is written */
#pragma once

#include "session-service/store/store_postgres_fold.h"

struct batch_item {
    const struct store_event *event;
    unsigned char hash[DIGEST_BYTES]; /* of the payload, where it has an id */
    size_t first;                     /* the first item with its id; itself where it has none */
    size_t user;
    char session_id[MESSAGE_ID_TEXT_BYTES]; /* for a session that it may open */
    /* Of a first item: whether its id is new, or else with which payload it is known. */
    bool is_new, is_known;
    unsigned char known_hash[DIGEST_BYTES];
};

struct postgres_batch {
    struct batch_item *items; /* in the order of the events */
    size_t count, room;
    size_t *ids; /* the first item of each id, by id */
    size_t id_count;
    size_t *by_user;         /* the items, by the user's key */
    struct fold_user *users; /* by key; no key twice */
    size_t user_count;
    size_t bytes; /* of all texts */
    struct message_id_generator generator;
};

/* Freed with batch_done(); a zeroed struct is an empty batch. */
void batch_done(struct postgres_batch *batch);

/* Borrows the events until the next batch. BUSY: no memory. */
MUST_CHECK enum outcome batch_begin(struct postgres_batch *batch, const struct store_event events[],
                                    size_t count, int64_t now_ms, struct error *ret_error);

/* The inbox had no such id, or has it with that payload. */
void batch_mark_new(struct postgres_batch *batch, struct slice message_id);
void batch_mark_known(struct postgres_batch *batch, struct slice message_id, struct slice hash);
/* The first item whose id is neither; NULL: there is none. */
const struct batch_item *batch_find_unmarked(const struct postgres_batch *batch, size_t *position);

/* NULL: none of the batch. */
struct fold_user *batch_find_user(struct postgres_batch *batch, struct slice key);
struct fold_user *batch_find_hash(struct postgres_batch *batch, struct slice hash_text);

/* Applies the events in their order to the users. Borrows the texts of both. */
void batch_fold(struct postgres_batch *batch, const struct fold_rules *rules,
                struct store_effect ret_effects[]);
