/* Shards: in place of one queue, the queues `<queue>.0` to `<queue>.<N-1>`. Which one a message
 * goes to is decided by who it is about (common/user/user_shard.h), so that all messages about one
 * user are in one queue. Pure. */
#pragma once

#include "common/amqp/message.h"

#include <stddef.h>

enum {
    SHARDS_MAX = 64,
    SHARD_SUFFIX_BYTES_MAX = 3, /* ".63" */
    SHARDS_TEXT_BYTES = 3 * (SHORT_STRING_BYTES_MAX + 1),
};

struct shard_name {
    char text[SHORT_STRING_BYTES_MAX + 1];
};

/* Writes "<name>.<shard>", the name of a queue or a routing key, and returns it. The name has room
 * for SHARD_SUFFIX_BYTES_MAX more. */
const char *shard_name_of(const char *name, size_t shard, struct shard_name *ret_name);

/* The queues from which a session-service consumes have numbers: 0 is the queue itself, n + 1 the
 * shard n. Returns the name of one; it borrows `queue`, or *ret_name. */
const char *shard_consumed_queue(const char *queue, size_t number, struct shard_name *ret_name);

/* Writes for a person which queues these are: "session", "session.0 to session.3", or with
 * `and_itself` "session, session.0 to session.3". */
const char *shards_text(const char *queue, size_t shards, bool and_itself,
                        char ret_text[SHARDS_TEXT_BYTES]);
