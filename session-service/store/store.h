/* What handled messages have done, durable: the inbox, the users, and their sessions. No
 * name here says where that is kept, so that another store can stand behind this header.
 *
 *          store_begin      store_save_user ...       store_end
 *  idle -----------------> in a transaction -----------------------> idle
 *
 * The store is opened by the first store_begin() that can, and anew after a failure that leaves in
 * doubt what is on disk. One thread at a time. */
#pragma once

#include "common/base/error.h"
#include "common/base/message_id.h"
#include "common/base/named_file.h"
#include "common/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct store;

struct store_options {
    const char *directory;         /* borrowed; held by this process */
    const struct named_file *lock; /* borrowed: by which it is held; NULL: by none */
    int64_t session_ttl_ms;        /* a session ends this long after the last save */
    int64_t inbox_retention_ms;    /* how long ids, tombstones and attempts are kept */
    int64_t clock_tolerance_ms;    /* how far ahead a time may be and be believed */
};

/* Opens nothing. */
MUST_CHECK enum outcome store_create(const struct store_options *options, struct store **ret_store,
                                     struct error *ret_error);
/* Rolls back, closes the file, and frees the store. NULL is fine. */
void store_free(struct store *store);

/* Returns the path of the directory, borrowed. */
const char *store_directory(const struct store *store);

/* Opens the file if it is not open. INVALID: the file needs an operator, because it is damaged, of
 * another program, or newer than this program. BUSY, TRANSIENT, BROKEN: try again later. */
MUST_CHECK enum outcome store_open(struct store *store, struct error *ret_error);

/* Begins a transaction, and opens the store if it is not open. The outcomes are those of
 * store_open(). TRANSIENT also: the next process would not find the store (database.h). */
MUST_CHECK enum outcome store_begin(struct store *store, struct error *ret_error);
/* Ends a transaction. `outcome` says whether everything in it has succeeded. If it is OK, commits.
 * If it is not, or if the commit fails, rolls back. Returns the failure; BROKEN and INVALID also
 * close the store. TRANSIENT: it is committed to a store that the next process would not find. With
 * a failure it does no harm outside of a transaction. */
MUST_CHECK enum outcome store_end(struct store *store, enum outcome outcome,
                                  struct error *ret_error);

/* All borrowed. */
struct store_event {
    struct slice message_id; /* empty: bare, which is never a duplicate */
    struct slice payload;    /* the same id with another one is a conflict */
    struct slice user_key;   /* the user's id, or what stands for one */
    struct slice body;       /* JSON: the user as saved; a deletion needs none */
    int64_t saved_at_ms;     /* the time that the sender names; -1: none. See store_order.h */
};

enum store_result {
    STORE_APPLIED,
    STORE_DUPLICATE, /* this id was applied before, with the same payload */
    STORE_CONFLICT,  /* this id was applied before, with another payload: nothing is changed */
};

struct store_effect {
    enum store_result result;
    bool session_opened; /* false: one that was open goes on, or there is none */
    bool user_changed;   /* false: a newer save or deletion of the user is known, and stays */
    int64_t ahead_ms;    /* so far its time is ahead of now, and so is not believed; 0: it is not */
};

/* Saves the body as the user's state, and opens or extends a session. A user who was deleted at a
 * later time stays deleted. Is called in a transaction. */
MUST_CHECK enum outcome store_save_user(struct store *store, const struct store_event *event,
                                        int64_t now_ms, struct store_effect *ret_effect,
                                        struct error *ret_error);

/* Removes the user and the session, unless the user's state is newer. A tombstone, which holds the
 * time and no personal data, keeps older saves away for the retention of the inbox. Is called in a
 * transaction. */
MUST_CHECK enum outcome store_delete_user(struct store *store, const struct store_event *event,
                                          int64_t now_ms, struct store_effect *ret_effect,
                                          struct error *ret_error);

/* In a transaction: whether this id was applied before, with the same payload. */
MUST_CHECK enum outcome store_knows(struct store *store, struct slice message_id,
                                    struct slice payload, bool *ret_known, struct error *ret_error);

/* Remembers, in a transaction of its own, that a process died while it handled the message of that
 * key; counts it where the message was alone in hand. */
MUST_CHECK enum outcome store_accuse(struct store *store, struct slice key, bool is_counted,
                                     int64_t now_ms, struct error *ret_error);
/* In a transaction: whether the message was accused since it was handled, and how many deaths were
 * counted. */
MUST_CHECK enum outcome store_find_attempts(struct store *store, struct slice key,
                                            bool *ret_accused, int64_t *ret_count,
                                            struct error *ret_error);
/* Forgets the attempts, because the message was handled. Is called in a transaction. */
MUST_CHECK enum outcome store_forget_attempts(struct store *store, struct slice key,
                                              struct error *ret_error);

/* Prunes old inbox entries, old tombstones and expired sessions, in a transaction of its own. Looks
 * only at the next few rows in each call. */
MUST_CHECK enum outcome store_prune(struct store *store, int64_t now_ms, struct error *ret_error);
