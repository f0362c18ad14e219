/* Writes error texts. */
#include "common/base/error.h"

#include "common/base/utf8.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* A character cut in two would make the text invalid UTF-8, and with it the JSON it may go into. */
static void drop_cut_character(char *text)
{
    text[utf8_whole_length(slice_of(text))] = '\0';
}

/* By way of a copy, because an argument may be the old text of the same error. */
static void set_text(struct error *error, const char *suffix, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

static void set_text(struct error *error, const char *suffix, const char *format, va_list arguments)
{
    char text[ERROR_TEXT_BYTES];
    int length = vsnprintf(text, sizeof(text), format, arguments);
    if (length < 0) {
        text[0] = '\0';
        length = 0;
    }
    bool is_cut = (size_t)length >= sizeof(text);
    if (!is_cut && suffix != NULL) {
        size_t left = sizeof(text) - (size_t)length;
        int more = snprintf(text + length, left, ": %s", suffix);
        is_cut = more > 0 && (size_t)more >= left;
    }
    if (is_cut) {
        drop_cut_character(text);
    }
    memcpy(error->text, text, strlen(text) + 1);
}

enum outcome error_set(struct error *ret_error, enum outcome outcome, const char *format, ...)
{
    if (ret_error != NULL) {
        va_list arguments;
        va_start(arguments, format);
        set_text(ret_error, NULL, format, arguments);
        va_end(arguments);
    }
    return outcome;
}

enum outcome error_set_errno(struct error *ret_error, enum outcome outcome, int error_number,
                             const char *format, ...)
{
    if (ret_error != NULL) {
        char scratch[128];
        const char *description = strerror_r(error_number, scratch, sizeof(scratch));
        va_list arguments;
        va_start(arguments, format);
        set_text(ret_error, description, format, arguments);
        va_end(arguments);
    }
    return outcome;
}

/* Returns how much of a text of this length fits beside another one. */
static size_t share_of(size_t length, size_t other, size_t room)
{
    size_t left = other < room / 2 ? room - other : room / 2;
    return length < left ? length : left;
}

void error_join(struct error *error, const char *separator, const char *more)
{
    struct slice one = slice_of(error->text);
    struct slice other = slice_of(more);
    if (one.length == 0 || other.length == 0) {
        (void)error_set(error, OUTCOME_OK, "%s", one.length == 0 ? more : error->text);
        return;
    }
    size_t room = ERROR_TEXT_BYTES - 1 - strlen(separator);
    struct slice begin = {one.data, share_of(one.length, other.length, room)};
    struct slice end = {other.data, share_of(other.length, one.length, room)};
    begin.length = begin.length < one.length ? utf8_whole_length(begin) : begin.length;
    end.length = end.length < other.length ? utf8_whole_length(end) : end.length;
    (void)error_set(error, OUTCOME_OK, "%.*s%s%.*s", (int)begin.length, begin.data, separator,
                    (int)end.length, end.data);
}
