/* A named file is one that a process holds open, and the name by which the next process looks for
 * it. What is written to a file that has lost its name is gone when the process ends, however often
 * it was synced.
 *
 * A file is known by its device and inode. While it is open its inode belongs to no other file. So
 * a name that leads to these two leads to this file, and the count of its links says nothing more.
 * Whatever the name passes (a symbolic link, a mount, a folder that was renamed) is passed as the
 * next process passes it. */
#pragma once

#include "common/base/error.h"

#include <stdbool.h>
#include <sys/stat.h>

enum { NAMED_FILE_PATH_BYTES = 1104 };

struct named_file {
    char path[NAMED_FILE_PATH_BYTES];
    dev_t device;
    ino_t inode;
    bool is_known; /* false: nothing is remembered, and nothing is compared */
};

enum named_file_state {
    NAMED_FILE_IN_PLACE,
    NAMED_FILE_REMOVED,  /* nothing stands there */
    NAMED_FILE_REPLACED, /* another file stands there */
    NAMED_FILE_UNSEEN,   /* the name cannot be followed now */
};

/* Remembers which file the name leads to. TRANSIENT: to none, or it cannot be followed. */
MUST_CHECK enum outcome named_file_remember(struct named_file *file, struct error *ret_error);

/* Compares what is remembered with what a look-up has found. `error_number` is 0, or the errno of a
 * look-up that has found nothing; `found` is not read then. Pure. */
enum named_file_state named_file_compare(const struct named_file *file, int error_number,
                                         const struct stat *found);

/* Says that the file is not in its place, what follows from that (`risk`), what was done about it
 * (`kept`: "" or "...; "), and what to do. `error_number` is the errno of NAMED_FILE_UNSEEN.
 * Returns TRANSIENT. */
enum outcome named_file_refuse(const struct named_file *file, enum named_file_state state,
                               int error_number, const char *risk, const char *kept,
                               struct error *ret_error);

/* Has the content of a file, or the names in a folder, outlive the machine. A file system without
 * such a call is as durable as it is by itself. TRANSIENT: it cannot be opened, or synced. */
MUST_CHECK enum outcome named_file_sync(const char *path, struct error *ret_error);

/* Looks the name up: one system call, or none if the file is not known. If the state is
 * NAMED_FILE_UNSEEN, errno says why. Any thread. */
enum named_file_state named_file_look_up(const struct named_file *file);
