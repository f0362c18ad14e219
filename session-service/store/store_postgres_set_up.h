/* What a new connection to PostgreSQL goes through before it is used: its settings, whether the
 * server is fit for it, the tables, and the statements. */
#pragma once

#include "session-service/store/store_partitions.h"
#include "session-service/store/store_postgres_connection.h"

enum postgres_use {
    POSTGRES_USE_WRITES, /* makes or migrates the tables where they are not there or are older */
    POSTGRES_USE_READS,  /* they must be there */
    POSTGRES_USE_IMPORTS /* as the first; and whether others use the store it asks itself */
};

/* INVALID: a person must mend something. TRANSIENT also: an import into the store goes on, or was
 * not finished. `ret_warning` is "" or says what of the server does not keep what it has
 * confirmed, and where the inbox is not as `partitions` asks for. */
MUST_CHECK enum outcome postgres_set_up(struct postgres *postgres, enum postgres_use use,
                                        enum store_partitions partitions, struct error *ret_warning,
                                        struct error *ret_error);
