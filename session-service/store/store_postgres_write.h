/* Adds to a pipeline what a batch has changed: one statement for each table and change, with its
 * rows in the order of their keys. */
#pragma once

#include "session-service/store/store_postgres_batch.h"
#include "session-service/store/store_postgres_columns.h"

MUST_CHECK enum outcome postgres_write(struct postgres_columns *columns, struct postgres *postgres,
                                       const struct postgres_batch *batch,
                                       const struct store_effect effects[],
                                       struct error *ret_error);
