/* Listening sockets: from a list of ADDR:PORT and paths, or passed by the service manager. */
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
#include <sys/stat.h>
#include <sys/un.h>
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
                        "--listen '%s' is not of the form ADDR:PORT, [ADDR6]:PORT or /PATH",
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

/* How many sockets sd_listen_fds(3) passes; 0: none. */
static enum outcome count_passed(size_t *ret_count, struct error *ret_error)
{
    int count = sd_listen_fds(0);
    if (count < 0) {
        return error_set_errno(ret_error, OUTCOME_INVALID, -count, "take the passed sockets");
    }
    if (count > HTTP_LISTENERS_MAX) {
        return error_set(ret_error, OUTCOME_INVALID, "%d sockets are passed; at most %d are taken",
                         count, (int)HTTP_LISTENERS_MAX);
    }
    for (int i = 0; i < count; i++) {
        if (sd_is_socket(SD_LISTEN_FDS_START + i, AF_UNSPEC, SOCK_STREAM, 1) <= 0) {
            return error_set(ret_error, OUTCOME_INVALID,
                             "a passed socket is not a listening stream socket");
        }
    }
    *ret_count = (size_t)count;
    return OUTCOME_OK;
}

/* One address of the list. */
struct place {
    struct sockaddr_storage address;
    socklen_t length;
    char text[HTTP_ADDRESS_BYTES]; /* as it is in the list */
};

static enum outcome resolve_place(struct slice item, struct place *ret_place,
                                  struct error *ret_error)
{
    *ret_place = (struct place){.length = 0};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    size_t room = item.data[0] == '/' ? sizeof(local.sun_path) : sizeof(ret_place->text);
    if (item.length >= room) {
        return error_set(ret_error, OUTCOME_INVALID, "--listen: an address has more than %zu bytes",
                         room - 1);
    }
    memcpy(ret_place->text, item.data, item.length);
    if (item.data[0] == '/') {
        memcpy(local.sun_path, item.data, item.length);
        memcpy(&ret_place->address, &local, sizeof(local));
        ret_place->length = sizeof(local);
        return OUTCOME_OK;
    }
    struct addrinfo *addresses = resolve(ret_place->text, ret_error);
    if (addresses == NULL) {
        return OUTCOME_INVALID;
    }
    memcpy(&ret_place->address, addresses->ai_addr, addresses->ai_addrlen);
    ret_place->length = addresses->ai_addrlen;
    freeaddrinfo(addresses);
    return OUTCOME_OK;
}

static enum outcome resolve_list(const char *list, struct place ret_places[HTTP_LISTENERS_MAX],
                                 size_t *ret_count, struct error *ret_error)
{
    struct slice item;
    *ret_count = 0;
    while (http_next_item(&list, &item)) {
        if (*ret_count == HTTP_LISTENERS_MAX) {
            return error_set(ret_error, OUTCOME_INVALID, "--listen has more than %d addresses",
                             (int)HTTP_LISTENERS_MAX);
        }
        enum outcome outcome = resolve_place(item, &ret_places[*ret_count], ret_error);
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
        ++*ret_count;
    }
    return *ret_count > 0 ? OUTCOME_OK
                          : error_set(ret_error, OUTCOME_INVALID, "--listen has no address");
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
    struct place places[HTTP_LISTENERS_MAX] = {0};
    size_t count = 0;
    enum outcome outcome = count_passed(&count, ret_error);
    bool are_passed = count > 0;
    if (outcome == OUTCOME_OK && !are_passed) {
        outcome = resolve_list(listen_address, places, &count, ret_error);
    }
    *ret_loopback = true;
    for (size_t i = 0; outcome == OUTCOME_OK && i < count; i++) {
        struct sockaddr_storage *address = &places[i].address;
        socklen_t length = sizeof(*address);
        if (are_passed &&
            getsockname(SD_LISTEN_FDS_START + (int)i, (struct sockaddr *)address, &length) != 0) {
            return error_set_errno(ret_error, OUTCOME_INVALID, errno, "read a passed socket");
        }
        *ret_loopback = *ret_loopback && is_loopback(address);
    }
    return outcome;
}

static void append_address(int descriptor, struct buffer *text)
{
    struct sockaddr_storage storage = {0};
    struct sockaddr_un local;
    socklen_t length = sizeof(storage);
    char host[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
    char port[8];
    bool is_known = getsockname(descriptor, (struct sockaddr *)&storage, &length) == 0;
    memcpy(&local, &storage, sizeof(local));
    if (is_known && storage.ss_family == AF_UNIX && local.sun_path[0] == '/') {
        buffer_append_text(text, local.sun_path);
    } else if (is_known && storage.ss_family != AF_UNIX &&
               getnameinfo((struct sockaddr *)&storage, length, host, sizeof(host), port,
                           sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
        buffer_append_format(text, storage.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    } else {
        buffer_append_text(text, "a passed socket");
    }
}

void http_listen_address(const struct http_listeners *listeners, char *ret_text, size_t size)
{
    struct buffer text;
    buffer_init(&text, size - 1);
    for (size_t i = 0; i < listeners->count; i++) {
        buffer_append_text(&text, i == 0 ? "" : ", ");
        append_address(listeners->descriptors[i], &text);
    }
    (void)snprintf(ret_text, size, "%.*s", (int)text.length, text.length == 0 ? "" : text.data);
    buffer_done(&text);
}

bool http_listen_passed(char ret_text[HTTP_ADDRESSES_BYTES])
{
    struct http_listeners passed = {.count = 0};
    if (count_passed(&passed.count, NULL) != OUTCOME_OK || passed.count == 0) {
        return false;
    }
    for (size_t i = 0; i < passed.count; i++) {
        passed.descriptors[i] = SD_LISTEN_FDS_START + (int)i;
    }
    http_listen_address(&passed, ret_text, HTTP_ADDRESSES_BYTES);
    return true;
}

static enum outcome take_passed(struct http_listeners *listeners, size_t count,
                                struct error *ret_error)
{
    for (size_t i = 0; i < count; i++) {
        int descriptor = SD_LISTEN_FDS_START + (int)i;
        int flags = fcntl(descriptor, F_GETFL);
        if (flags < 0 || fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) != 0 ||
            fcntl(descriptor, F_SETFD, FD_CLOEXEC) != 0) {
            return error_set_errno(ret_error, OUTCOME_TRANSIENT, errno, "use a passed socket");
        }
        listeners->descriptors[listeners->count++] = descriptor;
    }
    listeners->are_passed = true;
    return OUTCOME_OK;
}

/* A process that was killed has left its socket in the file system: nobody answers there. */
static void remove_left_behind(const struct place *place)
{
    struct sockaddr_un local;
    struct stat status;
    memcpy(&local, &place->address, sizeof(local));
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client >= 0 && lstat(local.sun_path, &status) == 0 && S_ISSOCK(status.st_mode) &&
        connect(client, (const struct sockaddr *)&local, sizeof(local)) != 0 &&
        errno == ECONNREFUSED) {
        (void)unlink(local.sun_path);
    }
    if (client >= 0) {
        (void)close(client);
    }
}

/* Who may reach a local socket is decided by the rights of its folder, as for those of systemd. */
static bool open_to_folder(const struct place *place)
{
    const mode_t all = S_IRUSR | S_IWUSR | S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH;
    return place->address.ss_family != AF_UNIX || chmod(place->text, all) == 0;
}

/* Beside an IPv4 address the one of IPv6 is not for both. */
static bool set_options(int descriptor, const struct place *place, bool has_ipv4)
{
    int one = 1;
    return setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
           (place->address.ss_family != AF_INET6 || !has_ipv4 ||
            setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) == 0);
}

static enum outcome open_place(const struct place *place, bool has_ipv4,
                               struct http_listeners *listeners, struct error *ret_error)
{
    int family = place->address.ss_family;
    if (family == AF_UNIX) {
        remove_left_behind(place);
    }
    int descriptor = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0 || !set_options(descriptor, place, has_ipv4) ||
        bind(descriptor, (const struct sockaddr *)&place->address, place->length) != 0 ||
        !open_to_folder(place) || listen(descriptor, LISTEN_BACKLOG) != 0) {
        enum outcome outcome =
            error_set_errno(ret_error, OUTCOME_TRANSIENT, errno, "listen on %s", place->text);
        if (descriptor >= 0) {
            close(descriptor);
        }
        return outcome;
    }
    if (family == AF_UNIX) { /* one that is removed already stays unknown */
        struct named_file *name = &listeners->places[listeners->count];
        (void)snprintf(name->path, sizeof(name->path), "%s", place->text);
        (void)!named_file_remember(name, NULL);
    }
    listeners->descriptors[listeners->count++] = descriptor;
    return OUTCOME_OK;
}

enum outcome http_listen(const char *listen_address, struct http_listeners *ret_listeners,
                         struct error *ret_error)
{
    struct place places[HTTP_LISTENERS_MAX];
    size_t count = 0;
    *ret_listeners = (struct http_listeners){.count = 0};
    enum outcome outcome = count_passed(&count, ret_error);
    if (outcome == OUTCOME_OK && count > 0) {
        return take_passed(ret_listeners, count, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = resolve_list(listen_address, places, &count, ret_error);
    }
    bool has_ipv4 = false;
    for (size_t i = 0; outcome == OUTCOME_OK && i < count; i++) {
        has_ipv4 = has_ipv4 || places[i].address.ss_family == AF_INET;
    }
    for (size_t i = 0; outcome == OUTCOME_OK && i < count; i++) {
        outcome = open_place(&places[i], has_ipv4, ret_listeners, ret_error);
    }
    return outcome;
}

void http_listeners_close(struct http_listeners *listeners)
{
    while (listeners->count > 0) {
        const struct named_file *name = &listeners->places[--listeners->count];
        if (name->is_known && named_file_look_up(name) == NAMED_FILE_IN_PLACE) {
            (void)unlink(name->path);
        }
        close(listeners->descriptors[listeners->count]);
    }
}
