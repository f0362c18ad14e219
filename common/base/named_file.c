/* Compares devices and inodes. */
#include "common/base/named_file.h"

#include <errno.h>

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
