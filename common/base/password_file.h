/* A file that holds a password: one line, read anew each time that it is needed. */
#pragma once

#include "common/base/error.h"

enum { PASSWORD_BYTES_MAX = 1280 };

struct password {
    char text[PASSWORD_BYTES_MAX]; /* terminated; 1023 bytes at most */
};

/* Reads the password, without the blanks and line ends around it. `option` names in the failure
 * what the file was given by. INVALID: it cannot be read, or does not hold one line. To be wiped,
 * also after a failure. Any thread. */
MUST_CHECK enum outcome password_file_read(const char *path, const char *option,
                                           struct password *ret_password, struct error *ret_error);
void password_wipe(struct password *password);
