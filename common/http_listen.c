/* ADDR:PORT to a listening socket. */
#include "common/http_internal.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 4096 };

static enum outcome resolve(const char *listen_address, struct addrinfo **ret_addresses,
                            struct error *ret_error)
{
    char host[256];
    const char *colon = strrchr(listen_address, ':');
    size_t length = colon == NULL ? 0 : (size_t)(colon - listen_address);
    if (length == 0 || length >= sizeof(host) || colon[1] == '\0' ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1) || strlen(colon + 1) > 5 ||
        atol(colon + 1) > 65535) {
        return error_set(ret_error, OUTCOME_INVALID,
                         "--listen '%s' is not of the form ADDR:PORT or [ADDR6]:PORT",
                         listen_address);
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
    int status = getaddrinfo(address, colon + 1, &hints, ret_addresses);
    if (status != 0) {
        return error_set(ret_error, OUTCOME_INVALID,
                         "--listen '%s': not a numeric address or localhost (%s)", listen_address,
                         gai_strerror(status));
    }
    return OUTCOME_OK;
}

enum outcome http_listen_is_loopback(const char *listen_address, bool *ret_loopback,
                                     struct error *ret_error)
{
    struct addrinfo *addresses = NULL;
    enum outcome outcome = resolve(listen_address, &addresses, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    bool loopback = false;
    if (addresses->ai_family == AF_INET) {
        struct sockaddr_in address;
        memcpy(&address, addresses->ai_addr, sizeof(address));
        loopback = (ntohl(address.sin_addr.s_addr) >> 24) == 127;
    } else if (addresses->ai_family == AF_INET6) {
        struct sockaddr_in6 address;
        memcpy(&address, addresses->ai_addr, sizeof(address));
        loopback = IN6_IS_ADDR_LOOPBACK(&address.sin6_addr);
    }
    freeaddrinfo(addresses);
    *ret_loopback = loopback;
    return OUTCOME_OK;
}

enum outcome http_listen(const char *listen_address, int *ret_descriptor, struct error *ret_error)
{
    struct addrinfo *addresses = NULL;
    enum outcome outcome = resolve(listen_address, &addresses, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    int one = 1;
    const struct addrinfo *address = addresses;
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
    }
    freeaddrinfo(addresses);
    return outcome;
}
