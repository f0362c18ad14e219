/* The options that both services have: one struct, and one list of rows for the services' tables.
 */
#pragma once

#include "common/broker.h"
#include "common/options.h"
#include "common/user.h"

enum log_payload { LOG_PAYLOAD_REDACTED, LOG_PAYLOAD_FULL, LOG_PAYLOAD_NONE };
enum auth_mode { AUTH_LOOPBACK, AUTH_NONE };
enum user_check { USER_CHECK_STRICT, USER_CHECK_RELAXED };

struct common_settings {
    char *listen;
    char *amqp_url;
    char *amqp_password_file;
    char *amqp_ca_file;
    char *amqp_cert_file;
    char *amqp_key_file;
    char *auth_token_file;
    char *queue;
    int queue_type; /* enum broker_queue_type */
    int64_t heartbeat_ms;
    int64_t drain_timeout_ms;
    int64_t connection_limit;
    int64_t address_connection_limit;
    int64_t idle_timeout_ms;
    int64_t request_timeout_ms;
    int64_t reply_timeout_ms;
    int user_check;  /* enum user_check */
    int auth;        /* enum auth_mode */
    int log_format;  /* enum log_format */
    int log_level;   /* enum log_level */
    int log_payload; /* enum log_payload */
};

/* Rows for a table whose settings struct has the common settings as its member `common`. */
#define COMMON_OFFSET(settings, member) offsetof(settings, common.member)
#define COMMON_OPTION_ROWS(settings, listen_default)                                               \
    {.name = "listen",                                                                             \
     .value_name = "ADDR:PORT",                                                                    \
     .type = OPTION_TEXT,                                                                          \
     .offset = COMMON_OFFSET(settings, listen),                                                    \
     .default_text = (listen_default),                                                             \
     .help = "where to serve HTTP; beyond loopback only with --auth-token-file or --auth none"},   \
        {.name = "auth-token-file",                                                                \
         .value_name = "FILE",                                                                     \
         .type = OPTION_TEXT,                                                                      \
         .offset = COMMON_OFFSET(settings, auth_token_file),                                       \
         .help = "tokens, one on a line, of which every request but GET /healthz must show one "   \
                 "(Authorization: Bearer TOKEN); read again on SIGHUP"},                           \
        {.name = "auth",                                                                           \
         .value_name = "MODE",                                                                     \
         .type = OPTION_CHOICE,                                                                    \
         .offset = COMMON_OFFSET(settings, auth),                                                  \
         .default_text = "loopback",                                                               \
         .choices = "loopback|none",                                                               \
         .help = "without a token file; loopback: refuse to listen beyond this machine; none: "    \
                 "anyone who reaches it may use it"},                                              \
        {.name = "amqp-url",                                                                       \
         .value_name = "URL[,URL...]",                                                             \
         .type = OPTION_TEXT,                                                                      \
         .offset = COMMON_OFFSET(settings, amqp_url),                                              \
         .default_text = "amqp://guest:guest@127.0.0.1:5672/",                                     \
         .environment = "AMQP_URL",                                                                \
         .secret = true,                                                                           \
         .help = "brokers of one cluster, tried in turn; amqps:// for TLS"},                       \
        {.name = "amqp-password-file",                                                             \
         .value_name = "FILE",                                                                     \
         .type = OPTION_TEXT,                                                                      \
         .offset = COMMON_OFFSET(settings, amqp_password_file),                                    \
         .help = "holds the password to use instead of the URL's; read at each connection"},       \
        {.name = "amqp-ca-file",                                                                   \
         .value_name = "FILE",                                                                     \
         .type = OPTION_TEXT,                                                                      \
         .offset = COMMON_OFFSET(settings, amqp_ca_file),                                          \
         .help = "PEM certificates of the authorities that amqps:// brokers are trusted by; "      \
                 "without it the system's"},                                                       \
        {.name = "amqp-cert-file",                                                                 \
         .value_name = "FILE",                                                                     \
         .type = OPTION_TEXT,                                                                      \
         .offset = COMMON_OFFSET(settings, amqp_cert_file),                                        \
         .help = "PEM certificate to show to amqps:// brokers that ask for one"},                  \
        {.name = "amqp-key-file",                                                                  \
         .value_name = "FILE",                                                                     \
         .type = OPTION_TEXT,                                                                      \
         .offset = COMMON_OFFSET(settings, amqp_key_file),                                         \
         .help = "PEM key of that certificate, without a passphrase"},                             \
        {.name = "queue",                                                                          \
         .value_name = "NAME",                                                                     \
         .type = OPTION_TEXT,                                                                      \
         .offset = COMMON_OFFSET(settings, queue),                                                 \
         .default_text = "session",                                                                \
         .help = "the durable queue between the services; declared where it is missing"},          \
        {.name = "queue-type",                                                                     \
         .value_name = "TYPE",                                                                     \
         .type = OPTION_CHOICE,                                                                    \
         .offset = COMMON_OFFSET(settings, queue_type),                                            \
         .default_text = "quorum",                                                                 \
         .choices = "quorum|classic",                                                              \
         .help = "must be what the queue already is; classic for clients of the old demo"},        \
        {.name = "heartbeat",                                                                      \
         .value_name = "DURATION",                                                                 \
         .type = OPTION_DURATION,                                                                  \
         .offset = COMMON_OFFSET(settings, heartbeat_ms),                                          \
         .default_text = "10s",                                                                    \
         .minimum = 1000,                                                                          \
         .maximum = 600000,                                                                        \
         .help = "AMQP heartbeat; a silent broker is given up after two of them"},                 \
        {.name = "drain-timeout",                                                                  \
         .value_name = "DURATION",                                                                 \
         .type = OPTION_DURATION,                                                                  \
         .offset = COMMON_OFFSET(settings, drain_timeout_ms),                                      \
         .default_text = "10s",                                                                    \
         .minimum = 100,                                                                           \
         .maximum = 600000,                                                                        \
         .help = "how long SIGTERM waits for what was accepted"},                                  \
        {.name = "connection-limit",                                                               \
         .value_name = "N",                                                                        \
         .type = OPTION_INTEGER,                                                                   \
         .offset = COMMON_OFFSET(settings, connection_limit),                                      \
         .default_text = "12000",                                                                  \
         .minimum = 1,                                                                             \
         .maximum = 1000000,                                                                       \
         .help = "open HTTP connections at most"},                                                 \
        {.name = "address-connection-limit",                                                       \
         .value_name = "N",                                                                        \
         .type = OPTION_INTEGER,                                                                   \
         .offset = COMMON_OFFSET(settings, address_connection_limit),                              \
         .default_text = "0",                                                                      \
         .minimum = 0,                                                                             \
         .maximum = 1000000,                                                                       \
         .help = "open HTTP connections of one address; 0: no limit"},                             \
        {.name = "idle-timeout",                                                                   \
         .value_name = "DURATION",                                                                 \
         .type = OPTION_DURATION,                                                                  \
         .offset = COMMON_OFFSET(settings, idle_timeout_ms),                                       \
         .default_text = "10s",                                                                    \
         .minimum = 1000,                                                                          \
         .maximum = 600000,                                                                        \
         .help = "closes an HTTP connection on which no whole head of a request comes for so "     \
                 "long"},                                                                          \
        {.name = "request-timeout",                                                                \
         .value_name = "DURATION",                                                                 \
         .type = OPTION_DURATION,                                                                  \
         .offset = COMMON_OFFSET(settings, request_timeout_ms),                                    \
         .default_text = "20s",                                                                    \
         .minimum = 1000,                                                                          \
         .maximum = 600000,                                                                        \
         .help = "the body of an HTTP request must be there so long after its head, else 408"},    \
        {.name = "reply-timeout",                                                                  \
         .value_name = "DURATION",                                                                 \
         .type = OPTION_DURATION,                                                                  \
         .offset = COMMON_OFFSET(settings, reply_timeout_ms),                                      \
         .default_text = "20s",                                                                    \
         .minimum = 1000,                                                                          \
         .maximum = 600000,                                                                        \
         .help = "an HTTP client must have taken a reply in so long"},                             \
        {.name = "user-check",                                                                     \
         .value_name = "MODE",                                                                     \
         .type = OPTION_CHOICE,                                                                    \
         .offset = COMMON_OFFSET(settings, user_check),                                            \
         .default_text = "strict",                                                                 \
         .choices = "strict|relaxed",                                                              \
         .help = "relaxed: id, email, username and name may be anything or absent; same on both "  \
                 "services"},                                                                      \
        {.name = "log-format",                                                                     \
         .value_name = "FORMAT",                                                                   \
         .type = OPTION_CHOICE,                                                                    \
         .offset = COMMON_OFFSET(settings, log_format),                                            \
         .default_text = "auto",                                                                   \
         .choices = "auto|text|json",                                                              \
         .help = "auto: text on a terminal, else JSON"},                                           \
        {.name = "log-level",                                                                      \
         .value_name = "LEVEL",                                                                    \
         .type = OPTION_CHOICE,                                                                    \
         .offset = COMMON_OFFSET(settings, log_level),                                             \
         .default_text = "info",                                                                   \
         .choices = "debug|info|warning|error",                                                    \
         .help = "what is less than this is not logged"},                                          \
    {                                                                                              \
        .name = "log-payload", .value_name = "MODE", .type = OPTION_CHOICE,                        \
        .offset = COMMON_OFFSET(settings, log_payload), .default_text = "redacted",                \
        .choices = "redacted|full|none", .help = "how much of a user a log line shows"             \
    }

/* The TLS files, borrowed. */
struct broker_tls_files common_settings_tls_files(const struct common_settings *settings);

/* What no single row can check: the URLs, the files, the name of the queue, and where it is safe to
 * listen. The first judges only what connecting needs. */
MUST_CHECK enum outcome common_settings_check_broker(const struct common_settings *settings,
                                                     struct error *ret_error);
MUST_CHECK enum outcome common_settings_check(const struct common_settings *settings,
                                              struct error *ret_error);
