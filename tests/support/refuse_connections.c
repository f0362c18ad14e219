/* Preloaded by a test: while the file named by REFUSE_CONNECTIONS_FILE is there, the HTTP library
 * takes no connection, as without memory. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int MHD_add_connection(void *daemon, int client, const struct sockaddr *address, socklen_t length)
{
    int (*next)(void *, int, const struct sockaddr *, socklen_t) =
        (int (*)(void *, int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT,
                                                                        "MHD_add_connection");
    if (access(getenv("REFUSE_CONNECTIONS_FILE"), F_OK) == 0) {
        (void)close(client);
        return 0;
    }
    return next(daemon, client, address, length);
}
