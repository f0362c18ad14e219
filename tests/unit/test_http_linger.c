/* A closed connection lingers until its client closes, and no longer than its bounds. */
#include "common/http/http_linger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct http_linger linger;
    int server, client;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct error error;
    int pair[2];
    assert_non_null(fixture);
    assert_int_equal(http_linger_init(&fixture->linger, &error), OUTCOME_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    fixture->server = pair[0];
    fixture->client = pair[1];
    *state = fixture;
    return 0;
}

static void close_one(int *descriptor)
{
    if (*descriptor >= 0) {
        assert_int_equal(close(*descriptor), 0);
    }
    *descriptor = -1;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    http_linger_done(&fixture->linger);
    close_one(&fixture->server);
    close_one(&fixture->client);
    free(fixture);
    return 0;
}

/* As the library does: it closes its own descriptor behind the callback. */
static void begin(struct fixture *fixture, uint64_t now_ms)
{
    http_linger_begin(&fixture->linger, fixture->server, now_ms);
    close_one(&fixture->server);
}

static void send_to_server(struct fixture *fixture, size_t bytes)
{
    static const char piece[64 * 1024];
    while (bytes > 0) {
        size_t length = bytes < sizeof(piece) ? bytes : sizeof(piece);
        ssize_t sent = send(fixture->client, piece, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            http_linger_read(&fixture->linger); /* makes room */
            sent = send(fixture->client, piece, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        }
        if (sent < 0) {
            return; /* cut off */
        }
        bytes -= (size_t)sent;
    }
    http_linger_read(&fixture->linger);
}

static void assert_cut_off(const struct fixture *fixture, uint64_t by_time, uint64_t by_bytes,
                           uint64_t by_connections)
{
    assert_int_equal(fixture->linger.cut_off[HTTP_LINGER_TIME], by_time);
    assert_int_equal(fixture->linger.cut_off[HTTP_LINGER_BYTES], by_bytes);
    assert_int_equal(fixture->linger.cut_off[HTTP_LINGER_CONNECTIONS], by_connections);
}

static void test_the_client_reads_his_reply_and_its_end(void **state)
{
    struct fixture *fixture = *state;
    char got[16];
    assert_int_equal(send(fixture->client, "unread", 6, 0), 6);
    assert_int_equal(send(fixture->server, "reply", 5, 0), 5);
    begin(fixture, 1);
    assert_int_equal(fixture->linger.count, 1);
    send_to_server(fixture, 1000 * 1000);
    assert_int_equal(recv(fixture->client, got, sizeof(got), MSG_DONTWAIT), 5);
    assert_int_equal(recv(fixture->client, got, sizeof(got), MSG_DONTWAIT), 0);
    http_linger_sweep(&fixture->linger, 1 + HTTP_LINGER_MS - 1, HTTP_LINGER_MS);
    assert_int_equal(fixture->linger.count, 1);
    close_one(&fixture->client);
    http_linger_read(&fixture->linger);
    assert_int_equal(fixture->linger.count, 0);
    assert_int_equal(fixture->linger.shown_count, 0);
    assert_cut_off(fixture, 0, 0, 0);
}

static void test_who_has_closed_does_not_linger(void **state)
{
    struct fixture *fixture = *state;
    close_one(&fixture->client);
    begin(fixture, 1);
    assert_int_equal(fixture->linger.count, 0);
}

static void test_time(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, 1000);
    for (uint64_t now_ms = 1000; now_ms < 1000 + HTTP_LINGER_MS; now_ms += 500) {
        send_to_server(fixture, 1); /* moves no deadline */
        http_linger_sweep(&fixture->linger, now_ms, HTTP_LINGER_MS);
        assert_int_equal(fixture->linger.count, 1);
    }
    http_linger_sweep(&fixture->linger, 1000 + HTTP_LINGER_MS, HTTP_LINGER_MS);
    assert_int_equal(fixture->linger.count, 0);
    assert_int_equal(send(fixture->client, "x", 1, MSG_NOSIGNAL), -1);
    assert_cut_off(fixture, 1, 0, 0);
}

static void test_bytes(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, 1);
    send_to_server(fixture, HTTP_LINGER_BYTES_MAX);
    for (int i = 0; i < 64; i++) {
        http_linger_read(&fixture->linger);
    }
    assert_int_equal(fixture->linger.count, 1);
    send_to_server(fixture, 1);
    assert_int_equal(fixture->linger.count, 0);
    assert_cut_off(fixture, 0, 1, 0);
}

static void test_number(void **state)
{
    enum { MANY = HTTP_LINGER_CONNECTIONS_MAX + 1, DESCRIPTORS = 2 * MANY + 64 };
    static int clients[MANY];
    struct fixture *fixture = *state;
    struct rlimit files = {.rlim_cur = 0};
    (void)getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur < DESCRIPTORS) {
        skip();
    }
    for (int i = 0; i < MANY; i++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        http_linger_begin(&fixture->linger, pair[0], (uint64_t)i);
        assert_int_equal(close(pair[0]), 0);
        clients[i] = pair[1];
    }
    assert_int_equal(fixture->linger.count, HTTP_LINGER_CONNECTIONS_MAX);
    assert_cut_off(fixture, 0, 0, 1);
    /* The first one made room: the second is the oldest. */
    http_linger_sweep(&fixture->linger, 2, 1);
    assert_int_equal(fixture->linger.count, HTTP_LINGER_CONNECTIONS_MAX - 1);
    assert_true(http_linger_give_up_one(&fixture->linger));
    assert_int_equal(fixture->linger.count, HTTP_LINGER_CONNECTIONS_MAX - 2);
    assert_cut_off(fixture, 1, 0, 2);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(send(clients[i], "x", 1, MSG_NOSIGNAL), i < 3 ? -1 : 1);
        assert_int_equal(close(clients[i]), 0);
    }
    for (int i = 0; i < MANY; i++) {
        http_linger_read(&fixture->linger);
    }
    assert_int_equal(fixture->linger.count, 0);
}

/* Whoever looks at the open files of a process holds each for a moment: a close is not the last. */
static void test_who_has_ended_is_not_heard_of(void **state)
{
    struct fixture *fixture = *state;
    struct epoll_event event;
    int held = dup(fixture->server);
    assert_true(held >= 0);
    begin(fixture, 1);
    close_one(&fixture->client);
    http_linger_read(&fixture->linger);
    assert_int_equal(fixture->linger.count, 0);
    assert_int_equal(epoll_wait(fixture->linger.epoll_descriptor, &event, 1, 0), 0);
    close_one(&held);
}

static void test_done(void **state)
{
    struct fixture *fixture = *state;
    assert_false(http_linger_give_up_one(&fixture->linger));
    http_linger_begin(&fixture->linger, fixture->server, 1);
    http_linger_done(&fixture->linger);
    http_linger_done(&fixture->linger);
    http_linger_begin(&fixture->linger, fixture->server, 1);
    assert_int_equal(fixture->linger.count, 0);
    begin(fixture, 1);
    assert_int_equal(send(fixture->client, "x", 1, MSG_NOSIGNAL), -1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_the_client_reads_his_reply_and_its_end),
        TEST(test_who_has_closed_does_not_linger),
        TEST(test_time),
        TEST(test_bytes),
        TEST(test_number),
        TEST(test_who_has_ended_is_not_heard_of),
        TEST(test_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
