/* Parses a body under rules and fails the test unless the result is the expected one. */
#pragma once

#include "common/user/user.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { LIMIT_BYTES = 1 << 22 };

/* One problem is expected, at `pointer` with `detail` (NULL: any), or USER_OK and none. */
static inline void expect(struct slice body, const struct user_rules *rules,
                          enum user_result result, const char *pointer, const char *detail)
{
    /* In memory of its own, so that a read behind its end is seen. */
    char *copy = malloc(body.length + 1);
    assert_non_null(copy);
    copy = realloc(copy, body.length > 0 ? body.length : 1);
    memcpy(copy, body.data, body.length);
    struct user user;
    struct user_problems problems = {.count = 99};
    enum user_result got = user_parse((struct slice){copy, body.length}, rules, &user, &problems);
    size_t expected_count = result == USER_OK ? 0 : 1;
    bool as_expected = got == result && problems.count == expected_count;
    if (as_expected && result != USER_OK && pointer != NULL) {
        as_expected = strcmp(problems.items[0].pointer, pointer) == 0 &&
                      (detail == NULL || strcmp(problems.items[0].detail, detail) == 0);
    }
    if (!as_expected) {
        fail_msg("%.200s: result %d, %zu problems, '%s' '%s'", body.data, (int)got, problems.count,
                 problems.count > 0 ? problems.items[0].pointer : "",
                 problems.count > 0 ? problems.items[0].detail : "");
    }
    assert_int_equal(user.root != NULL, result == USER_OK);
    user_done(&user);
    user_done(&user);
    free(copy);
}
