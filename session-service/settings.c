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
    {.name = "state-dir",
     .value_name = "DIR",
     .type = OPTION_TEXT,
     .offset = offsetof(struct settings, state_dir),
     .help = "where the store is, for one process at a time; without it $STATE_DIRECTORY, else "
             "/var/lib/session-service"},
    {.name = "session-ttl",
     .value_name = "DURATION",
     .type = OPTION_DURATION,
     .offset = offsetof(struct settings, session_ttl_ms),
     .default_text = "30m",
     .minimum = 1000,
     .maximum = INT64_C(365) * 24 * 3600 * 1000,
     .help = "a session ends so long after its user's last save"},
    {.name = "inbox-retention",
     .value_name = "DURATION",
     .type = OPTION_DURATION,
     .offset = offsetof(struct settings, inbox_retention_ms),
     .default_text = "168h",
     .minimum = 60000,
     .maximum = INT64_C(3650) * 24 * 3600 * 1000,
     .help = "how long a repeated message id is known; longer than any redelivery can take"},
    {.name = "redelivery-limit",
     .value_name = "N",
     .type = OPTION_INTEGER,
     .offset = offsetof(struct settings, redelivery_limit),
     .default_text = "5",
     .minimum = 1,
     .maximum = 15,
     .help = "a message whose handling was begun so often and never finished goes to the dead "
             "letters"},
};

const struct options_program settings_program = {
    .name = "session-service",
    .environment_prefix = "SESSION_SERVICE",
    .summary =
        "Consumes saved users from RabbitMQ, stores each of them once, logs and acknowledges it.",
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
