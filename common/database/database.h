/* The only module that opens SQLite: one file of one daemon, durable at every commit.
 *
 *             open          database_begin                       database_commit
 *    closed ---------> idle -----------------> in a transaction -----------------> idle
 *       ^               |                        |   |            database_rollback
 *       +---------------+------------------------+   +--- statement_run ...
 *         database_close, or database_rollback after a failure that leaves the file in doubt
 *
 * The first begin that can opens the file. The journal is a write-ahead log with synchronous=FULL,
 * so a committed transaction is on disk. A failure that leaves in doubt what is on disk (any I/O
 * error, above all of fsync) is BROKEN, and nothing is retried on that connection. The rollback
 * closes the file, and the next begin opens it again. Opening first writes the content of the log
 * into the database file once more and syncs the file. Otherwise a page that the kernel dropped
 * after a failed fsync could be taken for a durable one. While this write fails, opening fails.
 *
 * The table of transitions in database.c is asserted, and so is that the owner of the file writes
 * in transactions only.
 *
 * A commit counts only where the next process finds it: in the file, the log (-wal) and its index
 * (-shm) that stand under their names, beside the lock that keeps other processes away. Who removes
 * or replaces one of them leaves this process with files that nobody opens again. They are then
 * displaced, which each commit looks for after its sync (database_in_place()). What is displaced
 * stays open, even after a failure that closes any other file: what it holds is nowhere else. So
 * is a file that was removed or replaced after a failure has closed it. It is
 * used again when the same files stand in their places; another file is opened by no process that
 * has not begun with it, so a restart is the way out. docs/guarantee.md says what follows from it.
 *
 * A connection and its statements belong to one thread at a time. */
#pragma once

#include "common/base/error.h"
#include "common/base/named_file.h"
#include "common/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct database;
struct statement;

/* All are borrowed: migrations and statements for as long as there is the database, names until it
 * is created. */
struct database_options {
    const char *directory;  /* held by this process */
    const char *file_name;  /* in that directory */
    int32_t application_id; /* of the file's format: another program's file is refused */
    /* migrations[i] is SQL that leads from version i to i + 1 of the schema. To change what a file
     * holds:
     *
     * 1. Append one string to the owner's table of migrations; never change one that was released.
     *    It runs on files of every age, so it names each column and takes the rows along.
     * 2. Change the statements that use what has changed; each file is checked against them.
     * 3. Have a test open a file of the version before, with rows in it, and read those. The
     *    version of the schema is the number of migrations: it counts itself.
     * 4. Say in CHANGELOG.md that the release before refuses the file as newer.
     *
     * The pragma user_version of the file holds the version. All migrations that a file needs are
     * one transaction. */
    const char *const *migrations;
    int version; /* how many migrations there are */
    /* The SQL that the owner runs; database_statement() returns a statement by its index here. A
     * file of this version whose schema does not know all of it is damaged. */
    const char *const *statements;
    size_t statement_count;
    /* This is another connection of a process that has opened the file already: it creates, checks
     * and migrates nothing, and needs no application_id and no migrations. */
    bool second;
    /* Of a second connection: the first one, whose files are the right ones. NULL: not known.
     * Outlives this one, and may be used by another thread meanwhile. */
    struct database *first;
    /* By whose name other processes see that the directory is held; NULL: by none. */
    const struct named_file *lock;
    /* The log is written back into the file at this length; a batch may be beyond it. 0: at a
     * length that suits a large file. Writing back may need as much room again. */
    int64_t journal_bytes_max;
};

/* Returns an owned database that is not open. INVALID: the path is too long. */
MUST_CHECK enum outcome database_create(const struct database_options *options,
                                        struct database **ret_database, struct error *ret_error);
/* Rolls back, closes the file, and frees the database. NULL is fine. */
void database_free(struct database *database);

/* Returns whether there is a file to open. Opening creates it. */
MUST_CHECK bool database_exists(const struct database *database);
MUST_CHECK bool database_is_open(const struct database *database);

/* Says whether the file, what SQLite keeps beside it and the lock stand under their names; while
 * the file is not open, whether the lock does, and the file if it was open before. At most four
 * system calls. TRANSIENT: they do
 * not, and the text names the first that does not, and what to do. If only the log is missing, what
 * it holds is written into the file. In no transaction. */
MUST_CHECK enum outcome database_in_place(struct database *database, struct error *ret_error);
/* Whether the last look has found that not all of them do. */
MUST_CHECK bool database_is_displaced(const struct database *database);
/* Whether the last look has found something else under the name of the file or its log, so that
 * the next process does not find what is in them. False where the file is not open: nothing of it
 * can be read. */
MUST_CHECK bool database_is_out_of_reach(const struct database *database);

/* Whether the last look has found that another process may use some of the same files, and others
 * in place of the rest. SQLite keeps two processes apart only if they have the file, the log and
 * the index in common. Nothing is written then, and what is read may be torn. */
MUST_CHECK bool database_is_contested(const struct database *database);

/* Whether there is a directory to write to. */
MUST_CHECK bool database_has_directory(const struct database *database);

/* Is called again and again, on the same thread, while something long goes on. */
struct database_progress {
    void (*call)(void *context);
    void *context;
};

/* Writes what the file holds to a new one, durably: under the name of the file if nothing stands
 * there, so that the next process opens it, else under a name beside it that ends with the time.
 * The text then says which. Needs as much room again, and takes long for a large file. Call it
 * while the file is displaced, in no transaction. A failure leaves nothing behind: try again
 * later. */
MUST_CHECK enum outcome database_write_out(struct database *database, int64_t now_ms,
                                           struct database_progress *progress,
                                           struct error *ret_path);

/* Opens the file if it is not open, and anew if the first connection has another one open; no
 * statement may be under way then. Creates it if there is none, checks it, and brings its schema
 * up to date. INVALID: the file is damaged, of another program, or newer than this program. The
 * file stays as it is. There is one exception: if a damaged schema shows only while it is brought
 * up to date, its log was already written back. BUSY, TRANSIENT, BROKEN: try again later. TRANSIENT
 * also: the lock is displaced, or for a second connection anything of the first. */
MUST_CHECK enum outcome database_open(struct database *database, struct error *ret_error);
/* Rolls back and closes the file. The log stays for the next open. */
void database_close(struct database *database);

/* Begins a transaction that may write, and opens the file if it is not open. The outcomes are those
 * of database_open(). TRANSIENT also: the file is contested. */
MUST_CHECK enum outcome database_begin(struct database *database, struct error *ret_error);
/* Commits. INVALID: the file is damaged. BUSY: the disk is full, or another connection writes; the
 * transaction did not take effect. TRANSIENT: it is committed, and the transaction has ended, but
 * in files that are displaced. After any other failure, such as a lack of memory, it is unknown
 * whether the transaction will be in the file when the file is opened again. */
MUST_CHECK enum outcome database_commit(struct database *database, struct error *ret_error);
/* Ends a transaction that failed, and all statements; `why` is the outcome of the failure. BROKEN
 * and INVALID leave in doubt what is on disk, and also close a file that is not displaced. Outside
 * of a transaction it does no harm. */
void database_rollback(struct database *database, enum outcome why);

/* Returns a statement, borrowed until the file is closed. The file must be open. */
struct statement *database_statement(struct database *database, size_t index);

/* Parameters count from 1. The bytes are borrowed until the next statement_reset(). The next step
 * reports a failure. */
void statement_bind_integer(struct statement *statement, int parameter, int64_t value);
void statement_bind_text(struct statement *statement, int parameter, struct slice value);
void statement_bind_blob(struct statement *statement, int parameter, const void *data,
                         size_t length);

/* *ret_row says whether there is a (further) row. If there is none, and after a failure, the
 * statement is reset. INVALID: the file is damaged. BUSY: another connection writes, the disk is
 * full, or there is no memory; roll back, and try again. BROKEN: roll back, which closes the
 * file. */
MUST_CHECK enum outcome statement_step(struct statement *statement, bool *ret_row,
                                       struct error *ret_error);

/* Runs a statement that has no rows. database_changes() says how many rows it changed. */
MUST_CHECK enum outcome statement_run(struct statement *statement, struct error *ret_error);

/* Ends a statement that has rows left, and forgets its parameters. */
void statement_reset(struct statement *statement);

/* These read the present row. Columns count from 0. Text is borrowed until the next step or reset,
 * and is empty for NULL. */
int64_t statement_integer(struct statement *statement, int column);
bool statement_is_null(struct statement *statement, int column);
struct slice statement_text(struct statement *statement, int column);

/* Returns how many rows the last statement that writes has changed. */
int64_t database_changes(const struct database *database);
