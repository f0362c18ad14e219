/* The session-service's option table. */
#include "session-service/settings.h"

#include "session-service/store/store.h"

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
    .explanation = "The messages that were put aside: see session-service dead-letters --help.\n"
                   "The tables in PostgreSQL as SQL: session-service schema --print.\n"
                   "From the embedded store to PostgreSQL: session-service migrate-store --help.\n",
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
    .profile = &demo_profile,
};

struct user_rules settings_user_rules(const struct settings *settings)
{
    return (struct user_rules){.strict = settings->common.user_check == USER_CHECK_STRICT};
}

bool settings_consumes_alone(const struct settings *settings)
{
    switch (settings->consumer) {
    case CONSUMER_EXCLUSIVE:
        return true;
    case CONSUMER_SHARED:
        return false;
    case CONSUMER_AUTO:
        break;
    }
    return !store_is_shared(settings->store);
}

/* The shards, and the queue itself. */
static size_t queue_count(const struct settings *settings)
{
    return settings->common.shards > 1 ? (size_t)settings->common.shards + 1 : 1;
}

size_t settings_queue_prefetch(const struct settings *settings)
{
    size_t share = (size_t)settings->prefetch / queue_count(settings);
    return share > 0 ? share : 1;
}

size_t settings_deliveries_max(const struct settings *settings)
{
    return settings_queue_prefetch(settings) * queue_count(settings);
}
