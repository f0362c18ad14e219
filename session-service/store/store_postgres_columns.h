/* The columns of a statement that is given many rows. Their memory is used again and again. */
#pragma once

#include "session-service/store/store_postgres_connection.h"

enum { COLUMNS_MAX = 11 };

struct postgres_columns {
    struct postgres_array arrays[COLUMNS_MAX];
    int count;
    int sent; /* statements, since it was set to 0 */
};

void postgres_columns_init(struct postgres_columns *columns);
void postgres_columns_done(struct postgres_columns *columns);

/* Forgets all rows. One character for each column: t(ext), i(nteger), b(ytes). */
void postgres_columns_begin(struct postgres_columns *columns, const char *types);

/* Adds a statement with these columns to the pipeline, and then `integer` where it is not NULL. The
 * columns may then be used for the next. BUSY: no memory. */
MUST_CHECK enum outcome postgres_columns_send(struct postgres_columns *columns,
                                              struct postgres *postgres,
                                              enum postgres_statement name, const int64_t *integer,
                                              struct error *ret_error);
