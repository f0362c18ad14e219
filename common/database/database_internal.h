/* What the source files of the database share. */
#pragma once

#include "common/database/database.h"

#include <pthread.h>
#include <sqlite3.h>

enum { DATABASE_PATH_BYTES = 1100 };

/* What must stand under its name while the file is open. */
enum database_name {
    DATABASE_FOLDER, /* where nothing else is missing, it is not looked at */
    DATABASE_FILE,
    DATABASE_LOG,
    DATABASE_INDEX,
    DATABASE_NAMES
};

enum database_state { CLOSED, IDLE, IN_TRANSACTION };

struct statement {
    sqlite3_stmt *handle;
    struct database *database;
    int bind_code; /* the first failed bind since the reset */
};

struct database {
    struct database_options options;
    char path[DATABASE_PATH_BYTES];
    enum database_state state;  /* for the owner: CLOSED until the file is opened and checked */
    sqlite3 *handle;            /* NULL: not open */
    bool is_displaced;          /* the last look has found something that is not under its name */
    bool is_out_of_reach;       /* and it was the file or the log */
    bool is_contested;          /* and another process may write to the same file or log */
    bool is_in_doubt;           /* it is open only because it was displaced when it failed */
    pthread_mutex_t names_lock; /* guards the names: a second connection looks at them too */
    struct named_file names[DATABASE_NAMES]; /* known while the file is open */
    /* The file that was opened first. Known until the end, so that no other one takes its place
     * after a failure has closed it. The descriptor keeps its inode from being another file's. */
    struct named_file chosen;
    int chosen_descriptor;         /* of O_PATH; owned; -1: none is known */
    struct statement statements[]; /* in the order of the options */
};

/* Describes a failure of SQLite, and returns its outcome. */
enum outcome database_fail(struct database *database, int code, const char *what,
                           struct error *ret_error);

/* Runs statements that have no parameters and no rows. */
MUST_CHECK enum outcome database_execute(struct database *database, const char *sql,
                                         struct error *ret_error);

/* database_names.c: remembers which files were opened. TRANSIENT: they are gone already. */
MUST_CHECK enum outcome database_remember_names(struct database *database, struct error *ret_error);
void database_forget_names(struct database *database);
/* False: the first connection has opened other files meanwhile. */
bool database_follows_first(struct database *database);

/* database_set_up.c: writes what the log holds into the file, synced. BUSY: another connection
 * reads. */
MUST_CHECK enum outcome database_write_back(struct database *database, struct error *ret_error);
/* Checks, configures and migrates a file that SQLite has opened. A failure leaves it open. */
MUST_CHECK enum outcome database_set_up(struct database *database, struct error *ret_error);
