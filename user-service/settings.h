/* The user-service's options. */
#pragma once

#include "common/service/common_settings.h"

enum outbox_mode { OUTBOX_ON, OUTBOX_OFF };
enum bind_mode { BIND_OFF, BIND_ON };

/* How to add an option is said in common/options/options.h. */
#define USER_OPTIONS(OPTION)                                                                       \
    OPTION(compat, CHOICE(enum compat_mode, "MODE", "off|demo"), "compat", "off",                  \
           "demo: other defaults, for clients of the Node.js demo: user-check relaxed, no "        \
           "refused-members, queue-type classic, max-body-bytes 100KiB; an option that is given "  \
           "still wins")                                                                           \
    OPTION(exchange, TEXT("NAME"), "exchange", NULL,                                               \
           "publishes to this exchange of others, and leaves the queue to them; without it saves " \
           "go to the queue through the default exchange")                                         \
    OPTION(routing_key, TEXT("KEY"), "routing-key", NULL,                                          \
           "of what is published to the exchange; without it the name of the queue")               \
    OPTION(bind, CHOICE(enum bind_mode, "MODE", "off|on"), "bind", "off",                          \
           "on: declares the queue as without an exchange, and binds it to the exchange with the " \
           "routing key")                                                                          \
    OPTION(confirm_timeout_ms, DURATION(10, 600000), "confirm-timeout", "5s",                      \
           "how long a save waits for the broker's confirm before it goes to the outbox (202), "   \
           "or without one is answered 504")                                                       \
    OPTION(max_body_bytes, SIZE(64, 16 * 1024 * 1024), "max-body-bytes", "64KiB",                  \
           "a larger request body is answered 413; as a message a user can be six times as "       \
           "large: the session-service's --max-message-bytes must take that")                      \
    OPTION(max_receive_bytes, SIZE(64 * 1024, 512 * 1024 * 1024), "max-receive-bytes", "64MiB",    \
           "bytes of the request bodies that are arriving at most; more are answered 503")         \
    OPTION(max_in_flight, INTEGER(1, 65536), "max-in-flight", "4096",                              \
           "saves that wait for their confirm at most; more are answered 503")                     \
    OPTION(max_in_flight_bytes, SIZE(64 * 1024, 512 * 1024 * 1024), "max-in-flight-bytes",         \
           "64MiB", "their bodies' bytes at most; more are answered 503")                          \
    OPTION(overload_latency_ms, DURATION(1, 600000), "overload-latency", "200ms",                  \
           "when confirms take longer, only so many saves are taken as are confirmed in this "     \
           "time, 64 at the least; more are answered 503")                                         \
    OPTION(idempotency_keys, INTEGER(0, 1000000), "idempotency-keys", "10000",                     \
           "so many of the last Idempotency-Keys are remembered: with one of them a save is "      \
           "answered as the first time")                                                           \
    OPTION(idempotency_retention_ms, DURATION(1000, INT64_C(3650) * 24 * 3600 * 1000),             \
           "idempotency-retention", "168h",                                                        \
           "and none for longer than this; not less than the session-service's "                   \
           "--inbox-retention")                                                                    \
    OPTION(outbox, CHOICE(enum outbox_mode, "MODE", "on|off"), "outbox", "on",                     \
           "on: what the broker does not confirm now is kept on disk, answered 202, and "          \
           "forwarded")                                                                            \
    OPTION(state_dir, TEXT("DIR"), "state-dir", NULL,                                              \
           "where the outbox and the Idempotency-Keys are, for one process at a time; without it " \
           "$STATE_DIRECTORY, else /var/lib/user-service")                                         \
    OPTION(outbox_max_bytes, SIZE(64 * 1024, INT64_C(1024) * 1024 * 1024 * 1024),                  \
           "outbox-max-bytes", "1GiB",                                                             \
           "bytes of the saves in the outbox at most; more are answered 503")                      \
    OPTION(outbox_min_free_bytes, SIZE(128 * 1024, INT64_C(1024) * 1024 * 1024 * 1024),            \
           "outbox-min-free", "64MiB",                                                             \
           "free bytes of its disk that the outbox leaves alone; it needs some to delete what "    \
           "was forwarded, at least 128KiB")                                                       \
    OPTION(required_members, TEXT("LIST"), "required-members", NULL,                               \
           "members that every user must have, such as name,email")                                \
    OPTION(refused_members, TEXT("LIST"), "refused-members", USER_REFUSED_MEMBERS_DEFAULT,         \
           "members that no user may have, at any depth: names of secrets")

struct settings {
    struct common_settings common;
    USER_OPTIONS(OPTION_MEMBER)
};

extern const struct options_program settings_program;

/* What no single row can check, beside common_settings_check(). */
MUST_CHECK enum outcome settings_check(const struct settings *settings, struct error *ret_error);
