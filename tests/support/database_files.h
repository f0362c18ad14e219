/* Removes what a test has left of a database: its file, and what SQLite keeps beside it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

/* Some of the files may not be there. */
static inline void remove_database_files(const char *directory, const char *name)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        char path[256];
        snprintf(path, sizeof(path), "%s/%s%s", directory, name, suffixes[i]);
        (void)unlink(path);
    }
}

/* The directory of a store that is closed; nothing else may be in it. */
static inline void remove_store_directory(const char *directory)
{
    remove_database_files(directory, "session-service.db");
    assert_int_equal(rmdir(directory), 0);
}
