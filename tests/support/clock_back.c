/* Preloaded by a test: while the file named by CLOCK_BACK_FILE is there, the wall clock is an hour
 * back, as after a correction. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *ret_now)
{
    int (*next)(clockid_t, struct timespec *) =
        (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int status = next(clock, ret_now);
    if (clock == CLOCK_REALTIME && access(getenv("CLOCK_BACK_FILE"), F_OK) == 0) {
        ret_now->tv_sec -= 3600;
    }
    return status;
}
