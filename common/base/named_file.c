/* Compares devices and inodes, and syncs. */
#include "common/base/named_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum outcome named_file_remember(struct named_file *file, struct error *ret_error)
{
    struct stat found;
    if (stat(file->path, &found) != 0) {
        return error_set_errno(ret_error, OUTCOME_TRANSIENT, errno, "look at %s", file->path);
    }
    file->device = found.st_dev;
    file->inode = found.st_ino;
    file->is_known = true;
    return OUTCOME_OK;
}

enum named_file_state named_file_compare(const struct named_file *file, int error_number,
                                         const struct stat *found)
{
    if (!file->is_known) {
        return NAMED_FILE_IN_PLACE;
    }
    if (error_number == ENOENT || error_number == ENOTDIR) {
        return NAMED_FILE_REMOVED;
    }
    if (error_number != 0) {
        return NAMED_FILE_UNSEEN;
    }
    bool is_same = found->st_dev == file->device && found->st_ino == file->inode;
    return is_same ? NAMED_FILE_IN_PLACE : NAMED_FILE_REPLACED;
}

enum named_file_state named_file_look_up(const struct named_file *file)
{
    struct stat found;
    if (!file->is_known) {
        return NAMED_FILE_IN_PLACE;
    }
    int error_number = stat(file->path, &found) == 0 ? 0 : errno;
    return named_file_compare(file, error_number, &found);
}

enum outcome named_file_refuse(const struct named_file *file, enum named_file_state state,
                               int error_number, const char *risk, const char *kept,
                               struct error *ret_error)
{
    static const char way_out[] = "put the same files back, or restart the service";
    if (state == NAMED_FILE_UNSEEN) {
        char scratch[128];
        return error_set(ret_error, OUTCOME_TRANSIENT,
                         "%s cannot be looked at (%s), and may not be what is open; give the "
                         "rights back, or restart the service",
                         file->path, strerror_r(error_number, scratch, sizeof(scratch)));
    }
    return error_set(ret_error, OUTCOME_TRANSIENT, "%s was %s under the running service: %s; %s%s",
                     file->path, state == NAMED_FILE_REMOVED ? "removed" : "replaced", risk, kept,
                     way_out);
}

enum outcome named_file_sync(const char *path, struct error *ret_error)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    bool is_synced = descriptor >= 0 && (fsync(descriptor) == 0 || errno == EINVAL);
    enum outcome outcome =
        is_synced ? OUTCOME_OK
                  : error_set_errno(ret_error, OUTCOME_TRANSIENT, errno, "sync %s", path);
    if (descriptor >= 0) {
        (void)close(descriptor);
    }
    return outcome;
}
