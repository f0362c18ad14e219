/* A listening socket: from ADDR:PORT, or passed by the service manager. */
#include "common/http/http_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 4096 };

/* Returns owned, for freeaddrinfo(); NULL with an error, and then the address is invalid. */
static struct addrinfo *resolve(const char *listen_address, struct error *ret_error)
{
    char host[256];
    const char *colon = strrchr(listen_address, ':');
    size_t length = colon == NULL ? 0 : (size_t)(colon - listen_address);
    if (length == 0 || length >= sizeof(host) || colon[1] == '\0' ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1) || strlen(colon + 1) > 5 ||
        atol(colon + 1) > 65535) {
        (void)error_set(ret_error, OUTCOME_INVALID,
                        "--listen '%s' is not of the form ADDR:PORT or [ADDR6]:PORT",
                        listen_address);
        return NULL;
    }
    memcpy(host, listen_address, length);
    host[length] = '\0';
    char *name = host;
    if (host[0] == '[' && host[length - 1] == ']') {
        host[length - 1] = '\0';
        name++;
    }
    /* No name look-up may hold up the start, nor depend on /etc/hosts. */
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV | AI_NUMERICHOST};
    const char *address = strcmp(name, "localhost") == 0 ? "127.0.0.1" : name;
    struct addrinfo *addresses = NULL;
    int status = getaddrinfo(address, colon + 1, &hints, &addresses);
    if (status != 0) {
        (void)error_set(ret_error, OUTCOME_INVALID,
                        "--listen '%s': not a numeric address or localhost (%s)", listen_address,
                        gai_strerror(status));
        return NULL;
    }
    return addresses;
}

/* The socket of sd_listen_fds(3), or -1 in *ret_descriptor where none is passed. */
static enum outcome passed_socket(int *ret_descriptor, struct error *ret_error)
{
    int count = sd_listen_fds(0);
    if (count < 0) {
        return error_set_errno(ret_error, OUTCOME_INVALID, -count, "take the passed socket");
    }
    if (count > 1) {
        return error_set(ret_error, OUTCOME_INVALID, "%d sockets are passed; one is expected",
                         count);
    }
    if (count == 1 && sd_is_socket(SD_LISTEN_FDS_START, AF_UNSPEC, SOCK_STREAM, 1) <= 0) {
        return error_set(ret_error, OUTCOME_INVALID,
                         "the passed socket is not a listening stream socket");
    }
    *ret_descriptor = count == 1 ? SD_LISTEN_FDS_START : -1;
    return OUTCOME_OK;
}

static bool is_loopback(const struct sockaddr_storage *storage)
{
    if (storage->ss_family == AF_INET) {
        struct sockaddr_in address;
        memcpy(&address, storage, sizeof(address));
        return (ntohl(address.sin_addr.s_addr) >> 24) == 127;
    }
    if (storage->ss_family == AF_INET6) {
        struct sockaddr_in6 address;
        memcpy(&address, storage, sizeof(address));
        return IN6_IS_ADDR_LOOPBACK(&address.sin6_addr);
    }
    return storage->ss_family == AF_UNIX;
}

enum outcome http_listen_is_loopback(const char *listen_address, bool *ret_loopback,
                                     struct error *ret_error)
{
    struct sockaddr_storage storage = {0};
    socklen_t storage_length = sizeof(storage);
    int passed = -1;
    enum outcome outcome = passed_socket(&passed, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    if (passed >= 0) {
        if (getsockname(passed, (struct sockaddr *)&storage, &storage_length) != 0) {
            return error_set_errno(ret_error, OUTCOME_INVALID, errno, "read the passed socket");
        }
    } else {
        struct addrinfo *addresses = resolve(listen_address, ret_error);
        if (addresses == NULL) {
            return OUTCOME_INVALID;
        }
        memcpy(&storage, addresses->ai_addr, addresses->ai_addrlen);
        freeaddrinfo(addresses);
    }
    *ret_loopback = is_loopback(&storage);
    return OUTCOME_OK;
}

void http_listen_address(int descriptor, char *ret_text, size_t size)
{
    struct sockaddr_storage storage = {0};
    socklen_t length = sizeof(storage);
    char host[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
    char port[8];
    if (getsockname(descriptor, (struct sockaddr *)&storage, &length) != 0 ||
        getnameinfo((struct sockaddr *)&storage, length, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0 ||
        storage.ss_family == AF_UNIX) {
        (void)snprintf(ret_text, size, "a passed socket");
        return;
    }
    (void)snprintf(ret_text, size, storage.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static enum outcome take_passed(int descriptor, struct error *ret_error)
{
    int flags = fcntl(descriptor, F_GETFL);
    if (flags < 0 || fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) != 0 ||
        fcntl(descriptor, F_SETFD, FD_CLOEXEC) != 0) {
        return error_set_errno(ret_error, OUTCOME_TRANSIENT, errno, "use the passed socket");
    }
    return OUTCOME_OK;
}

enum outcome http_listen(const char *listen_address, int *ret_descriptor, bool *ret_is_passed,
                         struct error *ret_error)
{
    int passed = -1;
    enum outcome outcome = passed_socket(&passed, ret_error);
    if (outcome == OUTCOME_OK && passed >= 0) {
        outcome = take_passed(passed, ret_error);
        if (outcome == OUTCOME_OK) {
            *ret_descriptor = passed;
            *ret_is_passed = true;
        }
        return outcome;
    }
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    struct addrinfo *address = resolve(listen_address, ret_error);
    if (address == NULL) {
        return OUTCOME_INVALID;
    }
    int one = 1;
    int descriptor =
        socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (descriptor < 0 ||
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        bind(descriptor, address->ai_addr, address->ai_addrlen) != 0 ||
        listen(descriptor, LISTEN_BACKLOG) != 0) {
        outcome =
            error_set_errno(ret_error, OUTCOME_TRANSIENT, errno, "listen on %s", listen_address);
        if (descriptor >= 0) {
            close(descriptor);
        }
    } else {
        *ret_descriptor = descriptor;
        *ret_is_passed = false;
    }
    freeaddrinfo(address);
    return outcome;
}
