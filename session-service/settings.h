/* The session-service's options: one table, one struct. */
#pragma once

#include "common/common_settings.h"

struct settings {
    struct common_settings common;
    int64_t prefetch;
    int64_t max_message_bytes;
    char *state_dir; /* NULL: state_directory_choose() says which */
    int64_t session_ttl_ms;
    int64_t inbox_retention_ms;
    int64_t redelivery_limit;
};

extern const struct options_program settings_program;

/* AMQP counts heartbeats in whole seconds. */
int settings_heartbeat_s(const struct settings *settings);

/* What a message with an id must satisfy. Borrows nothing. */
struct user_rules settings_user_rules(const struct settings *settings);
