/* A folder in memory, gone at the end of the process. */
#pragma once

#include "tests/fuzz/fuzz_input.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

enum { FUZZ_PATH_BYTES = 512 };

struct fuzz_folder {
    char path[FUZZ_PATH_BYTES];
    pid_t owner;
};

static struct fuzz_folder *fuzz_folder_to_remove;

static inline void fuzz_folder_empty(const struct fuzz_folder *folder)
{
    DIR *stream = opendir(folder->path);
    must(stream != NULL);
    const struct dirent *entry;
    while ((entry = readdir(stream)) != NULL) {
        if (entry->d_name[0] != '.') {
            must(unlinkat(dirfd(stream), entry->d_name, 0) == 0);
        }
    }
    must(closedir(stream) == 0);
}

static inline void fuzz_folder_remove(void)
{
    if (fuzz_folder_to_remove->owner == getpid()) {
        fuzz_folder_empty(fuzz_folder_to_remove);
        must(rmdir(fuzz_folder_to_remove->path) == 0);
    }
}

/* libFuzzer ends with _exit() after a finding: then the script removes it, with the parent folder
 * that FUZZ_FOLDER names. */
static inline void fuzz_folder_make(struct fuzz_folder *folder)
{
    const char *parent = getenv("FUZZ_FOLDER");
    (void)snprintf(folder->path, sizeof(folder->path), "%s/fuzz-XXXXXX",
                   parent == NULL ? "/dev/shm" : parent);
    must(mkdtemp(folder->path) != NULL);
    folder->owner = getpid();
    fuzz_folder_to_remove = folder;
    must(atexit(fuzz_folder_remove) == 0);
}
