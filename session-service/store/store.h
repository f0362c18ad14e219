/* What handled messages have done, durable: the inbox, the users, and their sessions. No
 * name here says where that is kept, so that another store can stand behind this header.
 *
 * Events are taken in batches. A batch takes effect whole or not at all, it is durable when
 * store_take() returns OK, and it may be given again, as often as it takes: what was applied is
 * found in the inbox. The store is opened by the first call that can, and anew after a failure that
 * leaves in doubt what is durable. One thread at a time. */
#pragma once

#include "session-service/store/store_partitions.h"

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
    const char *url;               /* of PostgreSQL; NULL or STORE_EMBEDDED: in the directory. This
                                    * and the next are borrowed for the life of the process */
    const char *password_file;     /* read at each connection to it; NULL: none */
    enum store_partitions partitions;
    int64_t session_ttl_ms;     /* a session ends this long after the last save */
    int64_t inbox_retention_ms; /* how long ids, tombstones and attempts are kept */
    int64_t clock_tolerance_ms; /* how far ahead a time may be and be believed */
};

#define STORE_EMBEDDED "sqlite"

/* Whether the store can be shared by several processes. */
MUST_CHECK bool store_is_shared(const char *url);

/* INVALID: the URL is none, or this build knows no such store. Opens nothing. */
MUST_CHECK enum outcome store_check(const struct store_options *options, struct error *ret_error);

/* Opens nothing. */
MUST_CHECK enum outcome store_create(const struct store_options *options, struct store **ret_store,
                                     struct error *ret_error);
/* Closes and frees the store. What was taken is durable. NULL is fine. */
void store_free(struct store *store);

/* Returns the path of the directory, borrowed. */
const char *store_directory(const struct store *store);

/* Opens the store if it is not open. INVALID: it needs an operator, because it is damaged, of
 * another program, or newer than this program. BUSY, TRANSIENT, BROKEN: try again later. */
MUST_CHECK enum outcome store_open(struct store *store, struct error *ret_error);

/* Whether the last call has found that the next process would not find the store. That lasts until
 * the same files are back, or the process is restarted. */
MUST_CHECK bool store_is_displaced(const struct store *store);

enum store_change {
    STORE_SAVE,   /* the body is the user's state, and a session is opened or extended. A user who
                     was deleted at a later time stays deleted */
    STORE_DELETE, /* the user and the session are removed, unless the user's state is newer. A
                     tombstone, which holds the time and no personal data, keeps older saves away
                     for the retention of the inbox */
};

/* All borrowed. */
struct store_event {
    enum store_change change;
    struct slice message_id;  /* empty: bare, which is never a duplicate */
    struct slice payload;     /* the same id with another one is a conflict */
    struct slice user_key;    /* the user's id, or what stands for one */
    struct slice body;        /* JSON: the user as saved; a deletion needs none */
    struct slice attempt_key; /* its attempts are forgotten with it; empty: it has none */
    int64_t saved_at_ms;      /* the time that the sender names; -1: none. See store_order.h */
};

enum store_result {
    STORE_APPLIED,
    STORE_DUPLICATE, /* this id was applied before, with the same payload */
    STORE_CONFLICT,  /* this id was applied before, with another payload: nothing is changed, and
                        its attempts are kept */
};

struct store_effect {
    enum store_result result;
    bool session_opened; /* false: one that was open goes on, or there is none */
    bool user_changed;   /* false: a newer save or deletion of the user is known, and stays */
    int64_t ahead_ms;    /* so far its time is ahead of now, and so is not believed; 0: it is not */
};

/* `begins` is called in each store_take() when what the events do to this process is over, and it
 * only waits for them to be durable: what ends the process from then on is no event. On the thread
 * of store_take(), which borrows the context. */
typedef void store_wait_begins(void *context);
void store_on_wait(struct store *store, store_wait_begins *begins, void *context);

/* `show_life` is called now and then while any call here waits for another host. On the thread of
 * the call, which borrows the context. False: the process is to end, and the call with it soon. */
typedef bool store_show_life(void *context);
void store_on_delay(struct store *store, store_show_life *show_life, void *context);

/* Writes what an operator should know of the store although it takes all, or "". Any thread. */
void store_warning(const struct store *store, struct error *ret_warning);

/* Applies the events in their order, all or none, and returns what each did. An id that comes twice
 * in a batch is a duplicate or a conflict the second time. `ret_effects` has room for `count`, and
 * means nothing after a failure. Without events it says whether any could be taken. A failure is
 * one of store_open(); the same events may then be given again. TRANSIENT also: the next process
 * would not find the store (database.h). */
MUST_CHECK enum outcome store_take(struct store *store, const struct store_event events[],
                                   size_t count, int64_t now_ms, struct store_effect ret_effects[],
                                   struct error *ret_error);

/* Whether this id was applied before, with the same payload. */
MUST_CHECK enum outcome store_knows(struct store *store, struct slice message_id,
                                    struct slice payload, bool *ret_known, struct error *ret_error);

/* Remembers that a process died while it handled the message of that key; counts it where the
 * message was alone in hand. */
MUST_CHECK enum outcome store_accuse(struct store *store, struct slice key, bool is_counted,
                                     int64_t now_ms, struct error *ret_error);
/* Whether the message was accused since it was handled, and how many deaths were counted. */
MUST_CHECK enum outcome store_find_attempts(struct store *store, struct slice key,
                                            bool *ret_accused, int64_t *ret_count,
                                            struct error *ret_error);
/* Forgets the attempts of a message that needed no store_take(), because the inbox knows it. */
MUST_CHECK enum outcome store_forget_attempts(struct store *store, struct slice key,
                                              struct error *ret_error);

/* Prunes old inbox entries, old tombstones and expired sessions. Looks only at the next few rows in
 * each call. */
MUST_CHECK enum outcome store_prune(struct store *store, int64_t now_ms, struct error *ret_error);
