/* The inbox in PostgreSQL as partitions by ranges of its key, so that old ids go with a DROP. Pure,
 * and without libpq: it is SQL that is run, and also printed.
 *
 * An id of ours (UUIDv7) begins with its time, so that those of a day of UTC are a range:
 *
 *     inbox_low      all before the day on which the tables were made
 *     inbox_DATE     the ids of that day
 *     inbox_high     from '02' on: keys and ids of others
 *     inbox_default  the rest: ids of days that have no partition any more or not yet
 *
 * The key is unique whichever partitions there are, so that no id takes effect twice because one is
 * made or dropped. Each name of a partition and each bound is kept: older programs go by them. */
#pragma once

#include "common/base/buffer.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    PARTITION_DAYS_AHEAD = 7,
    PARTITION_NAME_BYTES = sizeof("inbox_20261127"),
    PARTITION_BOUND_BYTES = sizeof("0199ffff-ffff"),
};

struct partition {
    char name[PARTITION_NAME_BYTES];
    char from[PARTITION_BOUND_BYTES], to[PARTITION_BOUND_BYTES]; /* `to` is the next one's `from` */
};

/* The day of a time, counted from 1970 on. */
int64_t partition_day(int64_t now_ms);
/* False: the ids of the day are none that begin with '01', and it gets no partition. */
MUST_CHECK bool partition_of_day(int64_t day, struct partition *ret_partition);

/* What makes `inbox` with the columns, and its partitions of now and of the days ahead. */
void partitions_append_tables(struct buffer *sql, const char *columns, int64_t now_ms);

/* Each is one statement, to be run as a transaction of its own, by the owner; it is harmless where
 * there is nothing to do, and fails with 55P03 where the inbox is in use: try again later. */

/* Makes the partition of the day, and moves there what the default partition has of it. Does
 * nothing where others have a part of the range, or where what is to be moved is much or new: a row
 * that is moved is no evidence any more (store_postgres_doubt.h). */
void partitions_append_making(struct buffer *sql, const struct partition *partition,
                              int64_t now_ms);
/* Drops the oldest of the partitions whose day is over and whose rows were all handled before the
 * retention. */
void partitions_append_dropping(struct buffer *sql, int64_t now_ms, int64_t retention_ms);

/* The script of session-service schema --upkeep: all that is to be made, and what is old. */
void partitions_append_upkeep(struct buffer *sql, int64_t now_ms, int64_t retention_ms);
