/* Reads and forgets what clients send behind their last reply, within bounds. */
#include "common/http/http_linger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_BYTES = 16 * 1024,
    READS_PER_TURN = 16, /* of one connection: who is served meanwhile must not notice */
    EVENTS_PER_TURN = 64,
};

struct http_lingering {
    TAILQ_ENTRY(http_lingering) list;
    int descriptor; /* owned */
    uint64_t since_ms;
    size_t bytes;
};

enum progress { PROGRESS_GOES_ON, PROGRESS_CLIENT_CLOSED, PROGRESS_TOO_MUCH };

enum outcome http_linger_init(struct http_linger *linger, struct error *ret_error)
{
    TAILQ_INIT(&linger->list);
    linger->epoll_descriptor = epoll_create1(EPOLL_CLOEXEC);
    if (linger->epoll_descriptor < 0) {
        return error_set_errno(ret_error, OUTCOME_TRANSIENT, errno, "watch closed connections");
    }
    return OUTCOME_OK;
}

/* To close the descriptor is not enough to take it out of the epoll set: whoever looks at the
 * process's open files may hold the socket for a moment longer. */
static void end(struct http_linger *linger, struct http_lingering *one)
{
    TAILQ_REMOVE(&linger->list, one, list);
    linger->count--;
    metric_set(&linger->shown_count, (int64_t)linger->count);
    (void)epoll_ctl(linger->epoll_descriptor, EPOLL_CTL_DEL, one->descriptor, NULL);
    close(one->descriptor);
    free(one);
}

void http_linger_done(struct http_linger *linger)
{
    if (linger->epoll_descriptor < 0) {
        return;
    }
    while (!TAILQ_EMPTY(&linger->list)) {
        end(linger, TAILQ_FIRST(&linger->list));
    }
    close(linger->epoll_descriptor);
    linger->epoll_descriptor = -1;
}

static void cut_off(struct http_linger *linger, struct http_lingering *one,
                    enum http_linger_bound bound)
{
    metric_add(&linger->cut_off[bound], 1);
    end(linger, one);
}

bool http_linger_give_up_one(struct http_linger *linger)
{
    struct http_lingering *oldest = linger->count == 0 ? NULL : TAILQ_FIRST(&linger->list);
    if (oldest != NULL) {
        cut_off(linger, oldest, HTTP_LINGER_CONNECTIONS);
    }
    return oldest != NULL;
}

static enum progress read_some(int descriptor, size_t *bytes)
{
    char forgotten[READ_BYTES];
    for (int i = 0; i < READS_PER_TURN; i++) {
        ssize_t got = recv(descriptor, forgotten, sizeof(forgotten), MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
            return PROGRESS_CLIENT_CLOSED;
        }
        if (got < 0) {
            break;
        }
        *bytes += (size_t)got;
        if (*bytes > HTTP_LINGER_BYTES_MAX) {
            return PROGRESS_TOO_MUCH;
        }
        if ((size_t)got < sizeof(forgotten)) {
            break;
        }
    }
    return PROGRESS_GOES_ON;
}

void http_linger_begin(struct http_linger *linger, int descriptor, uint64_t now_ms)
{
    size_t bytes = 0;
    if (linger->epoll_descriptor < 0 || read_some(descriptor, &bytes) == PROGRESS_CLIENT_CLOSED ||
        shutdown(descriptor, SHUT_WR) != 0) {
        return;
    }
    if (linger->count >= HTTP_LINGER_CONNECTIONS_MAX) {
        (void)http_linger_give_up_one(linger);
    }
    struct http_lingering *one = malloc(sizeof(*one));
    int own = one == NULL ? -1 : fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = one};
    if (own < 0 || epoll_ctl(linger->epoll_descriptor, EPOLL_CTL_ADD, own, &event) != 0) {
        if (own >= 0) {
            close(own);
        }
        free(one);
        return;
    }
    *one = (struct http_lingering){.descriptor = own, .since_ms = now_ms, .bytes = bytes};
    TAILQ_INSERT_TAIL(&linger->list, one, list);
    linger->count++;
    metric_set(&linger->shown_count, (int64_t)linger->count);
}

void http_linger_read(struct http_linger *linger)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int count = epoll_wait(linger->epoll_descriptor, events, EVENTS_PER_TURN, 0);
    for (int i = 0; i < count; i++) {
        struct http_lingering *one = events[i].data.ptr;
        switch (read_some(one->descriptor, &one->bytes)) {
        case PROGRESS_GOES_ON:
            break;
        case PROGRESS_CLIENT_CLOSED:
            end(linger, one);
            break;
        case PROGRESS_TOO_MUCH:
            cut_off(linger, one, HTTP_LINGER_BYTES);
            break;
        }
    }
}

void http_linger_sweep(struct http_linger *linger, uint64_t now_ms, uint64_t timeout_ms)
{
    while (linger->count > 0 && now_ms - TAILQ_FIRST(&linger->list)->since_ms >= timeout_ms) {
        cut_off(linger, TAILQ_FIRST(&linger->list), HTTP_LINGER_TIME);
    }
}

#define ROW(...) METRIC_ROW(struct http_linger, __VA_ARGS__)
METRIC_TABLE(append_metrics, struct http_linger, HTTP_LINGER_METRICS(ROW))

void http_linger_append_metrics(const struct http_linger *linger, struct buffer *text)
{
    append_metrics(text, linger);
}
