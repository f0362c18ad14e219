/* The user-service's options. */
#pragma once

#include "common/common_settings.h"

struct settings {
    struct common_settings common;
    int64_t confirm_timeout_ms;
    int64_t body_bytes_max;
    int64_t in_flight_max;
    int64_t in_flight_bytes_max;
    char *required_members;
    char *refused_members;
};

extern const struct options_program settings_program;
