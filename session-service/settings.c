/* The option table: the rows both services have, and the session-service's own. */
#include "session-service/settings.h"

static const struct option_row rows[] = {
    COMMON_OPTION_ROWS(struct settings, "127.0.0.1:3001"),
    {.name = "prefetch",
     .value_name = "N",
     .type = OPTION_INTEGER,
     .offset = offsetof(struct settings, prefetch),
     .default_text = "500",
     .minimum = 1,
     .maximum = 2000,
     .help = "deliveries the broker may have waiting for their ack"},
    {.name = "max-message-bytes",
     .value_name = "SIZE",
     .type = OPTION_SIZE,
     .offset = offsetof(struct settings, max_message_bytes),
     .default_text = "1MiB",
     .minimum = 1024,
     .maximum = 64 * 1024 * 1024,
     .help = "a message with a larger body goes to the dead letters"},
};

const struct options_program settings_program = {
    .name = "session-service",
    .environment_prefix = "SESSION_SERVICE",
    .summary = "Consumes saved users from RabbitMQ, logs each of them and acknowledges it.",
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
};

int settings_heartbeat_s(const struct settings *settings)
{
    return (int)((settings->common.heartbeat_ms + 999) / 1000);
}

struct user_rules settings_user_rules(const struct settings *settings)
{
    return (struct user_rules){.strict = settings->common.user_check == USER_CHECK_STRICT};
}
