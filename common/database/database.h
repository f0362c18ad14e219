/* The only module that opens SQLite: one file of one daemon, durable at every commit.
 *
 * The journal is a write-ahead log with synchronous=FULL, so that what was committed is on disk. A
 * failure that leaves in doubt what is on disk (any I/O error, above all of fsync) is BROKEN:
 * nothing is retried on that connection. database_open() then writes what the log holds anew into
 * the database file and syncs that, so that a page the kernel dropped after a failed fsync cannot
 * be taken for a durable one; while it cannot, it fails.
 *
 * A connection and its statements belong to one thread at a time. */
#pragma once

#include "common/base/error.h"
#include "common/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct database;
struct statement;

struct database_options {
    const char *path;
    int32_t application_id; /* of the file's format: another program's file is refused */
    /* migrations[i] is SQL that leads from version i to i + 1 of the schema. Never change one that
     * was released: append. */
    const char *const *migrations;
    int version; /* how many there are */
    /* What will be prepared: a file of this version whose schema does not know all of it is
     * damaged. */
    const char *const *statements;
    size_t statement_count;
    bool second; /* another connection of a process that has the file open: checks nothing */
    /* The log is written back into the file at this length; a batch may be beyond it. 0: at a
     * length that suits a large file. Writing back may need as much room again. */
    int64_t journal_bytes_max;
};

/* Creates the file where there is none. Checks it, and brings its schema up to date. INVALID:
 * damaged, of another program, or newer than this program: the file stays as it is, but for the log
 * of one whose damaged schema shows when it is brought up to date. BUSY, TRANSIENT: not now. */
MUST_CHECK enum outcome database_open(const struct database_options *options,
                                      struct database **ret_database, struct error *ret_error);

/* Also frees the statements. Leaves the log for the next open. NULL is fine. */
void database_close(struct database *database);

/* One statement without parameters or rows: BEGIN IMMEDIATE, COMMIT, ROLLBACK. INVALID: the file is
 * damaged. BUSY: another connection writes, the disk is full, or no memory: roll back, and try
 * again. BROKEN: close. */
MUST_CHECK enum outcome database_execute(struct database *database, const char *sql,
                                         struct error *ret_error);

/* Returns a statement that the database owns. */
MUST_CHECK enum outcome database_prepare(struct database *database, const char *sql,
                                         struct statement **ret_statement, struct error *ret_error);

/* Parameters count from 1; bytes are borrowed until the next statement_reset(). A failure shows in
 * the next step. */
void statement_bind_integer(struct statement *statement, int parameter, int64_t value);
void statement_bind_text(struct statement *statement, int parameter, struct slice value);
void statement_bind_blob(struct statement *statement, int parameter, const void *data,
                         size_t length);
void statement_bind_null(struct statement *statement, int parameter);

/* *ret_row: whether there is a (further) row. Without one, and after a failure, the statement is
 * reset. Outcomes as for database_execute(). */
MUST_CHECK enum outcome statement_step(struct statement *statement, bool *ret_row,
                                       struct error *ret_error);

/* Runs a statement that has no rows; how many rows it changed is database_changes(). */
MUST_CHECK enum outcome statement_run(struct statement *statement, struct error *ret_error);

/* Ends a statement that has rows left, and forgets its parameters. */
void statement_reset(struct statement *statement);

/* Of the present row, columns count from 0; text is borrowed until the next step or reset. */
int64_t statement_integer(struct statement *statement, int column);
struct slice statement_text(struct statement *statement, int column);
bool statement_is_null(struct statement *statement, int column);

int64_t database_changes(const struct database *database);

/* Whether no transaction is open: some failures end one. */
bool database_is_idle(const struct database *database);
