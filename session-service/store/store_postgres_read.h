/* Reads what a batch needs to know: which of its ids are new, and what is there of its users.
 * Begins the transaction, and takes the ids and the users for it, so that what was read stays so.
 */
#pragma once

#include "session-service/store/store_postgres_batch.h"
#include "session-service/store/store_postgres_columns.h"

/* The batch borrows the texts of the rows until postgres_read_done(). */
struct postgres_read {
    PGresult *users, *tombstones, *transaction; /* owned */
};

MUST_CHECK enum outcome postgres_read(struct postgres_read *read, struct postgres_columns *columns,
                                      struct postgres *postgres, struct postgres_batch *batch,
                                      int64_t now_ms, struct error *ret_error);
void postgres_read_done(struct postgres_read *read);
