/* What the source files of the database share. */
#pragma once

#include "common/database/database.h"

#include <sqlite3.h>

enum { DATABASE_PATH_BYTES = 1100 };

enum database_state { CLOSED, IDLE, IN_TRANSACTION };

struct statement {
    sqlite3_stmt *handle;
    struct database *database;
    int bind_code; /* the first failed bind since the reset */
};

struct database {
    struct database_options options;
    char path[DATABASE_PATH_BYTES];
    enum database_state state;     /* for the owner: CLOSED until the file is opened and checked */
    sqlite3 *handle;               /* NULL: not open */
    struct statement statements[]; /* in the order of the options */
};

/* Describes a failure of SQLite, and returns its outcome. */
enum outcome database_fail(struct database *database, int code, const char *what,
                           struct error *ret_error);

/* Runs statements that have no parameters and no rows. */
MUST_CHECK enum outcome database_execute(struct database *database, const char *sql,
                                         struct error *ret_error);

/* database_set_up.c: checks, configures and migrates a file that SQLite has opened. A failure
 * leaves it open. */
MUST_CHECK enum outcome database_set_up(struct database *database, struct error *ret_error);
