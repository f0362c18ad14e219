/* What the tables in PostgreSQL are, and how they came to be. Pure, and without libpq: it is also
 * printed for who has a database's administrator run it.
 *
 * To change the tables: append a step to the list, which all that is there before is left to. A
 * step runs once, in one transaction with the number that it leads to, while older programs may
 * still use the tables: what they read and write must stay. */
#pragma once

#include "session-service/store/store_partitions.h"

#include "common/base/buffer.h"

extern const int store_postgres_version;

/* Appends a script that makes everything, with the rights that a role needs as comments. */
void store_postgres_schema_append_script(struct buffer *sql, enum store_partitions partitions,
                                         int64_t now_ms);

/* Appends the statements that lead from `version` (0: nothing is there) to the newest. They are
 * harmless where another program runs the same. How the inbox is partitioned counts where nothing
 * is there. */
void store_postgres_schema_append(struct buffer *sql, int version, enum store_partitions partitions,
                                  int64_t now_ms);
