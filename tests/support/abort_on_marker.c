/* Preloaded by a test: a message with the marker ends the process, as a defect in a parser would.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

void *json_loadb(const char *text, size_t length, size_t flags, void *error)
{
    static const char marker[] = "abort-the-process";
    if (memmem(text, length, marker, sizeof(marker) - 1) != NULL) {
        abort();
    }
    void *(*next)(const char *, size_t, size_t, void *) =
        (void *(*)(const char *, size_t, size_t, void *))dlsym(RTLD_NEXT, "json_loadb");
    return next(text, length, flags, error);
}
