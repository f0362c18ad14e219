/* The file of the Idempotency-Keys: what is written is read again, and what is damaged is told. */
#include "user-service/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

enum { PLACES_MAX = 2000, CAPACITY = 1500 };

/* Stands in for the one of the C library, so that a sync can be counted, and can fail. */
static int syncs;
static bool sync_fails;

int fdatasync(int descriptor)
{
    syncs++;
    if (sync_fails) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, descriptor);
}

static char directory[64];
static char path[128];

static int set_up(void **state)
{
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/test_key_file.XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/" KEY_FILE_NAME, directory);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(directory);
}

static struct key_change change_of(uint32_t place, uint64_t order)
{
    struct key_change change = {
        .place = place,
        .record = {.order = order, .at_ms = 1000 + order, .outcome = KEY_OUTCOME_STORED}};
    memset(change.record.key, (int)order, DIGEST_BYTES);
    memset(change.record.value, (int)place, DIGEST_BYTES);
    return change;
}

static enum outcome open_with(struct key_file *file, uint32_t places_max, size_t capacity,
                              struct key_file_content *ret_content)
{
    struct error error;
    *ret_content = (struct key_file_content){.count = 0};
    assert_int_equal(key_file_init(file, directory, NULL, &error), OUTCOME_OK);
    return key_file_open(file, places_max, capacity, ret_content, &error);
}

/* Opens the file, and has it hold nothing but these. */
static void write_new(const struct key_change *changes, size_t count)
{
    struct key_file file;
    struct key_file_content content;
    struct error error;
    assert_int_equal(open_with(&file, PLACES_MAX, CAPACITY, &content), OUTCOME_OK);
    assert_int_equal(content.count + content.damaged, 0);
    key_file_content_done(&content);
    if (!key_file_is_open(&file)) {
        assert_int_equal(key_file_create(&file, &error), OUTCOME_OK);
    }
    assert_int_equal(key_file_write(&file, changes, count, &error), OUTCOME_OK);
    assert_int_equal(key_file_sync(&file, &error), OUTCOME_OK);
    key_file_done(&file);
}

static void assert_same(const struct key_change *found, const struct key_change *wanted)
{
    assert_int_equal(found->place, wanted->place);
    assert_memory_equal(found->record.key, wanted->record.key, DIGEST_BYTES);
    assert_memory_equal(found->record.value, wanted->record.value, DIGEST_BYTES);
    assert_int_equal(found->record.order, wanted->record.order);
    assert_int_equal(found->record.at_ms, wanted->record.at_ms);
    assert_int_equal(found->record.outcome, wanted->record.outcome);
}

static off_t size_of_file(void)
{
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    return status.st_size;
}

static void overwrite(off_t offset, const void *bytes, size_t length)
{
    int descriptor = open(path, O_RDWR | O_CREAT, 0600);
    assert_true(descriptor >= 0);
    assert_int_equal(pwrite(descriptor, bytes, length, offset), length);
    close(descriptor);
}

static void what_was_written_is_read_in_its_order(void **state)
{
    (void)state;
    /* A gap, a place that is written twice, and one that is emptied. */
    const struct key_change changes[] = {change_of(0, 9), change_of(1, 3), change_of(2, 5),
                                         change_of(4, 4), change_of(1, 7), {.place = 2}};
    struct key_file file;
    struct key_file_content content;
    write_new(changes, sizeof(changes) / sizeof(changes[0]));
    assert_int_equal(size_of_file(), 6 * KEY_FILE_PLACE_BYTES);
    assert_int_equal(open_with(&file, PLACES_MAX, CAPACITY, &content), OUTCOME_OK);
    assert_int_equal(content.count, 5);
    assert_int_equal(content.damaged, 0);
    assert_int_equal(content.places[0].record.order, 0);
    assert_int_equal(content.places[1].record.order, 0);
    assert_int_equal(content.places[0].place + content.places[1].place, 2 + 3);
    assert_same(&content.places[2], &changes[3]);
    assert_same(&content.places[3], &changes[4]);
    assert_same(&content.places[4], &changes[0]);
    key_file_content_done(&content);
    key_file_done(&file);
}

static void many_are_written_and_read(void **state)
{
    (void)state;
    struct key_change *changes = calloc(CAPACITY, sizeof(*changes));
    assert_non_null(changes);
    for (uint32_t i = 0; i < CAPACITY; i++) {
        changes[i] = change_of(i, i + 1);
    }
    struct key_file file;
    struct key_file_content content;
    write_new(changes, CAPACITY);
    assert_int_equal(open_with(&file, PLACES_MAX, CAPACITY, &content), OUTCOME_OK);
    assert_int_equal(content.count, CAPACITY);
    for (uint32_t i = 0; i < CAPACITY; i++) {
        assert_same(&content.places[i], &changes[i]);
    }
    key_file_content_done(&content);
    key_file_done(&file);
    free(changes);
}

/* Whoever wrote it may have been killed before the sync, or the sync may have failed. */
static void what_was_read_is_written_again_and_synced(void **state)
{
    (void)state;
    const struct key_change changes[] = {change_of(0, 1), change_of(1, 2)};
    const struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    struct key_file file;
    struct key_file_content content;
    struct stat status;
    write_new(changes, 2);
    assert_int_equal(utimensat(AT_FDCWD, path, long_ago, 0), 0);
    syncs = 0;
    assert_int_equal(open_with(&file, PLACES_MAX, CAPACITY, &content), OUTCOME_OK);
    assert_int_equal(syncs, 1);
    assert_int_equal(stat(path, &status), 0);
    assert_true(status.st_mtim.tv_sec > 1000);
    assert_int_equal(size_of_file(), 3 * KEY_FILE_PLACE_BYTES);
    key_file_content_done(&content);
    key_file_done(&file);
    assert_int_equal(open_with(&file, PLACES_MAX, CAPACITY, &content), OUTCOME_OK);
    assert_same(&content.places[0], &changes[0]);
    assert_same(&content.places[1], &changes[1]);
    key_file_content_done(&content);
    key_file_done(&file);
}

static void what_cannot_be_synced_is_not_relied_on(void **state)
{
    (void)state;
    const struct key_change change = change_of(0, 1);
    struct key_file file;
    struct key_file_content content;
    write_new(&change, 1);
    sync_fails = true;
    assert_int_equal(open_with(&file, PLACES_MAX, CAPACITY, &content), OUTCOME_TRANSIENT);
    sync_fails = false;
    assert_int_equal(content.count, 0);
    assert_false(key_file_is_open(&file));
}

static void a_file_with_too_many_places_is_made_anew(void **state)
{
    (void)state;
    const struct key_change changes[] = {change_of(0, 9), change_of(1, 3), change_of(2, 5),
                                         change_of(9, 7)};
    struct key_file file;
    struct key_file_content content;
    write_new(changes, 4);
    assert_int_equal(open_with(&file, 4, 3, &content), OUTCOME_OK);
    assert_int_equal(content.count, 3);
    assert_int_equal(content.places[0].record.order, 5);
    assert_int_equal(content.places[2].record.order, 9);
    key_file_content_done(&content);
    struct error error;
    assert_int_equal(key_file_sync(&file, &error), OUTCOME_OK); /* it has the name */
    key_file_done(&file);
    assert_int_equal(size_of_file(), 4 * KEY_FILE_PLACE_BYTES);
    assert_int_equal(open_with(&file, 4, 3, &content), OUTCOME_OK);
    assert_int_equal(content.count, 3);
    assert_int_equal(content.places[1].record.order, 7);
    assert_int_equal(content.places[1].place, 1);
    key_file_content_done(&content);
    key_file_done(&file);
}

/* As a power failure leaves it: whatever byte of a record is another one, it is none. */
static void a_torn_record_is_counted_and_the_others_are_read(void **state)
{
    (void)state;
    const struct key_change changes[] = {change_of(0, 1), change_of(1, 2), change_of(2, 3)};
    write_new(changes, 3);
    for (off_t i = 0; i < KEY_FILE_PLACE_BYTES; i++) {
        struct key_file file;
        struct key_file_content content;
        struct error error;
        overwrite(2 * KEY_FILE_PLACE_BYTES + i, "\xaa", 1);
        assert_int_equal(open_with(&file, PLACES_MAX, CAPACITY, &content), OUTCOME_OK);
        assert_int_equal(content.damaged, 1);
        assert_int_equal(content.count, 3);
        assert_same(&content.places[1], &changes[0]);
        assert_same(&content.places[2], &changes[2]);
        assert_int_equal(key_file_write(&file, &changes[1], 1, &error), OUTCOME_OK);
        key_file_content_done(&content);
        key_file_done(&file);
    }
}

static void a_file_that_was_cut_off_has_the_rest(void **state)
{
    (void)state;
    const struct key_change changes[] = {change_of(0, 1), change_of(1, 2)};
    struct key_file file;
    struct key_file_content content;
    write_new(changes, 2);
    assert_int_equal(truncate(path, 3 * KEY_FILE_PLACE_BYTES - 1), 0);
    assert_int_equal(open_with(&file, PLACES_MAX, CAPACITY, &content), OUTCOME_OK);
    assert_int_equal(content.damaged, 1);
    assert_int_equal(content.count, 1);
    assert_same(&content.places[0], &changes[0]);
    key_file_content_done(&content);
    key_file_done(&file);
}

/* What is there before the first sync: nothing, a part of the header, or zeros. */
static void a_file_that_has_only_begun_is_empty(void **state)
{
    (void)state;
    const struct key_change changes[] = {change_of(0, 1)};
    const char zeros[2 * KEY_FILE_PLACE_BYTES] = "";
    struct key_file file;
    struct key_file_content content;
    write_new(changes, 1);
    for (off_t size = 0; size < KEY_FILE_PLACE_BYTES; size += 40) {
        assert_int_equal(truncate(path, size), 0);
        assert_int_equal(open_with(&file, PLACES_MAX, CAPACITY, &content), OUTCOME_OK);
        assert_int_equal(content.count, 0);
        key_file_content_done(&content);
        key_file_done(&file);
        write_new(changes, 1);
    }
    overwrite(0, zeros, sizeof(zeros));
    assert_int_equal(open_with(&file, PLACES_MAX, CAPACITY, &content), OUTCOME_OK);
    assert_int_equal(content.damaged, 0);
    key_file_content_done(&content);
    key_file_done(&file);
}

static void assert_refused_and_kept(const char *why)
{
    struct key_file file;
    struct key_file_content content;
    struct error error;
    off_t size = size_of_file();
    assert_int_equal(key_file_init(&file, directory, NULL, &error), OUTCOME_OK);
    assert_int_equal(key_file_open(&file, PLACES_MAX, CAPACITY, &content, &error), OUTCOME_INVALID);
    assert_non_null(strstr(error.text, why));
    assert_non_null(strstr(error.text, path));
    assert_int_equal(size_of_file(), size);
}

static void another_file_is_refused_and_kept(void **state)
{
    (void)state;
    const struct key_change changes[] = {change_of(0, 1)};
    overwrite(0, "SQLite format 3", 15);
    assert_refused_and_kept("not a file of this program");
    assert_int_equal(unlink(path), 0);
    write_new(changes, 1);
    overwrite(KEY_FILE_PLACE_BYTES / 2, "x", 1);
    assert_refused_and_kept("is damaged");
    assert_int_equal(unlink(path), 0);
    /* The header of format 2. */
    unsigned char header[KEY_FILE_PLACE_BYTES] = "user-service keys\n";
    unsigned char digest[DIGEST_BYTES];
    header[32] = 2;
    assert_int_equal(digest_of((struct slice){(const char *)header, 120}, digest, NULL),
                     OUTCOME_OK);
    memcpy(header + 120, digest, 8);
    overwrite(0, header, sizeof(header));
    assert_refused_and_kept("newer version");
}

static void a_file_without_its_name_does_not_count(void **state)
{
    (void)state;
    const struct key_change change = change_of(0, 1);
    struct key_file file;
    struct key_file_content content;
    struct error error;
    write_new(&change, 1);
    assert_int_equal(open_with(&file, PLACES_MAX, CAPACITY, &content), OUTCOME_OK);
    key_file_content_done(&content);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(key_file_write(&file, &change, 1, &error), OUTCOME_OK);
    assert_int_equal(key_file_sync(&file, &error), OUTCOME_TRANSIENT);
    assert_non_null(strstr(error.text, "was removed under the running service"));
    overwrite(0, "another", 7);
    assert_int_equal(key_file_sync(&file, &error), OUTCOME_TRANSIENT);
    key_file_done(&file);
}

static void a_file_that_came_meanwhile_is_not_overwritten(void **state)
{
    (void)state;
    const struct key_change change = change_of(0, 1);
    struct key_file file;
    struct key_file_content content;
    struct error error;
    assert_int_equal(open_with(&file, PLACES_MAX, CAPACITY, &content), OUTCOME_OK);
    assert_false(key_file_is_open(&file));
    key_file_content_done(&content);
    write_new(&change, 1);
    assert_int_equal(key_file_create(&file, &error), OUTCOME_TRANSIENT);
    assert_non_null(strstr(error.text, "restart the service"));
    assert_false(key_file_is_open(&file));
    assert_int_equal(size_of_file(), 2 * KEY_FILE_PLACE_BYTES);
}

static void what_cannot_be_opened_may_be_later(void **state)
{
    (void)state;
    struct key_file file;
    struct key_file_content content;
    struct error error;
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(open_with(&file, PLACES_MAX, CAPACITY, &content), OUTCOME_TRANSIENT);
    assert_false(key_file_is_open(&file));
    assert_int_equal(key_file_create(&file, &error), OUTCOME_TRANSIENT);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(key_file_create(&file, &error), OUTCOME_OK);
    key_file_done(&file);
    char name[2000];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(key_file_init(&file, name, NULL, &error), OUTCOME_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_written_is_read_in_its_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_are_written_and_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_read_is_written_again_and_synced, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_synced_is_not_relied_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_with_too_many_places_is_made_anew, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_torn_record_is_counted_and_the_others_are_read, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_was_cut_off_has_the_rest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_has_only_begun_is_empty, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_file_is_refused_and_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_without_its_name_does_not_count, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_came_meanwhile_is_not_overwritten, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_opened_may_be_later, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
