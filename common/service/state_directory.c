/* The lock is the kernel's, on an open file, so that a killed process leaves none behind. What is
 * written in the file is only for the message to a second one. */
#include "common/service/state_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PROCESS_BYTES = 32, FILE_NAME_BYTES = 32 };

enum outcome state_directory_choose(const char *option, const char *service,
                                    struct state_directory *ret_directory, struct error *ret_error)
{
    char fallback[64];
    (void)snprintf(fallback, sizeof(fallback), "/var/lib/%s", service);
    const char *granted = getenv("STATE_DIRECTORY"); /* may be a list, separated by colons */
    const char *path = option != NULL ? option : granted != NULL ? granted : fallback;
    size_t length = option == NULL && granted != NULL ? strcspn(path, ":") : strlen(path);
    if (length == 0 || length + FILE_NAME_BYTES > STATE_DIRECTORY_PATH_BYTES) {
        return error_set(ret_error, OUTCOME_INVALID,
                         "--state-dir: a path of 1 to %d bytes is needed",
                         STATE_DIRECTORY_PATH_BYTES - FILE_NAME_BYTES);
    }
    *ret_directory = (struct state_directory){.lock_descriptor = -1};
    memcpy(ret_directory->path, path, length);
    return OUTCOME_OK;
}

static void name_holder(const struct state_directory *directory, int descriptor,
                        struct error *ret_error)
{
    char process[PROCESS_BYTES] = "";
    ssize_t length = pread(descriptor, process, sizeof(process) - 1, 0);
    process[length > 0 ? strspn(process, "0123456789") : 0] = '\0';
    error_set(ret_error, OUTCOME_INVALID, "--state-dir %s is in use by process %s", directory->path,
              process[0] == '\0' ? "(unknown)" : process);
}

static bool write_process(int descriptor)
{
    char process[PROCESS_BYTES];
    int length = snprintf(process, sizeof(process), "%ld\n", (long)getpid());
    return ftruncate(descriptor, 0) == 0 &&
           pwrite(descriptor, process, (size_t)length, 0) == (ssize_t)length;
}

/* Creates the folder so that it outlives the machine. Who has created one that is there may have
 * been killed before it was synced. What its parent does not let us read is not synced, and then
 * the name is as durable as the file system makes it by itself. */
static enum outcome create_folder(const char *path, struct error *ret_error)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return error_set_errno(ret_error, OUTCOME_INVALID, errno, "--state-dir: create %s", path);
    }
    char parent[STATE_DIRECTORY_PATH_BYTES + FILE_NAME_BYTES];
    (void)snprintf(parent, sizeof(parent), "%s/..", path);
    struct error why;
    return access(parent, R_OK) != 0 || named_file_sync(parent, &why) == OUTCOME_OK
               ? OUTCOME_OK
               : error_set(ret_error, OUTCOME_INVALID, "--state-dir: %s", why.text);
}

/* It may have been removed between the opening and the locking. Another process could then lock one
 * of the same name as well. */
static enum outcome remember_lock(struct named_file *lock, int descriptor, struct error *ret_error)
{
    struct stat held;
    enum outcome outcome = named_file_remember(lock, ret_error);
    if (outcome == OUTCOME_OK && fstat(descriptor, &held) == 0 &&
        named_file_compare(lock, 0, &held) == NAMED_FILE_IN_PLACE) {
        return OUTCOME_OK;
    }
    return error_set(ret_error, OUTCOME_INVALID,
                     "--state-dir: %s was removed or replaced while it was locked; start again",
                     lock->path);
}

enum outcome state_directory_try(struct state_directory *directory, bool *ret_is_held,
                                 struct error *ret_error)
{
    enum outcome outcome =
        directory->is_awaited ? OUTCOME_OK : create_folder(directory->path, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    char *path = directory->lock.path;
    (void)snprintf(path, sizeof(directory->lock.path), "%s/lock", directory->path);
    int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (descriptor < 0) {
        return error_set_errno(ret_error, OUTCOME_INVALID, errno, "--state-dir: open %s", path);
    }
    if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) {
            name_holder(directory, descriptor, ret_error);
            *ret_is_held = false;
            directory->is_awaited = true;
        } else {
            outcome =
                error_set_errno(ret_error, OUTCOME_INVALID, errno, "--state-dir: lock %s", path);
        }
        close(descriptor);
        return outcome;
    }
    outcome = remember_lock(&directory->lock, descriptor, ret_error);
    if (outcome != OUTCOME_OK) {
        close(descriptor);
        return outcome;
    }
    /* On a full disk the number is missing, and the lock is held all the same. */
    (void)write_process(descriptor);
    directory->lock_descriptor = descriptor;
    *ret_is_held = true;
    return OUTCOME_OK;
}

enum outcome state_directory_hold(struct state_directory *directory, struct error *ret_error)
{
    bool is_held = false;
    struct error holder;
    enum outcome outcome = state_directory_try(directory, &is_held, &holder);
    if (outcome == OUTCOME_OK && is_held) {
        return OUTCOME_OK;
    }
    return error_set(ret_error, OUTCOME_INVALID, "%s%s", holder.text,
                     outcome == OUTCOME_OK ? "; each needs a state directory of its own" : "");
}

void state_directory_release(struct state_directory *directory)
{
    if (directory->lock_descriptor >= 0) {
        close(directory->lock_descriptor);
        directory->lock_descriptor = -1;
    }
    directory->lock.is_known = false;
}
