/* Damages a valid database: an input is a list of changes to the file and to its log.
 *
 * A change is: 'd' (database) or 'w' (write-ahead log), the position in three bytes, how many
 * bytes, the bytes. The upper case letter cuts the file at the position instead. */
#pragma once

#include "tests/fuzz/fuzz_folder.h"

#include <sys/stat.h>

enum { DAMAGED_FILES = 2, DAMAGED_CHANGES_MAX = 32 };

struct damaged_file {
    struct fuzz_folder folder;
    const char *names[DAMAGED_FILES]; /* the database, its log */
    struct slice valid[DAMAGED_FILES];
    struct slice damaged[DAMAGED_FILES];
};

static inline void damaged_path(const struct damaged_file *file, int which,
                                char path[2 * FUZZ_PATH_BYTES])
{
    (void)snprintf(path, 2 * FUZZ_PATH_BYTES, "%s/%s", file->folder.path, file->names[which]);
}

static inline struct slice damaged_read(const struct damaged_file *file, int which)
{
    char path[2 * FUZZ_PATH_BYTES];
    struct stat status;
    damaged_path(file, which, path);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        return copy_exactly((struct slice){NULL, 0});
    }
    must(fstat(descriptor, &status) == 0);
    char *data = malloc((size_t)status.st_size + 1);
    must(data != NULL);
    must(read(descriptor, data, (size_t)status.st_size) == status.st_size);
    must(close(descriptor) == 0);
    return (struct slice){data, (size_t)status.st_size};
}

static inline void damaged_write(const struct damaged_file *file, int which, struct slice bytes)
{
    char path[2 * FUZZ_PATH_BYTES];
    damaged_path(file, which, path);
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(descriptor >= 0);
    must(write(descriptor, bytes.data, bytes.length) == (ssize_t)bytes.length);
    must(close(descriptor) == 0);
}

/* After the module under test has written and closed a database. */
static inline void damaged_file_learn(struct damaged_file *file)
{
    for (int i = 0; i < DAMAGED_FILES; i++) {
        file->valid[i] = damaged_read(file, i);
        must(file->valid[i].length > 0);
    }
}

static inline void damaged_change(struct damaged_file *file, struct fuzz_input *input)
{
    unsigned what = take_byte(input);
    int which = what == 'w' || what == 'W';
    size_t position = take_byte(input) << 16;
    position |= take_byte(input) << 8;
    position |= take_byte(input);
    struct slice *bytes = &file->damaged[which];
    if (what == 'D' || what == 'W') {
        bytes->length = position < bytes->length ? position : bytes->length;
        return;
    }
    struct slice change = take_short(input);
    if (bytes->length > 0 && change.length > 0) {
        position %= bytes->length;
        size_t left = bytes->length - position;
        memcpy((char *)(uintptr_t)bytes->data + position, change.data,
               change.length < left ? change.length : left);
    }
}

static inline void damaged_file_make(struct damaged_file *file, const uint8_t *data, size_t size)
{
    struct fuzz_input input = fuzz_input_of(data, size);
    fuzz_folder_empty(&file->folder);
    for (int i = 0; i < DAMAGED_FILES; i++) {
        file->damaged[i] = copy_exactly(file->valid[i]);
    }
    for (int i = 0; i < DAMAGED_CHANGES_MAX && input.left > 0; i++) {
        damaged_change(file, &input);
    }
    for (int i = 0; i < DAMAGED_FILES; i++) {
        damaged_write(file, i, file->damaged[i]);
    }
}

/* What was found damaged is for a person: it stays as it was. */
static inline void damaged_file_must_be_untouched(const struct damaged_file *file)
{
    struct slice now = damaged_read(file, 0);
    must(slice_equal(now, file->damaged[0]));
    free_copy(now);
}

static inline void damaged_file_done(struct damaged_file *file)
{
    for (int i = 0; i < DAMAGED_FILES; i++) {
        free_copy(file->damaged[i]);
        file->damaged[i] = (struct slice){0};
    }
}
