/* Preloaded by a test: each fsync takes FSYNC_MS more, as on a slow disk, and each
 * step of SQLite STEP_MS, as where the pages that it needs are read from there. While the file
 * named by FSYNC_HANGS_FILE is there fsync hangs, and while that named by WAL_HANGS_FILE is there a
 * write to a write-ahead log does. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void hang_while(const char *variable)
{
    const char *path = getenv(variable);
    while (path != NULL && access(path, F_OK) == 0) {
        usleep(10000);
    }
}

static void wait_for_the_disk(void)
{
    const char *milliseconds = getenv("FSYNC_MS");
    if (milliseconds != NULL) {
        usleep((useconds_t)strtoul(milliseconds, NULL, 10) * 1000);
    }
    hang_while("FSYNC_HANGS_FILE");
}

static int is_log(int descriptor)
{
    char link[64], path[4096];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof(path));
    return length > 4 && memcmp(path + length - 4, "-wal", 4) == 0;
}

int fsync(int descriptor)
{
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_for_the_disk();
    return next(descriptor);
}

int fdatasync(int descriptor)
{
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_for_the_disk();
    return next(descriptor);
}

int sqlite3_step(void *statement)
{
    int (*next)(void *) = (int (*)(void *))dlsym(RTLD_NEXT, "sqlite3_step");
    const char *milliseconds = getenv("STEP_MS");
    if (milliseconds != NULL) {
        usleep((useconds_t)strtoul(milliseconds, NULL, 10) * 1000);
    }
    return next(statement);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t length, off64_t offset)
{
    ssize_t (*next)(int, const void *, size_t, off64_t) =
        (ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    if (getenv("WAL_HANGS_FILE") != NULL && is_log(descriptor)) {
        hang_while("WAL_HANGS_FILE");
    }
    return next(descriptor, bytes, length, offset);
}
