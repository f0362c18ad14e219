/* The outbox's file: events that were accepted and are not confirmed yet, in their order.
 *
 *          outbox_store_begin    insert, delete ...    outbox_store_commit
 *  idle ----------------------> in a transaction -----------------------> idle
 *                                     |  any failure: outbox_store_rollback
 *
 * The file is opened by the first begin that can, and anew after a failure that leaves in doubt
 * what is on disk. What it holds is known without asking it. One thread at a time. */
#pragma once

#include "user-service/event.h"

struct outbox_store;

struct outbox_store_options {
    const char *directory;  /* borrowed; held by this process */
    int64_t bytes_max;      /* of the events in it; more is BUSY */
    int64_t free_bytes_min; /* on its file system: with less nothing more is taken */
};

/* Whether there is a file to open; opening makes one. */
MUST_CHECK bool outbox_store_exists(const struct outbox_store *store);

/* Returns an owned store. Opens nothing. INVALID: the path is too long. */
MUST_CHECK enum outcome outbox_store_create(const struct outbox_store_options *options,
                                            struct outbox_store **ret_store,
                                            struct error *ret_error);
/* Rolls back. NULL is fine. */
void outbox_store_free(struct outbox_store *store);

/* Opens the file where it is not open. INVALID: never without a person (damaged, of another
 * program, newer). BUSY, TRANSIENT, BROKEN: not now. */
MUST_CHECK enum outcome outbox_store_open(struct outbox_store *store, struct error *ret_error);

/* Outcomes as for outbox_store_open(). */
MUST_CHECK enum outcome outbox_store_begin(struct outbox_store *store, struct error *ret_error);
/* After anything but OK and BUSY it is not known whether the transaction will be there when the
 * file is opened again. */
MUST_CHECK enum outcome outbox_store_commit(struct outbox_store *store, struct error *ret_error);
/* Ends a transaction that failed with the outcome `why`. Outside of one it does no harm. */
void outbox_store_rollback(struct outbox_store *store, enum outcome why);

/* In a transaction. */
MUST_CHECK enum outcome outbox_store_insert(struct outbox_store *store, const struct event *event,
                                            struct error *ret_error);
MUST_CHECK enum outcome outbox_store_delete(struct outbox_store *store, int64_t sequence,
                                            struct error *ret_error);

/* Whether so many bytes more may go in now; else the text says which limit is reached. */
MUST_CHECK bool outbox_store_has_room(struct outbox_store *store, int64_t bytes,
                                      struct error *ret_error);
/* What an event counts as. */
int64_t outbox_store_bytes_of(const struct event *event);

struct outbox_store_row {
    int64_t sequence;    /* 0: there is none */
    struct event *event; /* owned by the caller, `outbox_sequence` set; NULL: the row is no event */
};

/* Reads the first row after `sequence`, outside of a transaction. A row that is no event is OK too,
 * with the reason in the text; it stays as it is. */
MUST_CHECK enum outcome outbox_store_next(struct outbox_store *store, int64_t sequence,
                                          struct outbox_store_row *ret_row,
                                          struct error *ret_error);

/* What is in the outbox after the last commit. */
struct outbox_store_content {
    int64_t events;    /* how many, with rows that are no events */
    int64_t bytes;     /* as outbox_store_bytes_of() counts them */
    int64_t oldest_ms; /* the wall time at which the first was accepted; 0: there is none */
};
void outbox_store_content(const struct outbox_store *store,
                          struct outbox_store_content *ret_content);
