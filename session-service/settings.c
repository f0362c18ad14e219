/* The session-service's option table. */
#include "session-service/settings.h"

#define COMMON_ROW(member, ...) OPTION_ROW(struct settings, common.member, __VA_ARGS__)
#define SESSION_ROW(...) OPTION_ROW(struct settings, __VA_ARGS__)

static const struct option_row rows[] = {COMMON_OPTIONS(COMMON_ROW, SESSION_LISTEN_DEFAULT)
                                             SESSION_OPTIONS(SESSION_ROW)};

/* What each of them relaxes is in docs/migrating.md. */
static const struct option_preset demo_presets[] = {
    {"user-check", "relaxed"},
    {"queue-type", "classic"},
};
static const struct options_profile demo_profile = {
    .option = "compat",
    .choice = "demo",
    .presets = demo_presets,
    .count = sizeof(demo_presets) / sizeof(demo_presets[0]),
};

const struct options_program settings_program = {
    .name = "session-service",
    .environment_prefix = "SESSION_SERVICE",
    .summary =
        "Consumes saved users from RabbitMQ, stores each of them once, logs and acknowledges it.",
    .explanation = "The messages that were put aside: see session-service dead-letters --help.\n",
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
    .profile = &demo_profile,
};

struct user_rules settings_user_rules(const struct settings *settings)
{
    return (struct user_rules){.strict = settings->common.user_check == USER_CHECK_STRICT};
}
