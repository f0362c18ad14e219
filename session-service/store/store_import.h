/* Copies an embedded store into one in PostgreSQL: the inbox, the users with their sessions,
 * tombstones and attempts. No name here says where they are kept.
 *
 * Rows go over in pages, in the order of their keys. Each page is one transaction, together with
 * the place up to which the import has come, so a process that ends at any point is followed by
 * one that goes on from there. In the end the counts and sums of both sides are compared. Until
 * then no session-service serves from the target, and none does while an import begins. Main thread
 * only. */
#pragma once

#include "session-service/store/store_partitions.h"

#include "common/base/error.h"
#include "common/base/named_file.h"

#include <stdbool.h>
#include <stdint.h>

enum store_import_phase {
    STORE_IMPORT_COUNTS,   /* what there is to copy */
    STORE_IMPORT_COPIES,   /* `copied` of `total` rows are there */
    STORE_IMPORT_COMPARES, /* all are there */
};

struct store_import_options {
    const char *directory;           /* borrowed; held by this process */
    const struct named_file *lock;   /* borrowed: by which it is held */
    const char *url, *password_file; /* this and the next as in struct store_options */
    enum store_partitions partitions;
    void (*show)(void *context, enum store_import_phase phase, int64_t copied, int64_t total);
    void *context;
};

/* In the order in which they are copied. */
enum store_import_table {
    STORE_IMPORT_INBOX,
    STORE_IMPORT_USERS,
    STORE_IMPORT_TOMBSTONES,
    STORE_IMPORT_ATTEMPTS,
    STORE_IMPORT_TABLES
};

struct store_import_result {
    bool was_done; /* by a process before this one */
    int64_t rows[STORE_IMPORT_TABLES];
    struct error warning; /* as of store_warning() */
};

/* INVALID: the directory has no store, the URL is none, or this build has no such store. Opens
 * nothing. */
MUST_CHECK enum outcome store_import_check(const struct store_import_options *options,
                                           struct error *ret_error);

/* INVALID: a person must mend something, such as a target that others use or that has rows of its
 * own. Any other failure: call it again, perhaps of another process. */
MUST_CHECK enum outcome store_import(const struct store_import_options *options,
                                     struct store_import_result *ret_result,
                                     struct error *ret_error);
