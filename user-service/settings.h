/* The user-service's options. */
#pragma once

#include "common/common_settings.h"

enum outbox_mode { OUTBOX_ON, OUTBOX_OFF };

struct settings {
    struct common_settings common;
    int64_t confirm_timeout_ms;
    int64_t body_bytes_max;
    int64_t receive_bytes_max;
    int64_t in_flight_max;
    int64_t in_flight_bytes_max;
    int64_t overload_latency_ms;
    int64_t idempotency_keys;
    int outbox;      /* enum outbox_mode */
    char *state_dir; /* NULL: state_directory_choose() says which */
    int64_t outbox_bytes_max;
    int64_t outbox_free_bytes_min;
    char *required_members;
    char *refused_members;
};

extern const struct options_program settings_program;
