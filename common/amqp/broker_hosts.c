/* Parses the list, reads the password file, opens. */
#include "common/amqp/broker_hosts.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PASSWORD_BYTES_MAX = 1024, FILE_BYTES_MAX = PASSWORD_BYTES_MAX + 64, WHICH_BYTES = 64 };

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

/* Returns the bytes that were read, or -1 and errno. */
static ssize_t read_start(const char *path, char ret_text[FILE_BYTES_MAX])
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return -1;
    }
    size_t length = 0;
    ssize_t got = 0;
    while (length < FILE_BYTES_MAX &&
           (got = read(file, ret_text + length, FILE_BYTES_MAX - length)) > 0) {
        length += (size_t)got;
    }
    int read_errno = errno;
    close(file);
    errno = read_errno;
    return got < 0 ? -1 : (ssize_t)length;
}

/* *ret_password points into `text`, whose end it may move. */
static enum outcome read_password(const char *path, char text[FILE_BYTES_MAX],
                                  const char **ret_password, struct error *ret_error)
{
    ssize_t length = read_start(path, text);
    if (length < 0) {
        return error_set_errno(ret_error, OUTCOME_INVALID, errno,
                               "read the --amqp-password-file %s", path);
    }
    struct slice password = slice_trimmed((struct slice){text, (size_t)length});
    const char *why = NULL;
    if (length == FILE_BYTES_MAX || password.length == 0 || password.length >= PASSWORD_BYTES_MAX) {
        why = "";
    } else if (memchr(password.data, '\0', password.length) != NULL) {
        why = ": a NUL byte is in it (is the file UTF-16?)";
    } else if (memchr(password.data, '\n', password.length) != NULL ||
               memchr(password.data, '\r', password.length) != NULL) {
        why = ": it holds more than one";
    }
    if (why != NULL) {
        return error_set(ret_error, OUTCOME_INVALID,
                         "the --amqp-password-file %s does not hold one line of 1 to %d bytes%s",
                         path, PASSWORD_BYTES_MAX - 1, why);
    }
    text[password.data - text + (ptrdiff_t)password.length] = '\0';
    *ret_password = password.data;
    return OUTCOME_OK;
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
    char text[FILE_BYTES_MAX];
    enum outcome outcome = read_password(password_file, text, &own_options.password, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = broker_open(address, &own_options, ret_broker, ret_error);
    }
    explicit_bzero(text, sizeof(text));
    return outcome;
}
