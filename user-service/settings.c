/* The user-service's option table. */
#include "user-service/settings.h"

#define COMMON_ROW(member, ...) OPTION_ROW(struct settings, common.member, __VA_ARGS__)
#define USER_ROW(...) OPTION_ROW(struct settings, __VA_ARGS__)

static const struct option_row rows[] = {COMMON_OPTIONS(COMMON_ROW, "127.0.0.1:3000")
                                             USER_OPTIONS(USER_ROW)};

const struct options_program settings_program = {
    .name = "user-service",
    .environment_prefix = "USER_SERVICE",
    .summary = "takes users by HTTP and hands them to RabbitMQ, confirmed",
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
};
