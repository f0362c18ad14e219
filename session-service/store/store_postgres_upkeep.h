/* Sees to the partitions of the inbox, where it has any and they are this role's. */
#pragma once

#include "session-service/store/store_postgres_internal.h"

/* Makes the partitions that are due and drops one that is old, now and then, between transactions.
 * A failure is left to store_warning() and to the next time: batches need none of it. */
void store_postgres_see_to_partitions(struct store_postgres *store, int64_t now_ms);
