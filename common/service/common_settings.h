/* The options that both services have: one list for their struct and for the services' tables. */
#pragma once

#include "common/amqp/connector.h"
#include "common/log/log.h"
#include "common/options/options.h"
#include "common/user/user.h"

enum log_payload { LOG_PAYLOAD_REDACTED, LOG_PAYLOAD_FULL, LOG_PAYLOAD_NONE };
enum auth_mode { AUTH_LOOPBACK, AUTH_NONE };
/* What --compat chooses: each service has its own options for it, and its own profile. */
enum compat_mode { COMPAT_OFF, COMPAT_DEMO };
enum user_check { USER_CHECK_STRICT, USER_CHECK_RELAXED };

/* How to add an option is said in common/options/options.h. */
#define COMMON_OPTIONS(OPTION, listen_default)                                                     \
    OPTION(listen, TEXT("ADDRESS[,ADDRESS...]"), "listen", (listen_default),                       \
           "where to serve HTTP: ADDR:PORT, or the path of a local socket; beyond loopback only "  \
           "with --auth-token-file or --auth none")                                                \
    OPTION(auth_token_file, TEXT("FILE"), "auth-token-file", NULL,                                 \
           "tokens, one on a line, of which every request must show one (Authorization: Bearer "   \
           "TOKEN), except to --open-paths; read again on SIGHUP")                                 \
    OPTION(open_paths, TEXT("PATH[,PATH...]"), "open-paths", "/healthz,/readyz",                   \
           "which of /healthz, /readyz and /metrics need no token; without one /readyz says only " \
           "whether, and not why")                                                                 \
    OPTION(cors_origin, TEXT("ORIGIN[,ORIGIN...]"), "cors-origin", NULL,                           \
           "origins whose pages may use this service from a browser, such as "                     \
           "https://app.example.org; *: all")                                                      \
    OPTION(auth, CHOICE(enum auth_mode, "MODE", "loopback|none"), "auth", "loopback",              \
           "without a token file; loopback: refuse to listen beyond this machine; none: anyone "   \
           "who reaches it may use it")                                                            \
    OPTION(amqp_url, TEXT("URL[,URL...]"), "amqp-url", "amqp://guest:guest@127.0.0.1:5672/",       \
           "brokers of one cluster, tried in turn; amqps:// for TLS", .environment = "AMQP_URL",   \
           .secret = true)                                                                         \
    OPTION(amqp_password_file, TEXT("FILE"), "amqp-password-file", NULL,                           \
           "holds the password to use instead of the URL's; read at each connection")              \
    OPTION(amqp_ca_file, TEXT("FILE"), "amqp-ca-file", NULL,                                       \
           "PEM certificates of the authorities that amqps:// brokers are trusted by; without it " \
           "the system's")                                                                         \
    OPTION(amqp_cert_file, TEXT("FILE"), "amqp-cert-file", NULL,                                   \
           "PEM certificate to show to amqps:// brokers that ask for one")                         \
    OPTION(amqp_key_file, TEXT("FILE"), "amqp-key-file", NULL,                                     \
           "PEM key of that certificate, without a passphrase")                                    \
    OPTION(queue, TEXT("NAME"), "queue", "session",                                                \
           "the durable queue between the services; declared where it is missing")                 \
    OPTION(shards, INTEGER(1, SHARDS_MAX), "shards", "1",                                          \
           "in place of the queue so many, NAME.0 to NAME.<N-1>: a user's id decides which one; "  \
           "the session-services first")                                                           \
    OPTION(                                                                                        \
        declare, CHOICE(enum broker_declare, "MODE", "auto|never"), "declare", "auto",             \
        "auto: declares the queue, and uses one that is there with other arguments, or may not "   \
        "be declared, as it is; never: only looks whether it is there")                            \
    OPTION(queue_type, CHOICE(enum broker_queue_type, "TYPE", "quorum|classic"), "queue-type",     \
           "quorum", "must be what the queue already is; classic for clients of the old demo")     \
    OPTION(heartbeat_ms, DURATION(1000, 600000), "heartbeat", "10s",                               \
           "AMQP heartbeat; a silent broker is given up after two of them")                        \
    OPTION(                                                                                        \
        drain_delay_ms, DURATION(0, 600000), "drain-delay", "0s",                                  \
        "how long after SIGTERM HTTP connections are still accepted, while /readyz says no, so "   \
        "that a proxy in front takes this one out")                                                \
    OPTION(drain_timeout_ms, DURATION(100, 600000), "drain-timeout", "10s",                        \
           "how long SIGTERM waits for what was accepted")                                         \
    OPTION(connection_limit, INTEGER(1, 1000000), "connection-limit", "12000",                     \
           "open HTTP connections at most")                                                        \
    OPTION(address_connection_limit, INTEGER(0, 1000000), "address-connection-limit", "0",         \
           "open HTTP connections of one address; 0: no limit")                                    \
    OPTION(idle_timeout_ms, DURATION(1000, 600000), "idle-timeout", "10s",                         \
           "closes an HTTP connection on which no whole head of a request comes for so long")      \
    OPTION(request_timeout_ms, DURATION(1000, 600000), "request-timeout", "20s",                   \
           "the body of an HTTP request must be there so long after its head, else 408")           \
    OPTION(reply_timeout_ms, DURATION(1000, 600000), "reply-timeout", "20s",                       \
           "an HTTP client must have taken a reply in so long")                                    \
    OPTION(user_check, CHOICE(enum user_check, "MODE", "strict|relaxed"), "user-check", "strict",  \
           "relaxed: id, email, username and name may be anything or absent; same on both "        \
           "services")                                                                             \
    OPTION(log_format, CHOICE(enum log_format, "FORMAT", "auto|text|json"), "log-format", "auto",  \
           "auto: text on a terminal, else JSON")                                                  \
    OPTION(log_level, CHOICE(enum log_level, "LEVEL", "debug|info|warning|error"), "log-level",    \
           "info", "what is less than this is not logged")                                         \
    OPTION(log_payload, CHOICE(enum log_payload, "MODE", "redacted|full|none"), "log-payload",     \
           "redacted", "how much of a user a log line shows")

struct common_settings {
    COMMON_OPTIONS(OPTION_MEMBER, NULL)
};

/* Returns the options of a connection to the queue, with confirms. All but the name of the queue is
 * borrowed. */
struct connector_options common_settings_connection(const struct common_settings *settings,
                                                    const char *name);

/* These check what no single row can check: the URLs, the files, the name of the queue, and where
 * it is safe to listen. The first checks only what connecting needs. */
MUST_CHECK enum outcome common_settings_check_broker(const struct common_settings *settings,
                                                     struct error *ret_error);
MUST_CHECK enum outcome common_settings_check(const struct common_settings *settings,
                                              struct error *ret_error);
