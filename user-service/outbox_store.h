/* The outbox's file holds the events that were accepted and are not confirmed yet, in their order.
 *
 *          outbox_store_begin    insert, delete ...    outbox_store_commit
 *  idle ----------------------> in a transaction -----------------------> idle
 *                                     |  any failure: outbox_store_rollback
 *
 * The first begin that can opens the file. After a failure that leaves in doubt what is on disk,
 * the file is closed and opened again. outbox_store_content() does not read the file. One thread at
 * a time. */
#pragma once

#include "common/base/named_file.h"
#include "user-service/event.h"

struct database_progress; /* database.h */
struct outbox_store;

struct outbox_store_options {
    const char *directory;         /* borrowed; held by this process */
    const struct named_file *lock; /* borrowed: by which it is held; NULL: by none */
    int64_t bytes_max;             /* of the events in it; more is BUSY */
    int64_t free_bytes_min;        /* on its file system: with less nothing more is taken */
};

/* Returns whether there is a file to open. Opening creates it. */
MUST_CHECK bool outbox_store_exists(const struct outbox_store *store);

/* Returns an owned store. Opens nothing. INVALID: the path is too long. */
MUST_CHECK enum outcome outbox_store_create(const struct outbox_store_options *options,
                                            struct outbox_store **ret_store,
                                            struct error *ret_error);
/* Rolls back, closes the file, and frees the store. NULL is fine. */
void outbox_store_free(struct outbox_store *store);

/* Opens the file if it is not open. INVALID: the file needs an operator, because it is damaged, of
 * another program, or newer than this program. BUSY, TRANSIENT, BROKEN: try again later. */
MUST_CHECK enum outcome outbox_store_open(struct outbox_store *store, struct error *ret_error);

/* Begins a transaction, and opens the file if it is not open. The outcomes are those of
 * outbox_store_open(). */
MUST_CHECK enum outcome outbox_store_begin(struct outbox_store *store, struct error *ret_error);
/* BUSY: the transaction did not take effect. TRANSIENT: it did, but in files that the next process
 * would not find. After any other failure it is unknown whether the transaction will be in the file
 * when the file is opened again. */
MUST_CHECK enum outcome outbox_store_commit(struct outbox_store *store, struct error *ret_error);
/* Ends a transaction that failed with the outcome `why`. Outside of a transaction it does no
 * harm. */
void outbox_store_rollback(struct outbox_store *store, enum outcome why);

/* TRANSIENT: the next process would not find the file (database.h). What is in it can be read and
 * deleted all the same. In no transaction. */
MUST_CHECK enum outcome outbox_store_in_place(struct outbox_store *store, struct error *ret_error);
/* While it is not in place: whether what it holds is in no file that the next process finds. */
MUST_CHECK bool outbox_store_is_out_of_reach(const struct outbox_store *store);
/* While it is not in place: whether another process may write to it at the same time. Nothing is
 * deleted then. What is read may be torn, so it is not forwarded. */
MUST_CHECK bool outbox_store_is_contested(const struct outbox_store *store);
/* Whether there is a directory to write to. */
MUST_CHECK bool outbox_store_has_directory(const struct outbox_store *store);
/* Writes what it holds to a new file, whose path is the text then: where the next process looks for
 * it, if nothing stands there. A failure leaves nothing behind. In no transaction. */
MUST_CHECK enum outcome outbox_store_write_out(struct outbox_store *store, int64_t now_ms,
                                               struct database_progress *progress,
                                               struct error *ret_path);

/* Both are called in a transaction. */
MUST_CHECK enum outcome outbox_store_insert(struct outbox_store *store, const struct event *event,
                                            struct error *ret_error);
MUST_CHECK enum outcome outbox_store_delete(struct outbox_store *store, int64_t sequence,
                                            struct error *ret_error);

/* Checks whether `bytes` more bytes may be stored now. BUSY: a limit is reached, and the text says
 * which. TRANSIENT: it cannot be known. */
MUST_CHECK enum outcome outbox_store_check_room(struct outbox_store *store, int64_t bytes,
                                                struct error *ret_error);
/* Returns how many bytes an event counts as. */
int64_t outbox_store_bytes_of(const struct event *event);

struct outbox_store_row {
    int64_t sequence;    /* 0: there is none */
    struct event *event; /* owned by the caller, `outbox_sequence` set; NULL: the row is no event */
};

/* Reads the first row after `sequence`, outside of a transaction. A row that is no event is OK too.
 * The text then says why it is none, and the row stays as it is. */
MUST_CHECK enum outcome outbox_store_next(struct outbox_store *store, int64_t sequence,
                                          struct outbox_store_row *ret_row,
                                          struct error *ret_error);

/* What the outbox holds after the last commit. */
struct outbox_store_content {
    int64_t events;    /* how many, with rows that are no events */
    int64_t bytes;     /* as outbox_store_bytes_of() counts them */
    int64_t oldest_ms; /* the wall time at which the first was accepted; 0: there is none */
};
void outbox_store_content(const struct outbox_store *store,
                          struct outbox_store_content *ret_content);
