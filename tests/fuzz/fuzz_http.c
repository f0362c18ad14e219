/* Bytes to the HTTP server through a socket: replies that are whole and can be told apart, nothing
 * behind one that closes, and an end of the connection in time.
 *
 * The first byte chooses how they are sent: 'P' in small pieces, 'C' and the client leaves, else at
 * once. */
#include "common/base/clock.h"
#include "common/http/http_server.h"
#include "tests/fuzz/fuzz_input.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sched.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

enum { BODY_BYTES_MAX = 2048, LATER_MAX = 64, PIECE_BYTES = 7, PIECES_MAX = 64 };
enum { DEADLINE_MS = 3000, WAIT_MS = 10000, REPLIES_BYTES_MAX = 1 << 20 };
static const char marker[] = "what a handler has replied";

static struct sockaddr_un address;
static socklen_t address_length = sizeof(address);
static struct http_request *later[LATER_MAX];
static size_t later_count;

static void reply(struct http_request *request)
{
    struct http_reply reply = {.status = 200, .content_type = "text/plain"};
    reply.body = strdup(marker);
    must(reply.body != NULL);
    reply.body_length = sizeof(marker) - 1;
    http_request_reply(request, &reply);
}

static void use(struct slice slice)
{
    free_copy(copy_exactly(slice));
}

static void handle(struct http_request *request, void *context)
{
    (void)context;
    must(http_request_body(request).length <= BODY_BYTES_MAX);
    use(http_request_body(request));
    use(http_request_header(request, "Content-Type"));
    use(http_request_query(request, "limit"));
    use(http_request_path_part(request));
    must(http_request_header_count(request, "Host") <= 1);
    must(http_request_header_count(request, "Content-Length") <= 1);
    must(http_request_header(request, "Content-Length").length == 0 ||
         http_request_header_count(request, "Transfer-Encoding") == 0);
    reply(request);
}

static void handle_later(struct http_request *request, void *context)
{
    (void)context;
    if (later_count == LATER_MAX) {
        reply(request);
        return;
    }
    http_request_defer(request);
    later[later_count++] = request;
}

static void on_turn(void *context)
{
    (void)context;
    while (later_count > 0) {
        reply(later[--later_count]);
    }
}

static const struct http_route routes[] = {
    {"GET", "/users", handle, true},           {"POST", "/users/save", handle, true},
    {"POST", "/later", handle_later, true},    {"GET", "/sessions/{id}", handle, true},
    {"PUT", "/users/{id}/name", handle, true}, {"DELETE", "/sessions/{id}", handle, true},
    {"GET", "/metrics", handle, false},
};

/* The server takes it as the one that the service manager passes. */
static void listen_at(int descriptor)
{
    char pid[32];
    address.sun_family = AF_UNIX;
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    must(listener >= 0);
    /* Without a name the kernel gives one that nobody has. */
    must(bind(listener, (struct sockaddr *)&address, sizeof(address.sun_family)) == 0);
    must(listen(listener, 64) == 0);
    must(getsockname(listener, (struct sockaddr *)&address, &address_length) == 0);
    must(listener == descriptor || dup2(listener, descriptor) == descriptor);
    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
    must(setenv("LISTEN_PID", pid, 1) == 0 && setenv("LISTEN_FDS", "1", 1) == 0);
}

static struct auth_tokens *read_tokens(void)
{
    char path[] = "/tmp/fuzz-http-XXXXXX";
    static const char text[] = "a-token-of-enough-bytes\n";
    struct auth_tokens *tokens = NULL;
    int descriptor = mkstemp(path);
    must(descriptor >= 0);
    must(write(descriptor, text, sizeof(text) - 1) == (ssize_t)sizeof(text) - 1);
    must(close(descriptor) == 0);
    must(auth_tokens_read(path, &tokens, NULL) == OUTCOME_OK);
    must(unlink(path) == 0);
    return tokens;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    static struct http_server *server;
    listen_at(SD_LISTEN_FDS_START);
    const struct http_server_options options = {
        .listen = "127.0.0.1:0",
        .tokens = read_tokens(),
        .max_body_bytes = BODY_BYTES_MAX,
        .connections_max = 64,
        .idle_timeout_ms = DEADLINE_MS,
        .request_timeout_ms = DEADLINE_MS,
        .reply_timeout_ms = DEADLINE_MS,
        .receiving_bytes_max = 64 * BODY_BYTES_MAX,
        .routes = routes,
        .route_count = sizeof(routes) / sizeof(routes[0]),
        .on_turn = on_turn,
        .drain_timeout_ms = 1000,
    };
    must(http_server_create(&options, &server, NULL) == OUTCOME_OK);
    must(http_server_start(server, NULL) == OUTCOME_OK);
    return 0;
}

/* False: the server has closed, and wants no more. */
static bool send_all(int client, struct slice bytes)
{
    while (bytes.length > 0) {
        ssize_t count = TEMP_FAILURE_RETRY(send(client, bytes.data, bytes.length, MSG_NOSIGNAL));
        if (count <= 0) {
            return false;
        }
        bytes.data += count;
        bytes.length -= (size_t)count;
    }
    return true;
}

static bool send_input(int client, struct fuzz_input input, size_t piece_bytes)
{
    for (int i = 0; i < PIECES_MAX && piece_bytes > 0; i++) {
        if (!send_all(client, take_slice(&input, piece_bytes))) {
            return false;
        }
    }
    return send_all(client, take_slice(&input, input.left));
}

/* The library sees an end that comes together with bytes only when more comes: it has to come
 * alone. */
static void wait_until_taken(int client)
{
    uint64_t deadline_ms = clock_monotonic_ms() + WAIT_MS;
    int left = 0;
    while (ioctl(client, SIOCOUTQ, &left) == 0 && left > 0) {
        must(clock_monotonic_ms() < deadline_ms);
        (void)sched_yield();
    }
}

/* All until the server closes, which it must. */
static size_t receive(int client, char *replies)
{
    size_t length = 0;
    for (;;) {
        struct pollfd poll_descriptor = {.fd = client, .events = POLLIN};
        must(TEMP_FAILURE_RETRY(poll(&poll_descriptor, 1, WAIT_MS)) == 1);
        must(length < REPLIES_BYTES_MAX);
        ssize_t count =
            TEMP_FAILURE_RETRY(recv(client, replies + length, REPLIES_BYTES_MAX - length, 0));
        if (count <= 0) {
            return length;
        }
        length += (size_t)count;
    }
}

static bool begins_with(struct slice text, const char *start)
{
    size_t length = strlen(start);
    return text.length >= length && strncasecmp(text.data, start, length) == 0;
}

struct head {
    unsigned status;
    size_t body_bytes;
    bool closes;
};

static struct slice take_line(struct fuzz_input *replies)
{
    struct slice line = take_until(replies, '\n');
    must(line.length > 0 && line.data[line.length - 1] == '\r');
    line.length--;
    return line;
}

static struct head take_head(struct fuzz_input *replies)
{
    struct head head = {0};
    struct slice line = take_line(replies);
    must(begins_with(line, "HTTP/1.1 ") || begins_with(line, "HTTP/1.0 "));
    must(line.length > 12);
    head.status = (unsigned)atoi(line.data + 9);
    must(head.status >= 100 && head.status <= 599);
    while ((line = take_line(replies)).length > 0) {
        if (begins_with(line, "Content-Length: ")) {
            head.body_bytes = (size_t)atoi(line.data + 16);
        } else if (begins_with(line, "Connection: close")) {
            head.closes = true;
        }
        must(memchr(line.data, '\0', line.length) == NULL);
    }
    return head;
}

/* A reply to HEAD has no body, and no body here begins like a reply. The library sends the head of
 * a 400 or 413 of its own twice sometimes: nothing else may follow a reply that closes. */
static void judge(struct fuzz_input replies)
{
    bool closed = false;
    while (replies.left > 0) {
        struct head head = take_head(&replies);
        must(!closed || ((head.status == 400 || head.status == 413) && head.closes));
        closed = head.closes || head.status == 400 || head.status == 413;
        struct slice rest = {replies.data, replies.left};
        if (head.status >= 200 && rest.length > 0 && !begins_with(rest, "HTTP/1.")) {
            must(take_slice(&replies, head.body_bytes).length == head.body_bytes);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char replies[REPLIES_BYTES_MAX];
    struct fuzz_input input = fuzz_input_of(data, size);
    unsigned way = take_byte(&input);
    int client = socket(AF_UNIX, SOCK_STREAM, 0);
    must(client >= 0);
    must(TEMP_FAILURE_RETRY(connect(client, (struct sockaddr *)&address, address_length)) == 0);
    (void)send_input(client, input, way == 'P' ? PIECE_BYTES : 0);
    if (way != 'C') {
        wait_until_taken(client);
        (void)shutdown(client, SHUT_WR);
        size_t length = receive(client, replies);
        judge((struct fuzz_input){replies, length});
    }
    must(close(client) == 0);
    return 0;
}
