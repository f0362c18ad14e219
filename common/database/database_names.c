/* Looks whether the files of a database stand under their names, and keeps what is in them where
 * they do not. */
#include "common/database/database_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The first time that it is opened. A second connection has the one that the first one chose. A
 * descriptor of O_PATH reads nothing, and its end ends no lock of SQLite's. */
static enum outcome choose(struct database *database, struct error *ret_error)
{
    if (database->chosen.is_known || database->options.second) {
        return OUTCOME_OK;
    }
    int descriptor = open(database->path, O_PATH | O_CLOEXEC);
    struct stat found;
    if (descriptor < 0 || fstat(descriptor, &found) != 0) {
        enum outcome outcome =
            error_set_errno(ret_error, OUTCOME_TRANSIENT, errno, "look at %s", database->path);
        if (descriptor >= 0) {
            (void)close(descriptor);
        }
        return outcome;
    }
    database->chosen_descriptor = descriptor;
    database->chosen.device = found.st_dev;
    database->chosen.inode = found.st_ino;
    database->chosen.is_known = true;
    return OUTCOME_OK;
}

enum outcome database_remember_names(struct database *database, struct error *ret_error)
{
    pthread_mutex_lock(&database->names_lock);
    enum outcome outcome = choose(database, ret_error);
    for (size_t i = 0; outcome == OUTCOME_OK && i < DATABASE_NAMES; i++) {
        outcome = named_file_remember(&database->names[i], ret_error);
    }
    pthread_mutex_unlock(&database->names_lock);
    int has_moved = 0;
    if (outcome == OUTCOME_OK &&
        sqlite3_file_control(database->handle, "main", SQLITE_FCNTL_HAS_MOVED, &has_moved) ==
            SQLITE_OK &&
        has_moved != 0) {
        return error_set(ret_error, OUTCOME_TRANSIENT, "%s was replaced while it was opened",
                         database->path);
    }
    return outcome;
}

void database_forget_names(struct database *database)
{
    pthread_mutex_lock(&database->names_lock);
    for (size_t i = 0; i < DATABASE_NAMES; i++) {
        database->names[i].is_known = false;
    }
    pthread_mutex_unlock(&database->names_lock);
}

static bool is_same_file(const struct named_file *one, const struct named_file *other)
{
    return one->device == other->device && one->inode == other->inode;
}

bool database_follows_first(struct database *database)
{
    struct database *first = database->options.first;
    bool follows = true;
    if (first == NULL) {
        return true;
    }
    pthread_mutex_lock(&first->names_lock);
    for (size_t i = DATABASE_FILE; i < DATABASE_NAMES; i++) {
        follows = follows && (!first->names[i].is_known ||
                              is_same_file(&first->names[i], &database->names[i]));
    }
    pthread_mutex_unlock(&first->names_lock);
    return follows;
}

/* What a look at a name has found, with the errno of NAMED_FILE_UNSEEN. */
struct look {
    enum named_file_state state;
    int error_number;
};

/* The names of the file and what is beside it, in the order of enum database_name; then the lock.
 */
enum { LOCK = DATABASE_NAMES, LOOKS };

/* While the file is not open, the name must lead to the one that was. */
static const struct named_file *file_of(const struct database *database,
                                        const struct named_file *names, size_t i)
{
    switch (i) {
    case LOCK:
        return database->options.lock;
    case DATABASE_FOLDER:
        return NULL;
    case DATABASE_FILE:
        return names[i].is_known ? &names[i] : &database->chosen;
    default:
        return &names[i];
    }
}

static struct look look_at(const struct named_file *file)
{
    enum named_file_state state = named_file_look_up(file);
    return (struct look){state, state == NAMED_FILE_UNSEEN ? errno : 0};
}

static bool look_at_all(struct database *database, struct look ret_looks[LOOKS])
{
    struct database *first = database->options.first == NULL ? database : database->options.first;
    bool all = true;
    pthread_mutex_lock(&first->names_lock);
    /* While the first one is closed, what this one has opened is what counts. */
    const struct named_file *names =
        first->names[DATABASE_FILE].is_known ? first->names : database->names;
    for (size_t i = 0; i < LOOKS; i++) {
        const struct named_file *file = file_of(first, names, i);
        ret_looks[i] = file == NULL ? (struct look){NAMED_FILE_IN_PLACE, 0} : look_at(file);
        all = all && ret_looks[i].state == NAMED_FILE_IN_PLACE;
    }
    if (!all) { /* only to say so: who has the files in another folder has them in no other place */
        ret_looks[DATABASE_FOLDER] = look_at(&names[DATABASE_FOLDER]);
    }
    pthread_mutex_unlock(&first->names_lock);
    return all;
}

static bool is_gone(struct look look)
{
    return look.state == NAMED_FILE_REMOVED || look.state == NAMED_FILE_REPLACED;
}

/* Another process can have begun. It would use some of these files, and others for the rest. */
static bool can_be_contested(const struct look looks[LOOKS])
{
    int gone = is_gone(looks[DATABASE_FILE]) + is_gone(looks[DATABASE_LOG]) +
               is_gone(looks[DATABASE_INDEX]);
    return is_gone(looks[LOCK]) && gone > 0 && gone < 3;
}

/* The log is lost, and nobody can have begun another one: all that it holds fits into the file that
 * stands in its place. */
static bool can_write_back(const struct database *database, const struct look looks[LOOKS])
{
    return !database->options.second && database_is_open(database) &&
           looks[DATABASE_LOG].state == NAMED_FILE_REMOVED &&
           looks[DATABASE_FILE].state == NAMED_FILE_IN_PLACE &&
           looks[DATABASE_INDEX].state == NAMED_FILE_IN_PLACE &&
           looks[LOCK].state == NAMED_FILE_IN_PLACE;
}

static enum outcome describe(const struct database *database, const struct look looks[LOOKS],
                             const char *kept, struct error *ret_error)
{
    const struct database *first =
        database->options.first == NULL ? database : database->options.first;
    size_t i = 0;
    while (looks[i].state == NAMED_FILE_IN_PLACE) {
        i++;
    }
    const char *risk = i == LOCK ? "another process may use the directory"
                       : first->names[i].is_known
                           ? "what is stored now would be lost with this process"
                           : "it is not the file that this process began with";
    const struct named_file *file = i == LOCK ? database->options.lock : &first->names[i];
    return named_file_refuse(file, looks[i].state, looks[i].error_number, risk, kept, ret_error);
}

enum outcome database_in_place(struct database *database, struct error *ret_error)
{
    struct look looks[LOOKS];
    database->is_displaced = !look_at_all(database, looks);
    database->is_out_of_reach = is_gone(looks[DATABASE_FILE]) || is_gone(looks[DATABASE_LOG]);
    database->is_contested = can_be_contested(looks);
    if (!database->is_displaced && database->is_in_doubt) {
        database_close(database);
        return error_set(ret_error, OUTCOME_TRANSIENT,
                         "%s is back in its place, and is opened again after a failure",
                         database->path);
    }
    if (!database->is_displaced) {
        return OUTCOME_OK;
    }
    const char *kept = "";
    if (can_write_back(database, looks) && database_write_back(database, NULL) == OUTCOME_OK) {
        kept = "what was stored before is in the file; ";
        database->is_out_of_reach = false;
    }
    return describe(database, looks, kept, ret_error);
}

bool database_is_displaced(const struct database *database)
{
    return database->is_displaced;
}

bool database_is_out_of_reach(const struct database *database)
{
    return database->is_out_of_reach && database_is_open(database);
}

bool database_is_contested(const struct database *database)
{
    return database->is_contested;
}

/* A log, or an older journal, that is left of another file would be taken for this file's. */
static bool names_are_free(const struct database *database)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    char name[DATABASE_PATH_BYTES + 16];
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        (void)snprintf(name, sizeof(name), "%s%s", database->path, ends[i]);
        if (access(name, F_OK) == 0 || errno != ENOENT) {
            return false;
        }
    }
    return true;
}

enum { STEPS_PER_CALL = 10 /* of SQLite's machine: a few rows */ };

static int call_progress(void *context)
{
    const struct database_progress *progress = context;
    progress->call(progress->context);
    return 0; /* go on */
}

static enum outcome copy_to(struct database *database, const char *path,
                            struct database_progress *progress, struct error *ret_error)
{
    char *sql = sqlite3_mprintf("VACUUM INTO %Q", path);
    if (sql == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory to write %s", path);
    }
    sqlite3_progress_handler(database->handle, STEPS_PER_CALL, call_progress, progress);
    enum outcome outcome = database_execute(database, sql, ret_error);
    sqlite3_progress_handler(database->handle, 0, NULL, NULL);
    sqlite3_free(sql);
    return outcome == OUTCOME_OK ? named_file_sync(path, ret_error) : outcome;
}

bool database_has_directory(const struct database *database)
{
    return access(database->names[DATABASE_FOLDER].path, W_OK | X_OK) == 0;
}

enum outcome database_write_out(struct database *database, int64_t now_ms,
                                struct database_progress *progress, struct error *ret_path)
{
    char copy[DATABASE_PATH_BYTES + 40];
    const char *folder = database->names[DATABASE_FOLDER].path;
    (void)snprintf(copy, sizeof(copy), "%s.saved-%lld", database->path, (long long)now_ms);
    enum outcome outcome = copy_to(database, copy, progress, ret_path);
    if (outcome == OUTCOME_OK) {
        outcome = named_file_sync(folder, ret_path);
    }
    if (outcome != OUTCOME_OK) {
        (void)unlink(copy);
        return outcome;
    }
    /* A whole file or none, and never over another one. */
    bool is_named = names_are_free(database) && link(copy, database->path) == 0;
    if (is_named && named_file_sync(folder, NULL) == OUTCOME_OK) {
        (void)unlink(copy); /* its other name is as durable */
    }
    return error_set(ret_path, OUTCOME_OK, "%s", is_named ? database->path : copy);
}
