/* Parses the list, reads the password file, opens. */
#include "common/amqp/broker_hosts.h"

#include "common/base/password_file.h"

#include <stdio.h>
#include <string.h>

enum { WHICH_BYTES = 64 };

/* Cuts the list at its commas. Returns the number of URLs, or one more than there may be. */
static size_t split(const char *urls, struct slice ret_urls[BROKER_URLS_MAX])
{
    size_t count = 0;
    for (const char *rest = urls; count <= BROKER_URLS_MAX; rest++) {
        size_t length = strcspn(rest, ",");
        if (count < BROKER_URLS_MAX) {
            ret_urls[count] = (struct slice){rest, length};
        }
        count++;
        rest += length;
        if (*rest == '\0') {
            break;
        }
    }
    return count;
}

enum outcome broker_hosts_parse(const char *urls, struct broker_hosts *ret_hosts,
                                struct error *ret_error)
{
    struct slice url[BROKER_URLS_MAX];
    struct broker_hosts hosts = {.count = split(urls, url)};
    if (hosts.count > BROKER_URLS_MAX) {
        return error_set(ret_error, OUTCOME_INVALID, "amqp-url: more than %d broker URLs",
                         BROKER_URLS_MAX);
    }
    /* From the end, so that the rest of a password with a comma is the first to be refused. */
    for (size_t i = hosts.count; i > 0; i--) {
        struct error cause;
        enum outcome outcome = broker_address_parse(url[i - 1], &hosts.addresses[i - 1], &cause);
        if (outcome != OUTCOME_OK) {
            char which[WHICH_BYTES] = "";
            if (hosts.count > 1) {
                (void)snprintf(which, sizeof(which), "URL %zu of %zu: ", i, hosts.count);
            }
            broker_hosts_done(&hosts);
            return error_set(ret_error, outcome, "amqp-url: %s%s", which, cause.text);
        }
    }
    *ret_hosts = hosts;
    return OUTCOME_OK;
}

void broker_hosts_done(struct broker_hosts *hosts)
{
    while (hosts->count > 0) {
        broker_address_done(&hosts->addresses[--hosts->count]);
    }
}

enum outcome broker_hosts_open(const struct broker_address *address,
                               const struct broker_open_options *options, const char *password_file,
                               struct broker **ret_broker, struct error *ret_error)
{
    struct broker_open_options own_options = *options;
    own_options.explains = true;
    if (password_file == NULL) {
        return broker_open(address, &own_options, ret_broker, ret_error);
    }
    struct password password;
    enum outcome outcome =
        password_file_read(password_file, "--amqp-password-file", &password, ret_error);
    own_options.password = password.text;
    if (outcome == OUTCOME_OK) {
        outcome = broker_open(address, &own_options, ret_broker, ret_error);
    }
    password_wipe(&password);
    return outcome;
}
