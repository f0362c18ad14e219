/* Where a PostgreSQL is, and with which parameters this program connects to it: those of the URL,
 * and others for what it does not name. The only reader of --store's value. */
#pragma once

#include "common/base/error.h"
#include "common/base/password_file.h"

#include <libpq-fe.h>

enum { POSTGRES_PARAMETERS_MAX = 80 };

struct postgres_url {
    PQconninfoOption *parsed; /* owned; secrets included */
    struct password password; /* of the file, where there is one */
    /* What PQconnectdbParams() takes: borrowed from `parsed` and `password`, or literals. */
    const char *keywords[POSTGRES_PARAMETERS_MAX + 1], *values[POSTGRES_PARAMETERS_MAX + 1];
    size_t count;
};

/* INVALID says what is wrong, and never repeats a part of the URL other than the name of a
 * parameter. `password_file` may be NULL. To be wiped with postgres_url_done() where it is OK. */
MUST_CHECK enum outcome postgres_url_read(const char *url, const char *password_file,
                                          struct postgres_url *ret_url, struct error *ret_error);
void postgres_url_done(struct postgres_url *url);
