/* A failed call returns what to do (enum outcome), and says what to log (struct error). */
#pragma once

#include <stdarg.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_index, first_argument)                                                  \
    __attribute__((format(printf, format_index, first_argument)))

enum outcome {
    OUTCOME_OK = 0,
    OUTCOME_INVALID,   /* the input or the configuration is wrong: say so; repeating is useless */
    OUTCOME_BUSY,      /* a limit is reached: try again later */
    OUTCOME_TRANSIENT, /* the other side or the system failed: try again with backoff */
    OUTCOME_BROKEN,    /* the object cannot be used any more: destroy it */
};

enum { ERROR_TEXT_BYTES = 512 };

/* Owned by the caller; the text never holds a secret or a person's data. */
struct error {
    char text[ERROR_TEXT_BYTES];
};

/* Writes the text (cut at ERROR_TEXT_BYTES) and returns `outcome`, so that a failure is one line:
 * `return error_set(ret_error, OUTCOME_INVALID, "...")`. `ret_error` may be NULL. Any thread. */
enum outcome error_set(struct error *ret_error, enum outcome outcome, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Does the same, and appends ": " and the description of `error_number` (an errno). */
enum outcome error_set_errno(struct error *ret_error, enum outcome outcome, int error_number,
                             const char *format, ...) PRINTF_LIKE(4, 5);

/* Appends another text behind the separator, such as "; ". Where one of the two is empty, the other
 * stands alone. Where they do not fit, a text is cut, at the border of a character, that has more
 * than half of the room. `more` may not be within `error`. Any thread. */
void error_join(struct error *error, const char *separator, const char *more);
