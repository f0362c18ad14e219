/* Preloaded by a test: a message with one of the markers ends the process, as a defect in a parser
 * or in the store would. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static void abort_on(const char *marker, const char *text, size_t length)
{
    if (text != NULL && memmem(text, length, marker, strlen(marker)) != NULL) {
        abort();
    }
}

int sqlite3_bind_text64(void *statement, int parameter, const char *text, unsigned long long length,
                        void (*free_text)(void *), unsigned char encoding)
{
    typedef int bind(void *, int, const char *, unsigned long long, void (*)(void *),
                     unsigned char);
    abort_on("abort-in-the-store", text, length);
    bind *next = (bind *)dlsym(RTLD_NEXT, "sqlite3_bind_text64");
    return next(statement, parameter, text, length, free_text, encoding);
}

void *json_loadb(const char *text, size_t length, size_t flags, void *error)
{
    abort_on("abort-the-process", text, length);
    void *(*next)(const char *, size_t, size_t, void *) =
        (void *(*)(const char *, size_t, size_t, void *))dlsym(RTLD_NEXT, "json_loadb");
    return next(text, length, flags, error);
}
