/* Preloaded: fails the FAIL_AT-th call of the class FAIL_CLASS, once, and writes how many there
 * were to FAIL_REPORT at the end of the process. Classes: malloc, read, write, fsync, accept,
 * epoll. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum call_class { NONE, ALLOCATIONS, READS, WRITES, SYNCS, ACCEPTS, EPOLLS };
static const char *const class_names[] = {"none",  "malloc", "read", "write",
                                          "fsync", "accept", "epoll"};

static enum call_class chosen;
static atomic_long calls;
static long fail_at;

/* Before main(): what the dynamic linker allocates is not counted. */
__attribute__((constructor)) static void begin(void)
{
    const char *name = getenv("FAIL_CLASS");
    const char *at = getenv("FAIL_AT");
    (void)unsetenv("LD_PRELOAD"); /* not for children */
    fail_at = at == NULL ? 0 : atol(at);
    for (size_t i = 0; name != NULL && i < sizeof(class_names) / sizeof(class_names[0]); i++) {
        if (strcmp(name, class_names[i]) == 0) {
            chosen = (enum call_class)i;
        }
    }
}

__attribute__((destructor)) static void end(void)
{
    char text[32];
    const char *path = getenv("FAIL_REPORT");
    chosen = NONE;
    int descriptor = path == NULL ? -1 : open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (descriptor >= 0) {
        int length = snprintf(text, sizeof(text), "%ld\n", atomic_load(&calls));
        if (write(descriptor, text, (size_t)length) != length) {
            abort();
        }
        (void)close(descriptor);
    }
}

static bool fails(enum call_class what, int error_number)
{
    if (what != chosen || atomic_fetch_add(&calls, 1) + 1 != fail_at) {
        return false;
    }
    errno = error_number;
    return true;
}

/* next(NAME): the function that this one stands before, a sanitizer's or the C library's */
#define next(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

void *malloc(size_t size)
{
    static __typeof__(&malloc) real;
    if (real == NULL) {
        real = next(malloc);
    }
    return fails(ALLOCATIONS, ENOMEM) ? NULL : real(size);
}

void *calloc(size_t count, size_t size)
{
    static __typeof__(&calloc) real;
    if (real == NULL) {
        real = next(calloc);
    }
    return fails(ALLOCATIONS, ENOMEM) ? NULL : real(count, size);
}

void *realloc(void *old, size_t size)
{
    static __typeof__(&realloc) real;
    if (real == NULL) {
        real = next(realloc);
    }
    return size > 0 && fails(ALLOCATIONS, ENOMEM) ? NULL : real(old, size);
}

ssize_t read(int descriptor, void *data, size_t length)
{
    return fails(READS, EIO) ? -1 : next(read)(descriptor, data, length);
}

ssize_t recv(int descriptor, void *data, size_t length, int flags)
{
    return fails(READS, ECONNRESET) ? -1 : next(recv)(descriptor, data, length, flags);
}

ssize_t pread64(int descriptor, void *data, size_t length, off64_t offset)
{
    return fails(READS, EIO) ? -1 : next(pread64)(descriptor, data, length, offset);
}

ssize_t write(int descriptor, const void *data, size_t length)
{
    return fails(WRITES, EIO) ? -1 : next(write)(descriptor, data, length);
}

ssize_t pwrite64(int descriptor, const void *data, size_t length, off64_t offset)
{
    return fails(WRITES, ENOSPC) ? -1 : next(pwrite64)(descriptor, data, length, offset);
}

ssize_t send(int descriptor, const void *data, size_t length, int flags)
{
    return fails(WRITES, ECONNRESET) ? -1 : next(send)(descriptor, data, length, flags);
}

ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags)
{
    return fails(WRITES, ECONNRESET) ? -1 : next(sendmsg)(descriptor, message, flags);
}

int fsync(int descriptor)
{
    return fails(SYNCS, EIO) ? -1 : next(fsync)(descriptor);
}

int fdatasync(int descriptor)
{
    return fails(SYNCS, EIO) ? -1 : next(fdatasync)(descriptor);
}

int accept4(int descriptor, struct sockaddr *address, socklen_t *length, int flags)
{
    return fails(ACCEPTS, EMFILE) ? -1 : next(accept4)(descriptor, address, length, flags);
}

int epoll_wait(int descriptor, struct epoll_event *events, int count, int timeout_ms)
{
    return fails(EPOLLS, EINTR) ? -1 : next(epoll_wait)(descriptor, events, count, timeout_ms);
}

/* The kernel needs no memory to take one away. */
int epoll_ctl(int descriptor, int what, int other, struct epoll_event *event)
{
    return what != EPOLL_CTL_DEL && fails(EPOLLS, ENOMEM)
               ? -1
               : next(epoll_ctl)(descriptor, what, other, event);
}
