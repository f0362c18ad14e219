/* Writing lines: never mixed, never for long, never silently lost. */
/* Here poll() is a function of this test, and nothing that a header makes of it. */
#undef _FORTIFY_SOURCE

#include "common/base/clock.h"
#include "common/log/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PIPE_BYTES = 65536, THREADS = 4, LINES_EACH = 150 };

/* The time of this test, which only a wait takes: what the machine does meanwhile does not count.
 */
static uint64_t now_ms = 1;
static bool is_patient; /* then a wait lasts until there is room */

int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    if (clock != CLOCK_MONOTONIC) {
        return (int)syscall(SYS_clock_gettime, clock, ret_time);
    }
    *ret_time = (struct timespec){.tv_sec = (time_t)(now_ms / 1000),
                                  .tv_nsec = (long)(now_ms % 1000) * 1000000};
    return 0;
}

static int wait_in_no_time(struct pollfd *polled, nfds_t count, int timeout_ms)
{
    const struct timespec none = {0};
    int ready = ppoll(polled, count, is_patient && timeout_ms > 0 ? NULL : &none, NULL);
    if (ready == 0 && timeout_ms > 0) {
        now_ms += (uint64_t)timeout_ms;
    }
    return ready;
}

int poll(struct pollfd *polled, nfds_t count, int timeout_ms)
{
    return wait_in_no_time(polled, count, timeout_ms);
}

/* What a checked build of log.c calls instead. */
int __poll_chk(struct pollfd *polled, nfds_t count, int timeout_ms, size_t bytes);
int __poll_chk(struct pollfd *polled, nfds_t count, int timeout_ms, size_t bytes)
{
    (void)bytes;
    return wait_in_no_time(polled, count, timeout_ms);
}

#define TEST_LOG_EVENTS(EVENT)                                                                     \
    EVENT(debug_nor_this, DEBUG, "nor.this", "", "")                                               \
    EVENT(debug_not_this, DEBUG, "not.this", "", "")                                               \
    EVENT(debug_now_this, DEBUG, "now.this", "", "")                                               \
    EVENT(error_but_this, ERROR, "but.this", "", "")                                               \
    EVENT(info_again, INFO, "again", "", "")                                                       \
    EVENT(info_kept, INFO, "kept", "", "")                                                         \
    EVENT(info_last, INFO, "last", "", "")                                                         \
    EVENT(info_lost, INFO, "lost", "", "")                                                         \
    EVENT(info_many, INFO, "many", "", "")                                                         \
    EVENT(info_next, INFO, "next", "", "")                                                         \
    EVENT(info_this, INFO, "this", "", "")

TEST_LOG_EVENTS(LOG_EVENT_DEFINE)

static char received[4 * 1024 * 1024];

/* Reads what is there. */
static size_t read_now(int descriptor)
{
    size_t length = 0;
    struct pollfd readable = {.fd = descriptor, .events = POLLIN};
    while (length < sizeof(received) - 1 && poll(&readable, 1, 0) == 1) {
        ssize_t count = read(descriptor, received + length, sizeof(received) - 1 - length);
        if (count <= 0) {
            break;
        }
        length += (size_t)count;
    }
    received[length] = '\0';
    return length;
}

/* A pipe, or a pair of sockets, whose second end is the log. */
static void open_channel(bool is_socket, int ends[2])
{
    assert_int_equal(is_socket ? socketpair(AF_UNIX, SOCK_STREAM, 0, ends) : pipe(ends), 0);
    log_init("test", LOG_FORMAT_TEXT, LOG_LEVEL_INFO, ends[1]);
}

static void close_channel(int ends[2])
{
    log_init("test", LOG_FORMAT_TEXT, LOG_LEVEL_INFO, STDERR_FILENO);
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
}

/* Writes lines of `length` bytes until one is lost; returns how long that one took. */
static uint64_t fill(size_t length)
{
    char *line = malloc(length);
    assert_non_null(line);
    memset(line, 'f', length);
    line[length - 1] = '\n';
    uint64_t lost = log_lost_writes();
    uint64_t began = 0;
    while (log_lost_writes() == lost) {
        began = clock_monotonic_ms();
        log_write((struct slice){line, length});
    }
    assert_int_equal(log_lost_writes(), lost + 1);
    free(line);
    return clock_monotonic_ms() - began;
}

static void levels(void **state)
{
    (void)state;
    int ends[2];
    open_channel(false, ends);
    assert_false(log_enabled(LOG_LEVEL_DEBUG));
    assert_true(log_enabled(LOG_LEVEL_INFO));
    log_at(&debug_not_this, log_integer("n", 1));
    log_event(&debug_nor_this, NULL, 0);
    log_at(&error_but_this, log_integer("n", 1), log_string("s", "x"));
    (void)read_now(ends[0]);
    assert_string_equal(received + strlen("2026-01-31T12:00:00.123Z"), " ERROR but.this n=1 s=x\n");
    log_init("test", LOG_FORMAT_AUTO, LOG_LEVEL_DEBUG, ends[1]);
    log_at(&debug_now_this, log_integer("n", 1));
    (void)read_now(ends[0]);
    assert_non_null(strstr(received, "\"service\":\"test\",\"event\":\"now.this\",\"n\":1}\n"));
    close_channel(ends);
}

static void a_batch_is_written_whole(void **state)
{
    (void)state;
    int ends[2];
    open_channel(false, ends);
    struct buffer lines;
    buffer_init(&lines, PIPE_BYTES);
    for (int i = 0; i < 1000; i++) {
        const struct log_field field = log_integer("n", i);
        log_append(&lines, &debug_not_this, &field, 1);
        log_append(&lines, &info_this, &field, 1);
    }
    log_write(buffer_slice(&lines));
    assert_int_equal(read_now(ends[0]), lines.length);
    assert_memory_equal(received, lines.data, lines.length);
    buffer_done(&lines);
    close_channel(ends);
}

static void a_full_reader_costs_the_lines_and_no_more(bool is_socket)
{
    int ends[2];
    open_channel(is_socket, ends);
    int flags = fcntl(ends[1], F_GETFL);
    assert_int_equal(fill(100), LOG_WRITE_WAIT_MS);
    /* Who has waited in vain does not wait again. */
    assert_int_equal(fill(100), 0);
    assert_int_equal(fcntl(ends[1], F_GETFL), flags);
    (void)read_now(ends[0]);
    uint64_t lost = log_lost_writes();
    log_at(&info_again, log_integer("n", 1));
    assert_int_equal(log_lost_writes(), lost);
    (void)read_now(ends[0]);
    assert_non_null(strstr(received, "again n=1\n"));
    close_channel(ends);
}

static void a_full_pipe(void **state)
{
    (void)state;
    a_full_reader_costs_the_lines_and_no_more(false);
}

static void a_full_socket(void **state)
{
    (void)state;
    a_full_reader_costs_the_lines_and_no_more(true);
}

/* A line larger than the pipe is given up in its middle; what comes next begins a line. */
static void a_line_given_up_is_ended(void **state)
{
    (void)state;
    int ends[2];
    open_channel(false, ends);
    (void)fill(2 * PIPE_BYTES);
    size_t partial = read_now(ends[0]);
    assert_in_range(partial, 1, 2 * PIPE_BYTES - 1);
    assert_int_equal(received[partial - 1], 'f');
    log_at(&info_next, log_integer("n", 1));
    log_at(&info_last, log_integer("n", 2));
    (void)read_now(ends[0]);
    assert_int_equal(received[0], '\n');
    assert_null(strstr(received + 1, "\n\n"));
    assert_non_null(strstr(received, "next n=1\n2"));
    close_channel(ends);
}

static void a_full_disk_is_counted(void **state)
{
    (void)state;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0);
    log_init("test", LOG_FORMAT_TEXT, LOG_LEVEL_INFO, full);
    uint64_t lost = log_lost_writes();
    uint64_t began = clock_monotonic_ms();
    log_at(&info_lost, log_integer("n", 1));
    log_at(&info_lost, log_integer("n", 2));
    assert_int_equal(log_lost_writes(), lost + 2);
    assert_int_equal(clock_monotonic_ms(), began);
    log_init("test", LOG_FORMAT_TEXT, LOG_LEVEL_INFO, STDERR_FILENO);
    assert_int_equal(close(full), 0);
}

static void a_reader_that_left_is_counted(void **state)
{
    (void)state;
    for (int is_socket = 0; is_socket <= 1; is_socket++) {
        int ends[2];
        open_channel(is_socket == 1, ends);
        assert_int_equal(close(ends[0]), 0);
        uint64_t lost = log_lost_writes();
        log_at(&info_lost, log_integer("n", 1));
        assert_int_equal(log_lost_writes(), lost + 1);
        log_init("test", LOG_FORMAT_TEXT, LOG_LEVEL_INFO, STDERR_FILENO);
        assert_int_equal(close(ends[1]), 0);
    }
}

static void a_file_gets_all(void **state)
{
    (void)state;
    char path[] = "/tmp/test_log_XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(unlink(path), 0);
    log_init("test", LOG_FORMAT_AUTO, LOG_LEVEL_INFO, file);
    log_at(&info_kept, log_boolean("b", true));
    ssize_t length = pread(file, received, sizeof(received) - 1, 0);
    assert_true(length > 0);
    received[length] = '\0';
    assert_non_null(strstr(received, "\"event\":\"kept\",\"b\":true}\n"));
    log_init("test", LOG_FORMAT_TEXT, LOG_LEVEL_INFO, STDERR_FILENO);
    assert_int_equal(close(file), 0);
}

static void *write_many(void *context)
{
    /* Longer than what a pipe takes in one piece anyway. */
    char word[6000];
    memset(word, 'w', sizeof(word));
    const struct slice value = {word, sizeof(word)};
    for (int i = 0; i < LINES_EACH; i++) {
        log_at(&info_many, log_integer("thread", *(const int *)context), log_integer("n", i),
               log_text("a", value), log_string("b", "x"), log_string("end", "z"));
    }
    return NULL;
}

static size_t collect(int descriptor)
{
    size_t length = 0;
    ssize_t count;
    while ((count = read(descriptor, received + length, sizeof(received) - 1 - length)) > 0) {
        length += (size_t)count;
    }
    received[length] = '\0';
    return length;
}

static void *read_to_end(void *context)
{
    (void)collect(*(const int *)context);
    return NULL;
}

static void threads_do_not_mix_lines(void **state)
{
    (void)state;
    int ends[2];
    is_patient = true;
    open_channel(false, ends);
    uint64_t lost = log_lost_writes();
    pthread_t reader;
    pthread_t writers[THREADS];
    int numbers[THREADS];
    assert_int_equal(pthread_create(&reader, NULL, read_to_end, &ends[0]), 0);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&writers[i], NULL, write_many, &numbers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(writers[i], NULL), 0);
    }
    log_init("test", LOG_FORMAT_TEXT, LOG_LEVEL_INFO, STDERR_FILENO);
    assert_int_equal(close(ends[1]), 0);
    assert_int_equal(pthread_join(reader, NULL), 0);
    is_patient = false;
    assert_int_equal(log_lost_writes(), lost);
    int next[THREADS] = {0};
    char *rest = received;
    for (char *line = strsep(&rest, "\n"); rest != NULL; line = strsep(&rest, "\n")) {
        int thread = -1;
        int number = -1;
        int end = 0;
        assert_int_equal(sscanf(line, "%*s INFO many thread=%d n=%d a=%*s b=%*s end=z%n", &thread,
                                &number, &end),
                         2);
        assert_int_equal(line[end], '\0');
        assert_in_range(thread, 0, THREADS - 1);
        assert_int_equal(number, next[thread]++);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(next[i], LINES_EACH);
    }
    assert_int_equal(close(ends[0]), 0);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels),
        cmocka_unit_test(a_batch_is_written_whole),
        cmocka_unit_test(a_full_pipe),
        cmocka_unit_test(a_full_socket),
        cmocka_unit_test(a_line_given_up_is_ended),
        cmocka_unit_test(a_full_disk_is_counted),
        cmocka_unit_test(a_reader_that_left_is_counted),
        cmocka_unit_test(a_file_gets_all),
        cmocka_unit_test(threads_do_not_mix_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
