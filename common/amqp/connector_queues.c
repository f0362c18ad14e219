/* Which queues a connector's options name, and where messages for them go. Pure. */
#include "common/amqp/connector.h"

static bool has_shards(const struct connector_options *options)
{
    return options->shards > 1;
}

/* It may have messages from the time before there were shards, and others may publish to it. */
static bool has_queue_itself(const struct connector_options *options)
{
    return !has_shards(options) || options->prefetch > 0;
}

size_t connector_queue_count(const struct connector_options *options)
{
    return (has_queue_itself(options) ? 1 : 0) + (has_shards(options) ? options->shards : 0);
}

struct broker_queue connector_queue(const struct connector_options *options, size_t number,
                                    struct shard_name *ret_name)
{
    size_t consumed = has_queue_itself(options) ? number : number + 1;
    return (struct broker_queue){.name = shard_consumed_queue(options->queue, consumed, ret_name),
                                 .type = options->queue_type,
                                 .declare = options->declare,
                                 .is_shard = consumed > 0};
}

bool connector_has_exchange(const struct connector_options *options)
{
    return options->route.exchange != NULL && options->route.exchange[0] != '\0';
}

bool connector_minds_queue(const struct connector_options *options)
{
    return !connector_has_exchange(options) || options->bind;
}

/* Without its shard. */
static const char *key_of(const struct connector_options *options)
{
    bool has_key = connector_has_exchange(options) && options->route.routing_key != NULL;
    return has_key ? options->route.routing_key : options->queue;
}

struct broker_route connector_route(const struct connector_options *options, size_t shard,
                                    struct shard_name *ret_name)
{
    const char *key = key_of(options);
    return (struct broker_route){
        .exchange = connector_has_exchange(options) ? options->route.exchange : "",
        .routing_key = has_shards(options) ? shard_name_of(key, shard, ret_name) : key};
}

const char *connector_queues_text(const struct connector_options *options,
                                  char ret_text[SHARDS_TEXT_BYTES])
{
    return shards_text(options->queue, options->shards, has_queue_itself(options), ret_text);
}

const char *connector_keys_text(const struct connector_options *options,
                                char ret_text[SHARDS_TEXT_BYTES])
{
    return shards_text(key_of(options), options->shards, false, ret_text);
}
