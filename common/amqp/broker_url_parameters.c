/* The parameters of a broker URL: each is taken, or refused by its name. */
#include "common/amqp/broker_url_internal.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    NAME_BYTES_MAX = 40,
    HEARTBEAT_S_MAX = 600, /* that of --heartbeat */
    CONNECTION_TIMEOUT_MS_MIN = 100,
    CONNECTION_TIMEOUT_MS_MAX = 600000,
    CHANNEL_MAX = 65535,
    FRAME_BYTES_MIN = 4096, /* AMQP's least */
};

struct parameter {
    const char *name;
    /* NULL: it is refused, and `expected` says why. */
    bool (*take)(const char *value, struct broker_address *address);
    const char *expected;
    bool only_tls;
};

static bool take_number(const char *value, long minimum, long maximum, int *ret_number)
{
    size_t digits = strspn(value, "0123456789");
    if (digits == 0 || digits > 9 || value[digits] != '\0') {
        return false;
    }
    long number = strtol(value, NULL, 10);
    if (number < minimum || number > maximum) {
        return false;
    }
    *ret_number = (int)number;
    return true;
}

static bool take_heartbeat(const char *value, struct broker_address *address)
{
    return take_number(value, 1, HEARTBEAT_S_MAX, &address->heartbeat_s);
}

static bool take_connection_timeout(const char *value, struct broker_address *address)
{
    return take_number(value, CONNECTION_TIMEOUT_MS_MIN, CONNECTION_TIMEOUT_MS_MAX,
                       &address->connection_timeout_ms);
}

/* A connection has one channel here, which is within every limit; 0 means none. */
static bool take_channel_max(const char *value, struct broker_address *address)
{
    int unused;
    (void)address;
    return take_number(value, 0, CHANNEL_MAX, &unused);
}

static bool take_frame_max(const char *value, struct broker_address *address)
{
    int bytes = 0;
    if (!take_number(value, 0, INT32_MAX, &bytes) || (bytes != 0 && bytes < FRAME_BYTES_MIN)) {
        return false;
    }
    address->frame_bytes_max = bytes;
    return true;
}

static bool take_ca_file(const char *value, struct broker_address *address)
{
    address->tls_files.ca_file = value;
    return *value != '\0';
}

static bool take_cert_file(const char *value, struct broker_address *address)
{
    address->tls_files.cert_file = value;
    return *value != '\0';
}

static bool take_key_file(const char *value, struct broker_address *address)
{
    address->tls_files.key_file = value;
    return *value != '\0';
}

static bool take_verify(const char *value, struct broker_address *address)
{
    (void)address;
    return strcmp(value, "verify_peer") == 0;
}

static bool take_server_name(const char *value, struct broker_address *address)
{
    return strcasecmp(value, address->host) == 0;
}

static bool take_mechanism(const char *value, struct broker_address *address)
{
    (void)address;
    return strcasecmp(value, "plain") == 0;
}

/* The second names of two are those of amqplib. */
static const struct parameter parameters[] = {
    {"heartbeat", take_heartbeat, "1 to 600 seconds (with 0 nobody would notice a silent broker)",
     false},
    {"connection_timeout", take_connection_timeout, "100 to 600000 milliseconds", false},
    {"channel_max", take_channel_max, "0 to 65535", false},
    {"channelMax", take_channel_max, "0 to 65535", false},
    {"frame_max", take_frame_max, "0 (no limit), or 4096 bytes and more", false},
    {"frameMax", take_frame_max, "0 (no limit), or 4096 bytes and more", false},
    {"cacertfile", take_ca_file, "a file's path", true},
    {"certfile", take_cert_file, "a file's path", true},
    {"keyfile", take_key_file, "a file's path", true},
    {"verify", take_verify,
     "only verify_peer: the broker's certificate is always verified (see --amqp-ca-file)", true},
    {"server_name_indication", take_server_name,
     "only the host of the URL, for which the certificate must be valid", true},
    {"auth_mechanism", take_mechanism, "only plain", false},
    {"password", NULL, "a key with a passphrase is not supported", false},
    {"fail_if_no_peer_cert", NULL, "it is a setting of a broker, not of its client", false},
    {"depth", NULL, "it is not supported; OpenSSL's default applies", false},
};

enum { PARAMETERS = sizeof(parameters) / sizeof(parameters[0]) };

/* Only a name that could be one is shown: no digits, no signs. */
static enum outcome refuse_unknown(const char *name, struct error *ret_error)
{
    static const char known[] = "known are heartbeat, connection_timeout, channel_max, frame_max, "
                                "cacertfile, certfile, keyfile, verify, server_name_indication "
                                "and auth_mechanism";
    size_t length = 0;
    while (isalpha((unsigned char)name[length]) || name[length] == '_' || name[length] == '-') {
        length++;
    }
    if (length == 0 || length > NAME_BYTES_MAX || name[length] != '\0') {
        return error_set(ret_error, OUTCOME_INVALID, "parameters: one of them has no name; %s",
                         known);
    }
    return error_set(ret_error, OUTCOME_INVALID, "parameter %s: it is not known; %s", name, known);
}

static enum outcome take_parameter(const char *name, char *value, bool is_given[PARAMETERS],
                                   struct broker_address *address, struct error *ret_error)
{
    size_t i = 0;
    while (i < PARAMETERS && strcmp(parameters[i].name, name) != 0) {
        i++;
    }
    if (i == PARAMETERS) {
        return refuse_unknown(name, ret_error);
    }
    const struct parameter *parameter = &parameters[i];
    char part[sizeof("parameter ") + NAME_BYTES_MAX] = "parameter ";
    strncat(part, parameter->name, NAME_BYTES_MAX);
    enum outcome outcome = broker_url_decode(value, part, false, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    if (parameter->take == NULL) {
        return error_set(ret_error, OUTCOME_INVALID, "%s: %s", part, parameter->expected);
    }
    if (is_given[i] || (parameter->only_tls && !address->tls)) {
        return error_set(ret_error, OUTCOME_INVALID, "%s: %s", part,
                         is_given[i] ? "it is given twice" : "it is only for amqps://");
    }
    is_given[i] = true;
    if (!parameter->take(value, address)) {
        return error_set(ret_error, OUTCOME_INVALID, "%s: it takes %s", part, parameter->expected);
    }
    return OUTCOME_OK;
}

enum outcome broker_url_take_parameters(char *query, struct broker_address *address,
                                        struct error *ret_error)
{
    bool is_given[PARAMETERS] = {false};
    char *rest = query;
    while (rest != NULL) {
        char *name = strsep(&rest, "&");
        char *value = strchr(name, '=');
        if (*name == '\0') {
            continue;
        }
        if (value == NULL) {
            return error_set(ret_error, OUTCOME_INVALID,
                             "parameters: one of them is not of the form NAME=VALUE");
        }
        *value++ = '\0';
        enum outcome outcome = take_parameter(name, value, is_given, address, ret_error);
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
    }
    return OUTCOME_OK;
}
