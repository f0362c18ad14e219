/* The file of the Idempotency-Keys: records in places of one size, each overwritten where it is. It
 * is as long as the most keys that were known at once need, so nothing is ever compacted.
 *
 * Format 1: a header of KEY_FILE_PLACE_BYTES, then the places, each of the same size. Numbers are
 * little-endian.
 *
 *     header:  "user-service keys\n", zeros, at 32 the format (32 bits), at 120 the check
 *     place:   at 0 the digest of the key, at 32 that of the value, at 64 the order (64 bits), at
 * 72 the time (64 bits), at 80 the outcome (8 bits), zeros, at 120 the check; or all zeros check:
 * the first 8 bytes of the SHA-256 of what is before it
 *
 * To change it, or what is digested (key_window.c, json_canonical.h: the digests of equal values
 * would differ then):
 *
 * 1. Raise FORMAT in key_file.c. A release before refuses the file as newer.
 * 2. Have key_file_open() read each format that was released. Digests cannot be translated; keep
 *    the old way to make them, or begin with an empty file.
 * 3. Have a test open a file of the format before. Say in CHANGELOG.md what becomes of its keys.
 *
 * A power failure may tear a record that is being written. Its check shows that, and its request
 * had no answer yet. A place lies within one sector of a disk, so its neighbours are not torn.
 *
 * One thread at a time. The directory must be held (state_directory.h). */
#pragma once

#include "common/base/named_file.h"
#include "user-service/key_record.h"

#include <stdbool.h>

#define KEY_FILE_NAME "idempotency-keys"

enum { KEY_FILE_PLACE_BYTES = 128 };

struct key_file {
    struct named_file name;        /* its path, and what is open under it */
    const struct named_file *lock; /* borrowed; NULL: none */
    int descriptor;                /* owned; -1: not open */
    bool has_header;
    bool is_name_synced; /* the directory's entry outlives the machine too */
};

/* Borrows the lock by which the directory is held. INVALID: the path is too long. */
MUST_CHECK enum outcome key_file_init(struct key_file *file, const char *directory,
                                      const struct named_file *lock, struct error *ret_error);
void key_file_done(struct key_file *file);

/* What a file holds: one change for each of its places. */
struct key_file_content {
    struct key_change *places; /* owned: in ascending order of the records, empty ones first */
    size_t count;
    size_t damaged; /* places that hold no record, and are not empty: counted as empty */
};
void key_file_content_done(struct key_file_content *content);

/* Opens the file, reads it, and has what it has read outlive the machine: it writes that again and
 * syncs it. If there is none, nothing is open, and the content is empty. If it
 * has more than `places_max` places, it is replaced by one that has the `capacity` newest keys.
 * INVALID: it is damaged, of another program, or newer than this program, and stays as it is.
 * TRANSIENT: it cannot be opened, read, written, synced or replaced now. */
MUST_CHECK enum outcome key_file_open(struct key_file *file, uint32_t places_max, size_t capacity,
                                      struct key_file_content *ret_content,
                                      struct error *ret_error);
/* Opens a file that was not there when it was to be opened, and creates it. TRANSIENT: it cannot be
 * created now, or has come meanwhile, and nobody has read it. */
MUST_CHECK enum outcome key_file_create(struct key_file *file, struct error *ret_error);
bool key_file_is_open(const struct key_file *file);

/* TRANSIENT: the next process would not find what is open, or another one may use the directory.
 * The text says which file it is, and what to do. Of a file that is not open only the lock is
 * looked at. */
MUST_CHECK enum outcome key_file_in_place(const struct key_file *file, struct error *ret_error);

/* Writes the changes in their order, so that they outlive the process. TRANSIENT: some may not have
 * been written. */
MUST_CHECK enum outcome key_file_write(struct key_file *file, const struct key_change *changes,
                                       size_t count, struct error *ret_error);
/* Waits until everything that was written outlives the machine. TRANSIENT: write what was written
 * since the last success again, because it may be lost; or it is not in place. */
MUST_CHECK enum outcome key_file_sync(struct key_file *file, struct error *ret_error);
