/* A page of an import: some rows of a table, and in the same transaction how far the import has
 * come. */
#pragma once

#include "session-service/store/store_import.h"
#include "session-service/store/store_postgres_columns.h"
#include "session-service/store/store_sqlite_export.h"

enum { IMPORT_PAGE_MS = 60000 };

struct import {
    const struct store_import_options *options; /* borrowed */
    struct database *database;                  /* owned, like what follows */
    struct postgres *postgres;
    struct postgres_columns columns;
    int64_t rows[STORE_IMPORT_TABLES], total;
    struct buffer source; /* the sums of all tables, as a text with an end */
    /* Where the import is. */
    bool is_begun, is_finished;
    int64_t step, copied;
    struct buffer last_key, next_key; /* of the table: the page's begins behind the first one, and
                                       * ends with the second one */
};

void import_show(const struct import *import, enum store_import_phase phase);

/* Copies the next page, or goes on to the next table where this one has no more rows. After a
 * failure the connection is to be freed, which rolls back. INVALID: rows are there already. */
MUST_CHECK enum outcome import_copy_page(struct import *import, struct error *ret_error);
