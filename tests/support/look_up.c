/* Preloaded by a test: the look-up of LOOK_UP_NAME takes LOOK_UP_MS, as where the first name server
 * is dead, and finds the addresses of LOOK_UP_ADDRESSES, which commas separate, in this order. When
 * it begins the file LOOK_UP_BEGUN_FILE is made. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret_found)
{
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))dlsym(
            RTLD_NEXT, "getaddrinfo");
    const char *wanted = getenv("LOOK_UP_NAME");
    if (name == NULL || wanted == NULL || strcmp(name, wanted) != 0) {
        return next(name, service, hints, ret_found);
    }
    const char *begun = getenv("LOOK_UP_BEGUN_FILE");
    if (begun != NULL) {
        (void)close(open(begun, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    }
    usleep((useconds_t)strtoul(getenv("LOOK_UP_MS"), NULL, 10) * 1000);
    char addresses[1024];
    (void)snprintf(addresses, sizeof(addresses), "%s", getenv("LOOK_UP_ADDRESSES"));
    char *rest = NULL;
    int status = EAI_NONAME;
    for (char *one = strtok_r(addresses, ",", &rest); one != NULL;
         one = strtok_r(NULL, ",", &rest)) {
        status = next(one, service, hints, ret_found);
        if (status != 0) {
            return status;
        }
        ret_found = &(*ret_found)->ai_next;
    }
    return status;
}
