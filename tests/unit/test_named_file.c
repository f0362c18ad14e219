/* What a look at a name says of the file that is open. */
#include "common/base/named_file.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void test_what_is_compared(void **state)
{
    static const struct {
        int error_number;
        dev_t device;
        ino_t inode;
        nlink_t links;
        enum named_file_state state;
    } cases[] = {
        {0, 7, 70, 1, NAMED_FILE_IN_PLACE},
        {0, 7, 70, 2, NAMED_FILE_IN_PLACE}, /* other names of it do no harm */
        {0, 7, 71, 1, NAMED_FILE_REPLACED},
        {0, 8, 70, 1, NAMED_FILE_REPLACED}, /* a mount, and the number is the same by chance */
        {ENOENT, 7, 70, 1, NAMED_FILE_REMOVED},
        {ENOTDIR, 7, 70, 1, NAMED_FILE_REMOVED},
        {EACCES, 7, 70, 1, NAMED_FILE_UNSEEN},
        {ELOOP, 7, 70, 1, NAMED_FILE_UNSEEN},
        {EIO, 7, 70, 1, NAMED_FILE_UNSEEN},
        {ESTALE, 7, 70, 1, NAMED_FILE_UNSEEN},
    };
    const struct named_file file = {.device = 7, .inode = 70, .is_known = true};
    const struct named_file unknown = {.device = 7, .inode = 70};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct stat found = {
            .st_dev = cases[i].device, .st_ino = cases[i].inode, .st_nlink = cases[i].links};
        assert_int_equal(named_file_compare(&file, cases[i].error_number, &found), cases[i].state);
        assert_int_equal(named_file_compare(&unknown, cases[i].error_number, &found),
                         NAMED_FILE_IN_PLACE);
    }
}

static void touch(const char *path)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
}

static void test_what_is_found(void **state)
{
    char folder[] = "/tmp/test_named_file_XXXXXX";
    char other[64], link_path[64];
    struct named_file file = {.path = ""};
    struct error error;
    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(file.path, sizeof(file.path), "%s/file", folder);
    (void)snprintf(other, sizeof(other), "%s/other", folder);
    (void)snprintf(link_path, sizeof(link_path), "%s/link", folder);
    assert_int_equal(named_file_look_up(&file), NAMED_FILE_IN_PLACE); /* nothing is known */
    assert_int_equal(named_file_remember(&file, &error), OUTCOME_TRANSIENT);
    assert_non_null(strstr(error.text, file.path));
    touch(file.path);
    assert_int_equal(named_file_remember(&file, NULL), OUTCOME_OK);
    assert_int_equal(named_file_look_up(&file), NAMED_FILE_IN_PLACE);
    assert_int_equal(rename(file.path, other), 0);
    assert_int_equal(named_file_look_up(&file), NAMED_FILE_REMOVED);
    touch(file.path);
    assert_int_equal(named_file_look_up(&file), NAMED_FILE_REPLACED);
    assert_int_equal(unlink(file.path), 0);
    assert_int_equal(symlink(other, file.path), 0);
    assert_int_equal(named_file_look_up(&file), NAMED_FILE_IN_PLACE); /* the name leads to it */
    assert_int_equal(rename(other, link_path), 0);
    assert_int_equal(symlink(other, other), 0);
    assert_int_equal(named_file_look_up(&file), NAMED_FILE_UNSEEN);
    assert_int_equal(errno, ELOOP);
    assert_int_equal(unlink(file.path) + unlink(other) + unlink(link_path) + rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_compared),
        cmocka_unit_test(test_what_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
