/* The beginning of the file, and what may not be in it. */
#include "common/base/password_file.h"

#include "common/base/slice.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { LENGTH_MAX = 1023, AROUND_BYTES = 64 /* a mark, blanks and line ends */ };

_Static_assert((int)LENGTH_MAX + (int)AROUND_BYTES < (int)PASSWORD_BYTES_MAX,
               "the file is read where the password then is");

/* Returns the bytes that were read, or -1 and errno. */
static ssize_t read_start(const char *path, size_t size, char *ret_text)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return -1;
    }
    size_t length = 0;
    ssize_t got = 0;
    while (length < size && (got = read(file, ret_text + length, size - length)) > 0) {
        length += (size_t)got;
    }
    int read_errno = errno;
    close(file);
    errno = read_errno;
    return got < 0 ? -1 : (ssize_t)length;
}

enum outcome password_file_read(const char *path, const char *option, struct password *ret_password,
                                struct error *ret_error)
{
    const size_t size = LENGTH_MAX + 1 + AROUND_BYTES;
    char *text = ret_password->text;
    ssize_t length = read_start(path, size, text);
    if (length < 0) {
        return error_set_errno(ret_error, OUTCOME_INVALID, errno, "read the %s %s", option, path);
    }
    struct slice password = slice_trimmed((struct slice){text, (size_t)length});
    const char *why = NULL;
    if ((size_t)length == size || password.length == 0 || password.length > LENGTH_MAX) {
        why = "";
    } else if (memchr(password.data, '\0', password.length) != NULL) {
        why = ": a NUL byte is in it (is the file UTF-16?)";
    } else if (memchr(password.data, '\n', password.length) != NULL ||
               memchr(password.data, '\r', password.length) != NULL) {
        why = ": it holds more than one";
    }
    if (why != NULL) {
        return error_set(ret_error, OUTCOME_INVALID,
                         "the %s %s does not hold one line of 1 to %d bytes%s", option, path,
                         LENGTH_MAX, why);
    }
    memmove(text, password.data, password.length);
    text[password.length] = '\0';
    return OUTCOME_OK;
}

void password_wipe(struct password *password)
{
    explicit_bzero(password, sizeof(*password));
}
