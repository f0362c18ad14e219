/* Writes error texts. */
#include "common/base/error.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* A character cut in two would make the text invalid UTF-8, and with it the JSON it may go into. */
static void drop_cut_character(char *text)
{
    size_t length = strlen(text);
    size_t start = length;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0x80) {
        start--;
    }
    if (start == 0) {
        return;
    }
    unsigned char lead = (unsigned char)text[start - 1];
    size_t wanted = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (length - (start - 1) < wanted) {
        text[start - 1] = '\0';
    }
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
