/* Parses the list, reads the password file, opens. */
#include "common/amqp/broker_hosts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { PASSWORD_BYTES_MAX = 1024 };

enum outcome broker_hosts_parse(const char *urls, struct broker_hosts *ret_hosts,
                                struct error *ret_error)
{
    struct broker_hosts hosts = {.count = 0};
    enum outcome outcome = OUTCOME_OK;
    for (const char *rest = urls; outcome == OUTCOME_OK;) {
        size_t length = strcspn(rest, ",");
        if (hosts.count == BROKER_URLS_MAX) {
            outcome =
                error_set(ret_error, OUTCOME_INVALID, "more than %d broker URLs", BROKER_URLS_MAX);
            break;
        }
        outcome = broker_address_parse((struct slice){rest, length}, &hosts.addresses[hosts.count],
                                       ret_error);
        if (outcome == OUTCOME_OK) {
            hosts.count++;
        }
        if (rest[length] == '\0') {
            break;
        }
        rest += length + 1;
    }
    if (outcome != OUTCOME_OK) {
        broker_hosts_done(&hosts);
        return outcome;
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

static enum outcome read_password(const char *path, char ret_password[PASSWORD_BYTES_MAX],
                                  struct error *ret_error)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return error_set_errno(ret_error, OUTCOME_INVALID, errno,
                               "open the --amqp-password-file %s", path);
    }
    size_t length = 0;
    ssize_t got = 0;
    while (length < PASSWORD_BYTES_MAX &&
           (got = read(file, ret_password + length, PASSWORD_BYTES_MAX - length)) > 0) {
        length += (size_t)got;
    }
    int read_errno = errno;
    close(file);
    if (got < 0) {
        return error_set_errno(ret_error, OUTCOME_INVALID, read_errno,
                               "read the --amqp-password-file %s", path);
    }
    while (length > 0 && (ret_password[length - 1] == '\n' || ret_password[length - 1] == '\r')) {
        length--;
    }
    if (length == 0 || length == PASSWORD_BYTES_MAX || memchr(ret_password, 0, length) != NULL) {
        return error_set(ret_error, OUTCOME_INVALID,
                         "the --amqp-password-file %s does not hold one line of 1 to %d bytes",
                         path, PASSWORD_BYTES_MAX - 1);
    }
    ret_password[length] = '\0';
    return OUTCOME_OK;
}

enum outcome broker_hosts_open(const struct broker_address *address,
                               const struct broker_open_options *options, const char *password_file,
                               struct broker **ret_broker, struct error *ret_error)
{
    if (password_file == NULL) {
        return broker_open(address, options, ret_broker, ret_error);
    }
    char password[PASSWORD_BYTES_MAX];
    enum outcome outcome = read_password(password_file, password, ret_error);
    if (outcome == OUTCOME_OK) {
        struct broker_open_options with_password = *options;
        with_password.password = password;
        outcome = broker_open(address, &with_password, ret_broker, ret_error);
    }
    explicit_bzero(password, sizeof(password));
    return outcome;
}
