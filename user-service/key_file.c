/* Records to bytes and back, and the calls of the file. */
#include "user-service/key_file.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FORMAT = 1,
    FORMAT_AT = 32,
    VALUE_AT = DIGEST_BYTES,
    ORDER_AT = 2 * DIGEST_BYTES,
    TIME_AT = ORDER_AT + 8,
    OUTCOME_AT = TIME_AT + 8,
    CHECK_BYTES = 8,
    CHECK_AT = KEY_FILE_PLACE_BYTES - CHECK_BYTES,
    PLACES_AT_ONCE = 512, /* are written or read with one call */
};

static const char magic[] = "user-service keys\n";

typedef unsigned char place_bytes[KEY_FILE_PLACE_BYTES];

static enum outcome fail(const struct key_file *file, int number, const char *what,
                         struct error *ret_error)
{
    return error_set_errno(ret_error, OUTCOME_TRANSIENT, number, "%s: cannot %s", file->name.path,
                           what);
}

enum outcome key_file_init(struct key_file *file, const char *directory,
                           const struct named_file *lock, struct error *ret_error)
{
    *file = (struct key_file){.descriptor = -1, .lock = lock};
    int length = snprintf(file->name.path, sizeof(file->name.path), "%s/" KEY_FILE_NAME, directory);
    return length > 0 && (size_t)length + sizeof(".new") <= sizeof(file->name.path)
               ? OUTCOME_OK
               : error_set(ret_error, OUTCOME_INVALID,
                           "the path of the state directory is too long");
}

void key_file_done(struct key_file *file)
{
    if (file->descriptor >= 0) {
        (void)close(file->descriptor); /* what counts was synced */
    }
    file->descriptor = -1;
    file->name.is_known = false;
}

bool key_file_is_open(const struct key_file *file)
{
    return file->descriptor >= 0;
}

void key_file_content_done(struct key_file_content *content)
{
    free(content->places);
    *content = (struct key_file_content){.places = NULL};
}

/* False: no memory for a digest. */
static bool check_of(const place_bytes bytes, unsigned char ret_check[CHECK_BYTES])
{
    unsigned char digest[DIGEST_BYTES];
    if (digest_of((struct slice){(const char *)bytes, CHECK_AT}, digest, NULL) != OUTCOME_OK) {
        return false;
    }
    memcpy(ret_check, digest, CHECK_BYTES);
    return true;
}

static enum outcome encode(const struct key_record *record, place_bytes ret_bytes,
                           struct error *ret_error)
{
    memset(ret_bytes, 0, KEY_FILE_PLACE_BYTES);
    if (record->order == 0) {
        return OUTCOME_OK;
    }
    uint64_t order = htole64(record->order);
    uint64_t at_ms = htole64(record->at_ms);
    memcpy(ret_bytes, record->key, DIGEST_BYTES);
    memcpy(ret_bytes + VALUE_AT, record->value, DIGEST_BYTES);
    memcpy(ret_bytes + ORDER_AT, &order, sizeof(order));
    memcpy(ret_bytes + TIME_AT, &at_ms, sizeof(at_ms));
    ret_bytes[OUTCOME_AT] = (unsigned char)record->outcome;
    return check_of(ret_bytes, ret_bytes + CHECK_AT)
               ? OUTCOME_OK
               : error_set(ret_error, OUTCOME_TRANSIENT, "no memory to write an Idempotency-Key");
}

/* False: it is no record. An empty place is one with the order 0. */
static bool decode(const place_bytes bytes, struct key_record *ret_record)
{
    static const place_bytes empty;
    unsigned char check[CHECK_BYTES];
    uint64_t order, at_ms;
    *ret_record = (struct key_record){.order = 0};
    if (memcmp(bytes, empty, sizeof(empty)) == 0) {
        return true;
    }
    memcpy(&order, bytes + ORDER_AT, sizeof(order));
    memcpy(&at_ms, bytes + TIME_AT, sizeof(at_ms));
    if (!check_of(bytes, check) || memcmp(check, bytes + CHECK_AT, CHECK_BYTES) != 0 ||
        order == 0 || bytes[OUTCOME_AT] >= KEY_OUTCOMES) {
        return false;
    }
    memcpy(ret_record->key, bytes, DIGEST_BYTES);
    memcpy(ret_record->value, bytes + VALUE_AT, DIGEST_BYTES);
    ret_record->order = le64toh(order);
    ret_record->at_ms = le64toh(at_ms);
    ret_record->outcome = (enum key_outcome)bytes[OUTCOME_AT];
    return true;
}

static enum outcome write_at(struct key_file *file, const void *bytes, size_t length, off_t offset,
                             struct error *ret_error)
{
    const char *left = bytes;
    while (length > 0) {
        ssize_t written = pwrite(file->descriptor, left, length, offset);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return fail(file, written < 0 ? errno : ENOSPC, "write it", ret_error);
        }
        left += written;
        length -= (size_t)written;
        offset += written;
    }
    return OUTCOME_OK;
}

static enum outcome make_header(place_bytes ret_bytes, struct error *ret_error)
{
    const uint32_t format = htole32(FORMAT);
    memset(ret_bytes, 0, KEY_FILE_PLACE_BYTES);
    memcpy(ret_bytes, magic, sizeof(magic) - 1);
    memcpy(ret_bytes + FORMAT_AT, &format, sizeof(format));
    return check_of(ret_bytes, ret_bytes + CHECK_AT)
               ? OUTCOME_OK
               : error_set(ret_error, OUTCOME_TRANSIENT, "no memory to write a header");
}

static enum outcome write_header(struct key_file *file, struct error *ret_error)
{
    place_bytes header;
    enum outcome outcome = make_header(header, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = write_at(file, header, sizeof(header), 0, ret_error);
    }
    file->has_header = outcome == OUTCOME_OK;
    return outcome;
}

static off_t offset_of(uint32_t place)
{
    return ((off_t)place + 1) * KEY_FILE_PLACE_BYTES;
}

/* Those that are neighbours are written with one call. */
enum outcome key_file_write(struct key_file *file, const struct key_change *changes, size_t count,
                            struct error *ret_error)
{
    place_bytes bytes[PLACES_AT_ONCE];
    enum outcome outcome = file->has_header ? OUTCOME_OK : write_header(file, ret_error);
    size_t begin = 0;
    while (outcome == OUTCOME_OK && begin < count) {
        size_t length = 0;
        do {
            outcome = encode(&changes[begin + length].record, bytes[length], ret_error);
            length++;
        } while (outcome == OUTCOME_OK && length < PLACES_AT_ONCE && begin + length < count &&
                 changes[begin + length].place == changes[begin].place + length);
        if (outcome == OUTCOME_OK) {
            outcome = write_at(file, bytes, length * KEY_FILE_PLACE_BYTES,
                               offset_of(changes[begin].place), ret_error);
        }
        begin += length;
    }
    return outcome;
}

/* The directory's entry has to outlive the machine too. */
static enum outcome sync_directory(struct key_file *file, struct error *ret_error)
{
    char path[NAMED_FILE_PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%.*s",
                   (int)(strrchr(file->name.path, '/') - file->name.path), file->name.path);
    enum outcome outcome = named_file_sync(path[0] == '\0' ? "/" : path, ret_error);
    file->is_name_synced = outcome == OUTCOME_OK;
    return outcome;
}

static enum outcome look_at(const struct named_file *file, const char *risk,
                            struct error *ret_error)
{
    enum named_file_state state = named_file_look_up(file);
    return state == NAMED_FILE_IN_PLACE
               ? OUTCOME_OK
               : named_file_refuse(file, state, errno, risk, "", ret_error);
}

enum outcome key_file_in_place(const struct key_file *file, struct error *ret_error)
{
    enum outcome outcome =
        look_at(&file->name, "its keys would be lost with this process", ret_error);
    return outcome == OUTCOME_OK && file->lock != NULL
               ? look_at(file->lock, "another process may use the directory", ret_error)
               : outcome;
}

enum outcome key_file_sync(struct key_file *file, struct error *ret_error)
{
    if (fdatasync(file->descriptor) != 0) {
        return fail(file, errno, "sync it", ret_error);
    }
    enum outcome outcome = file->is_name_synced ? OUTCOME_OK : sync_directory(file, ret_error);
    return outcome == OUTCOME_OK ? key_file_in_place(file, ret_error) : outcome;
}

static enum outcome read_at(struct key_file *file, void *bytes, size_t length, off_t offset,
                            struct error *ret_error)
{
    char *left = bytes;
    while (length > 0) {
        ssize_t count = pread(file->descriptor, left, length, offset);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return fail(file, count < 0 ? errno : EIO, "read it", ret_error);
        }
        left += count;
        length -= (size_t)count;
        offset += count;
    }
    return OUTCOME_OK;
}

/* Its first write was never synced: a power failure, or a full disk, has left it so. */
static bool has_only_begun(const place_bytes found, const place_bytes wanted, size_t length)
{
    static const place_bytes empty;
    return memcmp(found, empty, sizeof(empty)) == 0 ||
           (length < KEY_FILE_PLACE_BYTES && memcmp(found, wanted, length) == 0);
}

static enum outcome check_header(struct key_file *file, off_t size, struct error *ret_error)
{
    place_bytes wanted;
    place_bytes found = {0};
    unsigned char check[CHECK_BYTES];
    size_t length = size < KEY_FILE_PLACE_BYTES ? (size_t)size : KEY_FILE_PLACE_BYTES;
    enum outcome outcome = make_header(wanted, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = read_at(file, found, length, 0, ret_error);
    }
    if (outcome != OUTCOME_OK || has_only_begun(found, wanted, length)) {
        return outcome;
    }
    if (memcmp(found, wanted, sizeof(wanted)) == 0) {
        file->has_header = true;
        return OUTCOME_OK;
    }
    bool is_newer = memcmp(found, magic, sizeof(magic) - 1) == 0 && check_of(found, check) &&
                    memcmp(check, found + CHECK_AT, CHECK_BYTES) == 0;
    return is_newer ? error_set(ret_error, OUTCOME_INVALID,
                                "%s was written by a newer version of this program; it is left as "
                                "it is",
                                file->name.path)
                    : error_set(ret_error, OUTCOME_INVALID,
                                "%s is damaged, or not a file of this program; it is left as it "
                                "is: move it away to begin anew without the keys in it",
                                file->name.path);
}

/* OK with nothing open: there is no file, and `flags` do not say O_CREAT. */
static enum outcome open_descriptor(struct key_file *file, int flags, off_t *ret_size,
                                    struct error *ret_error)
{
    struct stat status;
    *ret_size = 0;
    file->descriptor =
        open(file->name.path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, S_IRUSR | S_IWUSR);
    if (file->descriptor < 0 && errno == ENOENT && (flags & O_CREAT) == 0) {
        return OUTCOME_OK;
    }
    if (file->descriptor < 0) {
        return fail(file, errno, "open it", ret_error);
    }
    if (fstat(file->descriptor, &status) != 0) {
        return fail(file, errno, "look at it", ret_error);
    }
    file->name.device = status.st_dev;
    file->name.inode = status.st_ino;
    file->name.is_known = true;
    *ret_size = status.st_size;
    return OUTCOME_OK;
}

static int compare_orders(const void *left, const void *right)
{
    uint64_t a = ((const struct key_change *)left)->record.order;
    uint64_t b = ((const struct key_change *)right)->record.order;
    return a < b ? -1 : a > b;
}

/* They are written again as they are: a process that was killed may not have synced them, and a
 * page whose sync has failed is taken for a synced one by the kernel. Only what is written and
 * synced by this process is known to outlive the machine. */
static enum outcome renew(struct key_file *file, place_bytes *bytes, size_t begin, size_t count,
                          struct error *ret_error)
{
    size_t length = count * KEY_FILE_PLACE_BYTES;
    off_t offset = offset_of((uint32_t)begin);
    enum outcome outcome = read_at(file, bytes, length, offset, ret_error);
    return outcome == OUTCOME_OK ? write_at(file, bytes, length, offset, ret_error) : outcome;
}

/* The end of a file that was cut off within a place counts as a damaged one. */
static enum outcome read_places(struct key_file *file, off_t size, struct key_file_content *content,
                                struct error *ret_error)
{
    place_bytes bytes[PLACES_AT_ONCE];
    size_t whole = size < KEY_FILE_PLACE_BYTES ? 0 : (size_t)size / KEY_FILE_PLACE_BYTES - 1;
    bool is_cut_off = size > KEY_FILE_PLACE_BYTES && size % KEY_FILE_PLACE_BYTES != 0;
    if (whole > UINT32_MAX / 2) {
        return error_set(ret_error, OUTCOME_INVALID, "%s is larger than it can be",
                         file->name.path);
    }
    content->damaged = is_cut_off;
    content->count = whole;
    content->places = calloc(whole + 1, sizeof(content->places[0]));
    if (content->places == NULL) {
        return error_set(ret_error, OUTCOME_TRANSIENT, "%s: no memory to read it", file->name.path);
    }
    for (size_t begin = 0; begin < whole; begin += PLACES_AT_ONCE) {
        size_t count = whole - begin < PLACES_AT_ONCE ? whole - begin : PLACES_AT_ONCE;
        enum outcome outcome = renew(file, bytes, begin, count, ret_error);
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
        for (size_t i = 0; i < count; i++) {
            content->places[begin + i].place = (uint32_t)(begin + i);
            content->damaged += !decode(bytes[i], &content->places[begin + i].record);
        }
    }
    qsort(content->places, whole, sizeof(content->places[0]), compare_orders);
    return OUTCOME_OK;
}

/* Leaves the newest that are kept, in places from the first on. */
static void drop_places(struct key_file_content *content, size_t kept_max)
{
    size_t kept = 0;
    while (kept < kept_max && kept < content->count &&
           content->places[content->count - 1 - kept].record.order != 0) {
        kept++;
    }
    memmove(content->places, content->places + content->count - kept,
            kept * sizeof(content->places[0]));
    for (size_t i = 0; i < kept; i++) {
        content->places[i].place = (uint32_t)i;
    }
    content->count = kept;
}

/* What replaces it is complete before it has the name. */
static enum outcome replace(struct key_file *file, const struct key_file_content *content,
                            struct error *ret_error)
{
    struct key_file next = {.descriptor = -1, .lock = file->lock};
    off_t size = 0;
    (void)snprintf(next.name.path, sizeof(next.name.path), "%.*s.new",
                   (int)sizeof(next.name.path) - 5, file->name.path);
    (void)unlink(next.name.path);
    enum outcome outcome = open_descriptor(&next, O_CREAT | O_EXCL, &size, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = key_file_write(&next, content->places, content->count, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = key_file_sync(&next, ret_error);
    }
    if (outcome == OUTCOME_OK && rename(next.name.path, file->name.path) != 0) {
        outcome = fail(file, errno, "replace it", ret_error);
    }
    if (outcome != OUTCOME_OK) {
        key_file_done(&next);
        (void)unlink(next.name.path);
        return outcome;
    }
    next.is_name_synced = false;
    memcpy(next.name.path, file->name.path, sizeof(next.name.path));
    key_file_done(file);
    *file = next;
    return OUTCOME_OK;
}

enum outcome key_file_open(struct key_file *file, uint32_t places_max, size_t capacity,
                           struct key_file_content *ret_content, struct error *ret_error)
{
    struct key_file_content content = {.places = NULL};
    off_t size = 0;
    enum outcome outcome = open_descriptor(file, 0, &size, ret_error);
    if (outcome == OUTCOME_OK && !key_file_is_open(file)) {
        *ret_content = content;
        return OUTCOME_OK;
    }
    if (outcome == OUTCOME_OK) {
        outcome = check_header(file, size, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = read_places(file, size, &content, ret_error);
    }
    if (outcome == OUTCOME_OK && content.count > places_max) {
        drop_places(&content, capacity);
        outcome = replace(file, &content, ret_error);
    }
    if (outcome == OUTCOME_OK && file->has_header) {
        outcome = write_header(file, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = key_file_sync(file, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        key_file_content_done(&content);
        key_file_done(file);
        return outcome;
    }
    *ret_content = content;
    return OUTCOME_OK;
}

enum outcome key_file_create(struct key_file *file, struct error *ret_error)
{
    off_t size = 0;
    enum outcome outcome = open_descriptor(file, O_CREAT, &size, ret_error);
    if (outcome == OUTCOME_OK && size > 0) {
        outcome =
            error_set(ret_error, OUTCOME_TRANSIENT,
                      "%s has not been read at the start; restart the service", file->name.path);
    }
    if (outcome != OUTCOME_OK) {
        key_file_done(file);
    }
    return outcome;
}
