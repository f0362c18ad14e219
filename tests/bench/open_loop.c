/* Saves at a fixed rate, whatever becomes of those before: an open loop, as many independent
 * clients are.
 *
 *   open_loop PORT RATE SECONDS CONNECTIONS [KEY]
 *
 * With KEY the Idempotency-Key of each save is KEY and its number, and so is its user's id. A save
 * is due every 1/RATE s, and its time counts from that moment, not from when it could be sent: a
 * server that is slow, or a connection that is not free, makes it longer. Prints one line of JSON.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REPLY_BYTES = 4096, EVENTS = 256, LAST_SECONDS = 10, CLASSES = 3, KEY_BYTES_MAX = 32 };
enum class { ACCEPTED, REFUSED, OTHER };

static const char user[] = "{\"id\":\"%s%08llu\",\"name\":\"Ada Lovelace\","
                           "\"email\":\"ada@example.org\",\"note\":\"xxxxxxxxxxxxxxxxxxxx\"}";
static char request[1024];
static size_t request_length;

struct connection {
    int descriptor;
    bool is_busy;
    uint64_t due_us;
    size_t length;
    char reply[REPLY_BYTES + 1];
};

struct times {
    uint32_t *us;
    size_t count, room;
};

struct generator {
    int port, epoll;
    struct connection *connections, **idle;
    size_t connection_count, idle_count, busy_count, most_busy;
    struct times times[CLASSES];
    uint64_t broken, behind_us_max;
};

static uint64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void open_connection(struct generator *generator, struct connection *connection)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)generator->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    connection->descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->descriptor < 0 ||
        connect(connection->descriptor, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        setsockopt(connection->descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0) {
        fail("connect");
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(generator->epoll, EPOLL_CTL_ADD, connection->descriptor, &event) != 0) {
        fail("epoll_ctl");
    }
}

static void note(struct generator *generator, enum class class, uint64_t us)
{
    struct times *times = &generator->times[class];
    if (times->count == times->room) {
        times->room = times->room == 0 ? 65536 : 2 * times->room;
        times->us = realloc(times->us, times->room * sizeof(*times->us));
        if (times->us == NULL) {
            fail("realloc");
        }
    }
    times->us[times->count++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static void finish(struct generator *generator, struct connection *connection)
{
    connection->length = 0;
    connection->is_busy = false;
    generator->busy_count--;
    generator->idle[generator->idle_count++] = connection;
}

static void give_up(struct generator *generator, struct connection *connection)
{
    close(connection->descriptor);
    open_connection(generator, connection);
    if (connection->is_busy) {
        generator->broken++;
        finish(generator, connection);
    }
}

/* The whole reply is here: its status, else 0. */
static int status_of(const struct connection *connection)
{
    const char *end = strstr(connection->reply, "\r\n\r\n");
    const char *length = strcasestr(connection->reply, "\r\ncontent-length:");
    if (end == NULL || length == NULL ||
        connection->length < (size_t)(end + 4 - connection->reply) +
                                 strtoul(length + strlen("\r\ncontent-length:"), NULL, 10)) {
        return 0;
    }
    return (int)strtol(connection->reply + strlen("HTTP/1.1 "), NULL, 10);
}

static void receive(struct generator *generator, struct connection *connection)
{
    ssize_t count = recv(connection->descriptor, connection->reply + connection->length,
                         REPLY_BYTES - connection->length, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (count <= 0) {
        give_up(generator, connection);
        return;
    }
    connection->length += (size_t)count;
    connection->reply[connection->length] = '\0';
    int status = status_of(connection);
    if (status != 0) {
        enum class class = status == 200 || status == 202 ? ACCEPTED
                           : status == 503                ? REFUSED
                                                          : OTHER;
        note(generator, class, now_us() - connection->due_us);
        finish(generator, connection);
    }
}

static void write_request(const char *key, uint64_t number)
{
    unsigned long long shown = number;
    char body[256], key_field[128] = "";
    int length = snprintf(body, sizeof(body), user, key == NULL ? "u-" : key, shown);
    if (key != NULL) {
        (void)snprintf(key_field, sizeof(key_field), "Idempotency-Key: %s%08llu\r\n", key, shown);
    }
    request_length =
        (size_t)snprintf(request, sizeof(request),
                         "POST /users/save HTTP/1.1\r\nHost: 127.0.0.1\r\n%s"
                         "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                         key_field, length, body);
}

static void begin_save(struct generator *generator, uint64_t due_us)
{
    struct connection *connection = generator->idle[--generator->idle_count];
    connection->due_us = due_us;
    connection->is_busy = true;
    generator->busy_count++;
    if (generator->busy_count > generator->most_busy) {
        generator->most_busy = generator->busy_count;
    }
    ssize_t count =
        send(connection->descriptor, request, request_length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count != (ssize_t)request_length) {
        give_up(generator, connection);
    }
}

static void take_replies(struct generator *generator, int wait_ms)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(generator->epoll, events, EVENTS, wait_ms);
    for (int i = 0; i < count; i++) {
        receive(generator, events[i].data.ptr);
    }
}

static uint64_t run(struct generator *generator, double rate, double seconds, const char *key,
                    uint64_t *ret_begin_us)
{
    uint64_t total = (uint64_t)(rate * seconds), sent = 0;
    uint64_t begin_us = now_us() + 1000;
    *ret_begin_us = begin_us;
    while (sent < total) {
        uint64_t now = now_us();
        uint64_t due_us = begin_us + (uint64_t)((double)sent / rate * 1e6);
        while (due_us <= now && sent < total && generator->idle_count > 0) {
            if (now - due_us > generator->behind_us_max) {
                generator->behind_us_max = now - due_us;
            }
            if (key != NULL) {
                write_request(key, sent);
            }
            begin_save(generator, due_us);
            sent++;
            due_us = begin_us + (uint64_t)((double)sent / rate * 1e6);
        }
        /* A wait of 1 ms at the most: what is due meanwhile is sent together, its time counts. */
        take_replies(generator, due_us > now && generator->idle_count > 0
                                    ? (int)((due_us - now + 999) / 1000)
                                    : 1);
    }
    uint64_t took_us = now_us() - begin_us;
    uint64_t end_us = now_us() + LAST_SECONDS * UINT64_C(1000000);
    while (generator->busy_count > 0 && now_us() < end_us) {
        take_replies(generator, 10);
    }
    return took_us;
}

static int compare(const void *a, const void *b)
{
    uint32_t one = *(const uint32_t *)a, two = *(const uint32_t *)b;
    return (one > two) - (one < two);
}

static void print_class(const char *name, struct times *times)
{
    if (times->count > 0) {
        qsort(times->us, times->count, sizeof(*times->us), compare);
    }
    static const double shares[] = {0.5, 0.99, 0.999, 1};
    static const char *const names[] = {"p50", "p99", "p999", "most"};
    printf(", \"%s\": {\"count\": %zu", name, times->count);
    for (size_t i = 0; i < 4 && times->count > 0; i++) {
        size_t at = (size_t)(shares[i] * (double)(times->count - 1));
        printf(", \"%s_ms\": %.3f", names[i], times->us[at] / 1e3);
    }
    printf("}");
}

int main(int argc, char **argv)
{
    if (argc != 5 && argc != 6) {
        fprintf(stderr, "usage: %s PORT RATE SECONDS CONNECTIONS [KEY]\n", argv[0]);
        return 2;
    }
    const char *key = argc == 6 ? argv[5] : NULL;
    if (key != NULL && strlen(key) > KEY_BYTES_MAX) {
        fprintf(stderr, "%s: the key is longer than %d bytes\n", argv[0], KEY_BYTES_MAX);
        return 2;
    }
    struct generator generator = {.port = atoi(argv[1]), .epoll = epoll_create1(EPOLL_CLOEXEC)};
    write_request(key, 17);
    double rate = strtod(argv[2], NULL), seconds = strtod(argv[3], NULL);
    generator.connection_count = strtoul(argv[4], NULL, 10);
    generator.connections = calloc(generator.connection_count, sizeof(*generator.connections));
    generator.idle = calloc(generator.connection_count, sizeof(struct connection *));
    if (generator.epoll < 0 || generator.connections == NULL || generator.idle == NULL ||
        rate <= 0) {
        fail("set up");
    }
    for (size_t i = 0; i < generator.connection_count; i++) {
        open_connection(&generator, &generator.connections[i]);
        generator.idle[generator.idle_count++] = &generator.connections[i];
    }
    uint64_t begin_us, took_us = run(&generator, rate, seconds, key, &begin_us);
    printf("{\"offered\": %.1f, \"begin_us\": %llu, \"seconds\": %.3f, \"unanswered\": %zu, "
           "\"broken\": %llu, \"most_busy\": %zu, \"most_behind_ms\": %.3f",
           rate, (unsigned long long)begin_us, (double)took_us / 1e6, generator.busy_count,
           (unsigned long long)generator.broken, generator.most_busy,
           (double)generator.behind_us_max / 1e3);
    print_class("accepted", &generator.times[ACCEPTED]);
    print_class("refused", &generator.times[REFUSED]);
    print_class("other", &generator.times[OTHER]);
    printf("}\n");
    for (size_t i = 0; i < CLASSES; i++) {
        free(generator.times[i].us);
    }
    free(generator.connections);
    free(generator.idle);
    return 0;
}
