/* Splits the URL at its delimiters, then decodes and validates each part. */
#include "common/amqp/broker_url_internal.h"

#include "common/base/hex.h"
#include "common/base/utf8.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { PORT_PLAIN = 5672, PORT_TLS = 5671, PORT_MAX = 65535, PORT_DIGITS_MAX = 5 };

static enum outcome refuse(const char *part, const char *why, struct error *ret_error)
{
    return error_set(ret_error, OUTCOME_INVALID, "%s: %s", part, why);
}

static bool is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7f;
}

enum outcome broker_url_decode(char *text, const char *part, bool is_secret,
                               struct error *ret_error)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        char c = *from;
        bool is_raw = c != '%';
        if (!is_raw) {
            int high = hex_digit_value(from[1]);
            int low = high < 0 ? -1 : hex_digit_value(from[2]);
            if (low < 0) {
                return refuse(part,
                              "a '%' is not followed by two hexadecimal digits; a '%' that "
                              "belongs to it is written as %25",
                              ret_error);
            }
            c = (char)(high * 16 + low);
            from += 2;
        }
        if (c == '\0' || (is_control(c) && (is_raw || !is_secret))) {
            return refuse(part, "a line end or another control character is in it", ret_error);
        }
        *to++ = c;
    }
    *to = '\0';
    return OUTCOME_OK;
}

static enum outcome take_scheme(char *url, struct broker_address *address, char **ret_rest,
                                struct error *ret_error)
{
    static const char plain[] = "amqp://";
    static const char tls[] = "amqps://";
    if (*url == '\0') {
        return error_set(ret_error, OUTCOME_INVALID, "there is none, only blanks or a comma");
    }
    if (*url == '"' || *url == '\'') {
        return error_set(ret_error, OUTCOME_INVALID, "it is in quotes; write it without them");
    }
    address->tls = strncasecmp(url, tls, sizeof(tls) - 1) == 0;
    if (!address->tls && strncasecmp(url, plain, sizeof(plain) - 1) != 0) {
        return refuse("scheme",
                      "it begins with neither amqp:// nor amqps:// (a ',' in a password is "
                      "written as %2C)",
                      ret_error);
    }
    address->port = address->tls ? PORT_TLS : PORT_PLAIN;
    *ret_rest = url + (address->tls ? sizeof(tls) : sizeof(plain)) - 1;
    return OUTCOME_OK;
}

static enum outcome take_user(char *user_information, struct broker_address *address,
                              struct error *ret_error)
{
    char *password = strchr(user_information, ':');
    if (password != NULL) {
        *password++ = '\0';
    }
    enum outcome outcome = broker_url_decode(user_information, "user", false, ret_error);
    if (outcome == OUTCOME_OK && !utf8_is_valid(slice_of(user_information))) {
        outcome = refuse("user", "it is not UTF-8", ret_error);
    }
    if (outcome == OUTCOME_OK && password != NULL) {
        outcome = broker_url_decode(password, "password", true, ret_error);
        address->password = password;
    }
    address->user = user_information;
    return outcome;
}

/* The text may be the end of a password whose '@' is missing or comes too late: it is not shown. */
static enum outcome take_port(const char *text, struct broker_address *address,
                              struct error *ret_error)
{
    size_t digits = strspn(text, "0123456789");
    long port = digits <= PORT_DIGITS_MAX ? strtol(text, NULL, 10) : 0;
    if (digits == 0 || text[digits] != '\0' || port < 1 || port > PORT_MAX) {
        return refuse("port",
                      "it is not a number from 1 to 65535 (where this is a password: '/' in it is "
                      "written as %2F, '?' as %3F, '#' as %23, ',' as %2C)",
                      ret_error);
    }
    address->port = (int)port;
    return OUTCOME_OK;
}

/* Between brackets; `host` may end with a zone: fe80::1%eth0. */
static bool is_ipv6(const char *host)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr binary;
    size_t length = strcspn(host, "%");
    if (length >= sizeof(address) || (host[length] == '%' && host[length + 1] == '\0')) {
        return false;
    }
    memcpy(address, host, length);
    address[length] = '\0';
    return inet_pton(AF_INET6, address, &binary) == 1;
}

/* Cuts the host off from its port; *ret_port is NULL where there is none. */
static enum outcome split_host(char *text, char **ret_host, char **ret_port,
                               struct error *ret_error)
{
    char *end = text;
    *ret_host = text;
    if (*text == '[') {
        *ret_host = text + 1;
        end = strchr(text, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':')) {
            return refuse("host", "a '[' needs its ']', and only :PORT may follow it", ret_error);
        }
        *end++ = '\0';
    } else {
        end += strcspn(text, ":");
        if (*end == ':' && strchr(end + 1, ':') != NULL) {
            return refuse("host", "an IPv6 address stands in brackets: [::1]", ret_error);
        }
    }
    *ret_port = *end == ':' ? end + 1 : NULL;
    *end = '\0';
    return OUTCOME_OK;
}

static enum outcome take_host(char *text, struct broker_address *address, struct error *ret_error)
{
    char *host = NULL;
    char *port = NULL;
    bool in_brackets = *text == '[';
    enum outcome outcome = split_host(text, &host, &port, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = broker_url_decode(host, "host", false, ret_error);
    }
    if (outcome == OUTCOME_OK && in_brackets && !is_ipv6(host)) {
        outcome = refuse("host", "what stands in brackets is not an IPv6 address", ret_error);
    }
    const char *foreign = in_brackets ? " []/@\"" : " []/@\":";
    if (outcome == OUTCOME_OK &&
        (strpbrk(host, foreign) != NULL || !utf8_is_valid(slice_of(host)))) {
        outcome = refuse("host", "a character is in it that no name or address has", ret_error);
    }
    if (outcome == OUTCOME_OK && port != NULL) {
        outcome = take_port(port, address, ret_error);
    }
    if (*host != '\0') {
        address->host = host;
    }
    return outcome;
}

/* `path` is what follows the first '/'. */
static enum outcome take_vhost(char *path, struct broker_address *address, struct error *ret_error)
{
    if (strcmp(path, "/") != 0 && strchr(path, '/') != NULL) {
        return refuse("vhost",
                      "a '/' in it or at its end; one that belongs to it is written as "
                      "%2F",
                      ret_error);
    }
    enum outcome outcome = broker_url_decode(path, "vhost", false, ret_error);
    if (outcome == OUTCOME_OK && !utf8_is_valid(slice_of(path))) {
        outcome = refuse("vhost", "it is not UTF-8", ret_error);
    }
    if (outcome == OUTCOME_OK && strlen(path) > BROKER_VHOST_BYTES_MAX) {
        outcome = refuse("vhost", "it has more than 255 bytes", ret_error);
    }
    if (*path != '\0') {
        address->vhost = path;
    }
    return outcome;
}

/* An '@' behind the host is most likely one behind a password that holds a delimiter; then nothing
 * of what follows may be taken for a host or for the name of a parameter, which are shown. */
static enum outcome check_delimiters(const char *authority, const char *behind,
                                     struct error *ret_error)
{
    const char *at_sign = strchr(authority, '@');
    const char *second = at_sign == NULL ? NULL : strchr(at_sign + 1, '@');
    if (second != NULL || strchr(behind, '@') != NULL) {
        return refuse("user, password or vhost",
                      "an '@' too many; in them '@' is written as %40, '/' as %2F, '?' as %3F and "
                      "'#' as %23",
                      ret_error);
    }
    if (strchr(behind, '#') != NULL) {
        return refuse("password or vhost", "a '#' in it is written as %23", ret_error);
    }
    return OUTCOME_OK;
}

static enum outcome take_parts(char *url, struct broker_address *address, struct error *ret_error)
{
    char *authority = url;
    enum outcome outcome = take_scheme(url, address, &authority, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    char *behind = authority + strcspn(authority, "/?#");
    char *query = strchr(behind, '?');
    outcome = check_delimiters(authority, behind, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    char *path = *behind == '/' ? behind + 1 : NULL;
    *behind = '\0';
    if (query != NULL) {
        *query++ = '\0';
    }
    char *host = strchr(authority, '@');
    if (host != NULL) {
        *host++ = '\0';
        outcome = take_user(authority, address, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = take_host(host != NULL ? host : authority, address, ret_error);
    }
    if (outcome == OUTCOME_OK && path != NULL) {
        outcome = take_vhost(path, address, ret_error);
    }
    if (outcome == OUTCOME_OK && query != NULL) {
        outcome = broker_url_take_parameters(query, address, ret_error);
    }
    return outcome;
}

enum outcome broker_address_parse(struct slice url, struct broker_address *ret_address,
                                  struct error *ret_error)
{
    struct slice trimmed = slice_trimmed(url);
    if (trimmed.length > 0 && memchr(trimmed.data, '\0', trimmed.length) != NULL) {
        return error_set(ret_error, OUTCOME_INVALID, "a NUL byte is in it");
    }
    char *copy = strndup(trimmed.length == 0 ? "" : trimmed.data, trimmed.length);
    if (copy == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for a broker URL");
    }
    struct broker_address address = {
        .url_copy = copy,
        .url_bytes = trimmed.length,
        .user = "guest",
        .password = "guest",
        .vhost = "/",
        .host = "localhost",
    };
    enum outcome outcome = take_parts(copy, &address, ret_error);
    if (outcome != OUTCOME_OK) {
        broker_address_done(&address);
        return outcome;
    }
    *ret_address = address;
    return OUTCOME_OK;
}

void broker_address_done(struct broker_address *address)
{
    if (address->url_copy != NULL) {
        explicit_bzero(address->url_copy, address->url_bytes);
    }
    free(address->url_copy);
    *address = (struct broker_address){0};
}

/* Appends `more` with %XX for what is not plain, or as much of it as there is room for. */
static void append_encoded(char text[BROKER_URL_TEXT_BYTES], const char *more, const char *plain)
{
    size_t length = strlen(text);
    for (; *more != '\0' && length + sizeof("%XX") <= BROKER_URL_TEXT_BYTES; more++) {
        unsigned char c = (unsigned char)*more;
        bool is_plain = (c < 0x80 && isalnum(c)) || strchr(plain, c) != NULL;
        length += (size_t)snprintf(text + length, BROKER_URL_TEXT_BYTES - length,
                                   is_plain ? "%c" : "%%%02X", c);
    }
}

void broker_address_text(const struct broker_address *address, char ret_text[BROKER_URL_TEXT_BYTES])
{
    static const char plain[] = "-._~";
    bool is_ipv6_address = strchr(address->host, ':') != NULL;
    (void)snprintf(ret_text, BROKER_URL_TEXT_BYTES, "%s://", address->tls ? "amqps" : "amqp");
    append_encoded(ret_text, address->user, plain);
    append_encoded(ret_text, is_ipv6_address ? "@[" : "@", "@[");
    append_encoded(ret_text, address->host, "-._~:");
    size_t length = strlen(ret_text);
    (void)snprintf(ret_text + length, BROKER_URL_TEXT_BYTES - length, "%s:%d/",
                   is_ipv6_address ? "]" : "", address->port);
    if (strcmp(address->vhost, "/") != 0) {
        append_encoded(ret_text, address->vhost, plain);
    }
}
