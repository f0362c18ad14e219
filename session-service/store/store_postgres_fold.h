/* What events do to a user: the rules that the SQL of the embedded store has, over a user in
 * memory. Pure.
 *
 * All events of a batch are applied to what the database has of their users, one after the other,
 * and only the last state is written: a user is one row, however often he is in the batch. */
#pragma once

#include "session-service/store/store.h"
#include "session-service/store/store_order.h"

#include "common/base/digest.h"

/* A row of the table, without a body that is as it was. All texts are borrowed. */
struct fold_row {
    bool is_there;
    bool has_floor;
    bool has_session;
    int64_t saved_at_ms, floor_ms; /* floor_ms: with has_floor */
    struct slice message_id;       /* empty: the message had none */
    int64_t saves;
    struct slice session_id; /* this and what follows: with has_session */
    int64_t opened_at_ms, extended_at_ms, expires_at_ms, session_saves;
    struct slice body; /* with `writes_body` */
};

struct fold_tombstone {
    bool is_there;
    int64_t deleted_at_ms;
    struct slice message_id;
    int64_t handled_at_ms;
};

struct fold_user {
    struct slice key; /* borrowed */
    unsigned char hash[DIGEST_BYTES];
    struct fold_row row;
    struct fold_tombstone tombstone;
    /* What the database has, and where that is no longer so. */
    bool had_row, had_tombstone;
    bool writes_row, writes_body, writes_tombstone;
};

struct fold_rules {
    int64_t now_ms, session_ttl_ms, clock_tolerance_ms;
};

/* Applies an event of that user. `session_id` is a new one, for the case that a session is opened.
 * Borrows the event's texts, and that id. */
void fold_apply(struct fold_user *user, const struct store_event *event,
                const struct fold_rules *rules, struct slice session_id,
                struct store_effect *ret_effect);

/* The effect of an event that is not applied. */
struct store_effect fold_refuse(const struct store_event *event, const struct fold_rules *rules,
                                bool is_same);
