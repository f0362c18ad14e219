/* Compares what was set with the sockets, and with the units that are installed. */
#include "common/service/listen_unused.h"

#include "common/base/utf8.h"
#include "common/http/http_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { UNIT_PATH_BYTES = 512, SHOWN_BYTES_MAX = 200 };

static bool is_default(const struct options_program *program, const char *listen)
{
    for (size_t i = 0; i < program->count; i++) {
        if (strcmp(program->rows[i].name, "listen") == 0) {
            return strcmp(program->rows[i].default_text, listen) == 0;
        }
    }
    return false;
}

/* Two of them fit into an error. */
static int shown_length(const char *text)
{
    return (int)utf8_cut_length(slice_of(text), SHOWN_BYTES_MAX);
}

bool listen_is_unused(const struct options_program *program, const struct common_settings *settings,
                      struct error *ret_why)
{
    char passed[HTTP_ADDRESSES_BYTES];
    if (is_default(program, settings->listen) || !http_listen_passed(passed) ||
        strcmp(passed, settings->listen) == 0) {
        return false;
    }
    error_set(ret_why, OUTCOME_OK,
              "listen is %.*s and has no effect: the service manager passes a socket of %.*s",
              shown_length(settings->listen), settings->listen, shown_length(passed), passed);
    return true;
}

/* Looks in the folders of a list with colons. A link to /dev/null masks a unit. */
static bool find_unit(const char *folders, const char *name, char ret_path[UNIT_PATH_BYTES])
{
    for (const char *folder = folders; *folder != '\0';) {
        size_t length = strcspn(folder, ":");
        char target[sizeof("/dev/null")];
        (void)snprintf(ret_path, UNIT_PATH_BYTES, "%.*s/%s.socket", (int)length, folder, name);
        if (access(ret_path, F_OK) == 0) {
            ssize_t read = readlink(ret_path, target, sizeof(target));
            return read != (ssize_t)strlen("/dev/null") ||
                   memcmp(target, "/dev/null", (size_t)read) != 0;
        }
        folder += length;
        folder += *folder == ':';
    }
    return false;
}

bool listen_would_be_unused(const struct options_program *program,
                            const struct common_settings *settings, struct error *ret_why)
{
    static const char usual[] = "/etc/systemd/system:/run/systemd/system:"
                                "/usr/local/lib/systemd/system:/usr/lib/systemd/system:"
                                "/lib/systemd/system";
    const char *folders = getenv("SYSTEMD_UNIT_PATH");
    char path[UNIT_PATH_BYTES];
    if (is_default(program, settings->listen) ||
        !find_unit(folders == NULL ? usual : folders, program->name, path)) {
        return false;
    }
    error_set(ret_why, OUTCOME_OK,
              "listen is %.*s and has no effect where %.*s is in use: then its ListenStream= "
              "decides",
              shown_length(settings->listen), settings->listen, shown_length(path), path);
    return true;
}
