/* The session-service's options: one table, one struct. */
#pragma once

#include "common/common_settings.h"

struct settings {
    struct common_settings common;
    int64_t prefetch;
    int64_t max_message_bytes;
};

extern const struct options_program settings_program;

/* AMQP counts heartbeats in whole seconds. */
int settings_heartbeat_s(const struct settings *settings);

/* What a message with an id must satisfy. Borrows nothing. */
struct user_rules settings_user_rules(const struct settings *settings);
