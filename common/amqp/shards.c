/* See shards.h. */
#include "common/amqp/shards.h"

#include <stdio.h>

const char *shard_name_of(const char *name, size_t shard, struct shard_name *ret_name)
{
    (void)snprintf(ret_name->text, sizeof(ret_name->text), "%.*s.%zu",
                   SHORT_STRING_BYTES_MAX - SHARD_SUFFIX_BYTES_MAX, name, shard % SHARDS_MAX);
    return ret_name->text;
}

const char *shard_consumed_queue(const char *queue, size_t number, struct shard_name *ret_name)
{
    return number == 0 ? queue : shard_name_of(queue, number - 1, ret_name);
}

const char *shards_text(const char *queue, size_t shards, bool and_itself,
                        char ret_text[SHARDS_TEXT_BYTES])
{
    struct shard_name first;
    struct shard_name last;
    if (shards < 2) {
        (void)snprintf(ret_text, SHARDS_TEXT_BYTES, "%.255s", queue);
        return ret_text;
    }
    (void)snprintf(ret_text, SHARDS_TEXT_BYTES, "%.250s%s%s to %s", and_itself ? queue : "",
                   and_itself ? ", " : "", shard_name_of(queue, 0, &first),
                   shard_name_of(queue, shards - 1, &last));
    return ret_text;
}
