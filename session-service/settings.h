/* The session-service's options. */
#pragma once

#include "session-service/store/store_partitions.h"

#include "common/service/common_settings.h"

enum consumer_mode { CONSUMER_AUTO, CONSUMER_EXCLUSIVE, CONSUMER_SHARED };

#define SESSION_LISTEN_DEFAULT "127.0.0.1:3001"

/* How to add an option is said in common/options/options.h. */
#define SESSION_OPTIONS(OPTION)                                                                    \
    OPTION(consumer, CHOICE(enum consumer_mode, "MODE", "auto|exclusive|shared"), "consumer",      \
           "auto",                                                                                 \
           "exclusive: one session-service at a time consumes from the queue, and others stand "   \
           "by; shared: consumes whoever else does, which divides the users between embedded "     \
           "stores; auto: exclusive with the embedded store, shared with PostgreSQL")              \
    OPTION(compat, CHOICE(enum compat_mode, "MODE", "off|demo"), "compat", "off",                  \
           "demo: other defaults, for publishers of the Node.js demo: user-check relaxed, "        \
           "queue-type classic; an option that is given still wins")                               \
    OPTION(prefetch, INTEGER(1, 2000), "prefetch", "500",                                          \
           "deliveries the broker may have waiting for their ack; with --shards each queue has "   \
           "its share of it, one at the least")                                                    \
    OPTION(max_message_bytes, SIZE(1024, 64 * 1024 * 1024), "max-message-bytes", "1MiB",           \
           "a message with a larger body goes to the dead letters")                                \
    OPTION(state_dir, TEXT("DIR"), "state-dir", NULL,                                              \
           "where the store is, for one process at a time; without it $STATE_DIRECTORY, else "     \
           "/var/lib/session-service")                                                             \
    OPTION(store, TEXT("URL"), "store", "sqlite",                                                  \
           "sqlite: the embedded store, in the state directory; "                                  \
           "postgresql://USER@HOST[:PORT][,HOST...]/DATABASE[?PARAMETER=VALUE&...]: a store that " \
           "several session-services share",                                                       \
           .secret = true)                                                                         \
    OPTION(store_password_file, TEXT("FILE"), "store-password-file", NULL,                         \
           "holds the password for PostgreSQL; read at each connection")                           \
    OPTION(inbox_partitions, CHOICE(enum store_partitions, "MODE", "off|day"), "inbox-partitions", \
           "off",                                                                                  \
           "day: where the tables in PostgreSQL are made, the ids of messages get a partition "    \
           "for each day, which is dropped when it is old; off: they are one table, from which "   \
           "old rows are deleted")                                                                 \
    OPTION(session_ttl_ms, DURATION(1000, INT64_C(365) * 24 * 3600 * 1000), "session-ttl", "30m",  \
           "a session ends so long after its user's last save")                                    \
    OPTION(inbox_retention_ms, DURATION(60000, INT64_C(3650) * 24 * 3600 * 1000),                  \
           "inbox-retention", "168h",                                                              \
           "how long a repeated message id is known; longer than any redelivery can take")         \
    OPTION(clock_tolerance_ms, DURATION(0, INT64_C(365) * 24 * 3600 * 1000), "clock-tolerance",    \
           "5s",                                                                                   \
           "a time that is further ahead of this host's clock does not decide which of "           \
           "two changes of a user is the newer one; the order of arrival does")                    \
    OPTION(give_back_after_ms, DURATION(1000, INT64_C(24) * 3600 * 1000), "give-back-after", "2m", \
           "while its store takes nothing, a session-service keeps what it has of a shared queue " \
           "for so long; then others get it")                                                      \
    OPTION(redelivery_limit, INTEGER(1, 15), "redelivery-limit", "5",                              \
           "a message at which the process ended so often, with nothing else in hand, goes "       \
           "to the dead letters")

struct settings {
    struct common_settings common;
    SESSION_OPTIONS(OPTION_MEMBER)
};

extern const struct options_program settings_program;

/* Whether at most one session-service may consume from the queue. */
MUST_CHECK bool settings_consumes_alone(const struct settings *settings);
/* The prefetch of each queue: with shards they share it, and each has one at the least. */
size_t settings_queue_prefetch(const struct settings *settings);
/* So many deliveries the broker may have waiting for their ack, from all queues. */
size_t settings_deliveries_max(const struct settings *settings);

/* What a message with an id must satisfy. Borrows nothing. */
struct user_rules settings_user_rules(const struct settings *settings);
