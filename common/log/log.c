/* Writes log lines to one descriptor, and loses them sooner than time. */
#include "common/log/log.h"
#include "common/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

enum descriptor_kind {
    DESCRIPTOR_UNKNOWN, /* log_init() was not called: looked at with the first write */
    DESCRIPTOR_FILE,    /* never waits for a reader */
    DESCRIPTOR_SOCKET,
    DESCRIPTOR_PIPE, /* or a terminal, or another device */
};

static struct {
    pthread_mutex_t lock; /* of what follows up to the lost lines */
    int descriptor;
    int own_descriptor; /* the same pipe or terminal, opened again to be non-blocking; or -1 */
    enum descriptor_kind kind;
    bool line_is_open; /* what was written last is part of a line */
    bool is_stalled;   /* a wait ended in vain: none until something is taken again */
    atomic_uint_least64_t lost;

    const char *service;
    enum log_format format;
    enum log_level level;
    bool is_journal; /* which takes a priority from the first bytes of a line */
} state = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .descriptor = STDERR_FILENO,
    .own_descriptor = -1,
    .format = LOG_FORMAT_TEXT,
    .level = LOG_LEVEL_INFO,
};

static const char *const priorities[] = {SD_DEBUG, SD_INFO, SD_WARNING, SD_ERR};

static enum descriptor_kind kind_of(int descriptor)
{
    struct stat status;
    if (fstat(descriptor, &status) != 0 || S_ISREG(status.st_mode)) {
        return DESCRIPTOR_FILE;
    }
    return S_ISSOCK(status.st_mode) ? DESCRIPTOR_SOCKET : DESCRIPTOR_PIPE;
}

/* O_NONBLOCK belongs to the open file, which other processes may share; one of our own may have it.
 * Not to be had for a pipe of another user, and then poll() must do. */
static int open_again(int descriptor)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
    return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* As systemd.exec(5) says of JOURNAL_STREAM. */
static bool leads_to_journal(int descriptor)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat status;
    char text[64];
    if (stream == NULL || fstat(descriptor, &status) != 0) {
        return false;
    }
    (void)snprintf(text, sizeof(text), "%ju:%ju", (uintmax_t)status.st_dev,
                   (uintmax_t)status.st_ino);
    return strcmp(stream, text) == 0;
}

const char *log_priority(enum log_level level, int descriptor)
{
    return leads_to_journal(descriptor) ? priorities[level] : "";
}

void log_init(const char *service, enum log_format format, enum log_level level, int descriptor)
{
    if (state.own_descriptor >= 0) {
        (void)close(state.own_descriptor);
        state.own_descriptor = -1;
    }
    if (format == LOG_FORMAT_AUTO) {
        format = isatty(descriptor) ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON;
    }
    state.service = service;
    state.format = format;
    state.level = level;
    state.descriptor = descriptor;
    state.kind = kind_of(descriptor);
    state.is_journal = leads_to_journal(descriptor);
    state.line_is_open = false;
    state.is_stalled = false;
    if (state.kind == DESCRIPTOR_PIPE) {
        state.own_descriptor = open_again(descriptor);
    }
}

bool log_enabled(enum log_level level)
{
    return level >= state.level;
}

void log_append(struct buffer *lines, const struct log_event *event, const struct log_field *fields,
                size_t count)
{
    if (log_enabled(event->level)) {
        if (state.is_journal) {
            buffer_append_text(lines, priorities[event->level]);
        }
        log_format_line(lines, state.format, state.service, clock_wall_ms(), event, fields, count);
    }
}

static void count_lost(void)
{
    (void)atomic_fetch_add_explicit(&state.lost, 1, memory_order_relaxed);
}

void log_event(const struct log_event *event, const struct log_field *fields, size_t count)
{
    struct buffer line;
    buffer_init(&line, LOG_BATCH_BYTES_MAX);
    log_append(&line, event, fields, count);
    if (line.failed) {
        count_lost();
    }
    log_write(buffer_slice(&line));
    buffer_done(&line);
}

/* At most what a pipe with any room takes at once, and whole lines where that is possible, because
 * other processes may write to the same pipe. */
static size_t piece_length(struct slice rest)
{
    if (rest.length <= PIPE_BUF) {
        return rest.length;
    }
    const char *line_end = memrchr(rest.data, '\n', PIPE_BUF);
    return line_end == NULL ? PIPE_BUF : (size_t)(line_end - rest.data) + 1;
}

static bool wait_until_writable_locked(int descriptor, uint64_t deadline_ms)
{
    for (;;) {
        uint64_t now = clock_monotonic_ms();
        int wait_ms = now < deadline_ms && !state.is_stalled ? (int)(deadline_ms - now) : 0;
        struct pollfd poll_descriptor = {.fd = descriptor, .events = POLLOUT};
        int count = poll(&poll_descriptor, 1, wait_ms);
        /* An error or a hang-up counts as writable: the write says which. */
        if (count > 0) {
            return true;
        }
        if (count == 0) {
            state.is_stalled = true;
            return false;
        }
        if (errno != EINTR) {
            return false;
        }
    }
}

static ssize_t write_piece_locked(struct slice rest, uint64_t deadline_ms)
{
    if (state.kind == DESCRIPTOR_SOCKET) {
        return send(state.descriptor, rest.data, rest.length, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    if (state.kind == DESCRIPTOR_FILE) {
        return write(state.descriptor, rest.data, rest.length);
    }
    if (state.own_descriptor >= 0) {
        return write(state.own_descriptor, rest.data, piece_length(rest));
    }
    if (!wait_until_writable_locked(state.descriptor, deadline_ms)) {
        errno = ETIMEDOUT;
        return -1;
    }
    return write(state.descriptor, rest.data, piece_length(rest));
}

/* Returns how much was written. */
static size_t write_bytes_locked(struct slice bytes, uint64_t deadline_ms)
{
    int descriptor = state.own_descriptor >= 0 ? state.own_descriptor : state.descriptor;
    size_t written = 0;
    while (written < bytes.length) {
        struct slice rest = {bytes.data + written, bytes.length - written};
        ssize_t count = write_piece_locked(rest, deadline_ms);
        if (count > 0) {
            written += (size_t)count;
            state.is_stalled = false;
        } else if (count == 0 || (errno != EINTR && errno != EAGAIN)) {
            break;
        } else if (errno == EAGAIN && (clock_monotonic_ms() >= deadline_ms ||
                                       !wait_until_writable_locked(descriptor, deadline_ms))) {
            break;
        }
    }
    return written;
}

static void write_lines_locked(struct slice lines, uint64_t deadline_ms)
{
    if (state.kind == DESCRIPTOR_UNKNOWN) {
        state.kind = kind_of(state.descriptor);
    }
    if (state.line_is_open) {
        state.line_is_open = write_bytes_locked((struct slice){"\n", 1}, deadline_ms) == 0;
        if (state.line_is_open) {
            count_lost();
            return;
        }
    }
    size_t written = write_bytes_locked(lines, deadline_ms);
    if (written > 0) {
        state.line_is_open = lines.data[written - 1] != '\n';
    }
    if (written < lines.length) {
        count_lost();
    }
}

void log_write(struct slice lines)
{
    if (lines.length == 0) {
        return;
    }
    /* Counted from before the lock: time spent behind another's wait is not given again. */
    uint64_t deadline_ms = clock_monotonic_ms() + LOG_WRITE_WAIT_MS;
    (void)pthread_mutex_lock(&state.lock);
    write_lines_locked(lines, deadline_ms);
    (void)pthread_mutex_unlock(&state.lock);
}

uint64_t log_lost_writes(void)
{
    return atomic_load_explicit(&state.lost, memory_order_relaxed);
}
