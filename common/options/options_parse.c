/* One option's value: from text into the settings, and numbers back into text. */
#include "common/options/options_internal.h"

#include "common/base/utf8.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    int64_t factor;
};

enum { UNITS_MAX = 4 };

/* Ascending; the first is what a number without a unit would be in. */
static const struct unit duration_units[UNITS_MAX] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
static const struct unit size_units[UNITS_MAX] = {
    {"", 1}, {"KiB", 1024}, {"MiB", 1024 * 1024}, {"GiB", 1024 * 1024 * 1024}};
static const struct unit integer_units[UNITS_MAX] = {{"", 1}, {"", 1}, {"", 1}, {"", 1}};

static const struct unit *units_of(enum option_type type)
{
    switch (type) {
    case OPTION_DURATION:
        return duration_units;
    case OPTION_SIZE:
        return size_units;
    case OPTION_TEXT:
    case OPTION_CHOICE:
    case OPTION_INTEGER:
    case OPTION_FLAG:
        break;
    }
    return integer_units;
}

void option_number_text(enum option_type type, int64_t number, char ret_text[OPTION_VALUE_BYTES])
{
    const struct unit *units = units_of(type);
    size_t best = 0;
    for (size_t i = 1; i < UNITS_MAX; i++) {
        if (number != 0 && number % units[i].factor == 0) {
            best = i;
        }
    }
    (void)snprintf(ret_text, OPTION_VALUE_BYTES, "%" PRId64 "%s", number / units[best].factor,
                   units[best].name);
}

static bool parse_number(enum option_type type, const char *value, int64_t *ret_number)
{
    bool is_negative = value[0] == '-';
    const char *digit = value + (is_negative ? 1 : 0);
    if (!isdigit((unsigned char)*digit)) {
        return false;
    }
    int64_t number = 0;
    for (; isdigit((unsigned char)*digit); digit++) {
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, *digit - '0', &number)) {
            return false;
        }
    }
    const struct unit *units = units_of(type);
    for (size_t i = 0; i < UNITS_MAX; i++) {
        if (strcmp(digit, units[i].name) == 0) {
            if (__builtin_mul_overflow(number, units[i].factor, &number)) {
                return false;
            }
            *ret_number = is_negative ? -number : number;
            return true;
        }
    }
    return false;
}

bool option_find_choice(const char *choices, const char *value, int *ret_index)
{
    size_t length = strlen(value);
    const char *choice = choices;
    for (int i = 0;; i++) {
        size_t choice_length = strcspn(choice, "|");
        if (choice_length == length && memcmp(choice, value, length) == 0) {
            *ret_index = i;
            return true;
        }
        if (choice[choice_length] == '\0') {
            return false;
        }
        choice += choice_length + 1;
    }
}

/* Says what is allowed; shows the value unless it may be a secret. */
static enum outcome refuse(const struct option_row *row, const char *value, const char *source,
                           struct error *ret_error)
{
    enum { SHOWN_BYTES_MAX = 64 };
    char shown[SHOWN_BYTES_MAX + 16] = "the value";
    if (!row->secret) {
        (void)snprintf(shown, sizeof(shown), "\"%.*s\"",
                       (int)utf8_cut_length(slice_of(value), SHOWN_BYTES_MAX), value);
    }
    if (row->type == OPTION_CHOICE) {
        return error_set(ret_error, OUTCOME_INVALID, "%s: %s: %s is none of %s", source, row->name,
                         shown, row->choices);
    }
    char minimum[OPTION_VALUE_BYTES];
    char maximum[OPTION_VALUE_BYTES];
    option_number_text(row->type, row->minimum, minimum);
    option_number_text(row->type, row->maximum, maximum);
    const char *what = row->type == OPTION_DURATION ? "a duration (like 500ms, 5s, 2m, 1h)"
                       : row->type == OPTION_SIZE   ? "a size (like 65536, 64KiB, 1MiB, 1GiB)"
                                                    : "a whole number";
    return error_set(ret_error, OUTCOME_INVALID, "%s: %s: %s is not %s from %s to %s", source,
                     row->name, shown, what, minimum, maximum);
}

void option_free_text(char *text)
{
    if (text != NULL) {
        explicit_bzero(text, strlen(text));
        free(text);
    }
}

enum outcome option_store(const struct option_row *row, void *settings, const char *value,
                          const char *source, struct error *ret_error)
{
    void *slot = (char *)settings + row->offset;
    /* It may be shown in JSON, such as a queue in the reply of /readyz. */
    if (row->type == OPTION_TEXT && !utf8_is_valid(slice_of(value))) {
        return error_set(ret_error, OUTCOME_INVALID, "%s: %s: the value is not valid UTF-8", source,
                         row->name);
    }
    if (row->type == OPTION_TEXT) {
        char *copy = strdup(value);
        if (copy == NULL) {
            return error_set(ret_error, OUTCOME_INVALID, "%s: no memory", row->name);
        }
        char **text = slot;
        option_free_text(*text);
        *text = copy;
        return OUTCOME_OK;
    }
    if (row->type == OPTION_FLAG) {
        *(bool *)slot = true;
        return OUTCOME_OK;
    }
    if (row->type == OPTION_CHOICE) {
        return option_find_choice(row->choices, value, slot)
                   ? OUTCOME_OK
                   : refuse(row, value, source, ret_error);
    }
    int64_t number;
    if (!parse_number(row->type, value, &number) || number < row->minimum ||
        number > row->maximum) {
        return refuse(row, value, source, ret_error);
    }
    *(int64_t *)slot = number;
    return OUTCOME_OK;
}

static bool is_quote(char c)
{
    return c == '"' || c == '\'';
}

enum outcome option_store_unquoted(const struct option_row *row, void *settings, const char *value,
                                   const char *source, struct error *ret_error)
{
    size_t length = strlen(value);
    if (length == 0 || (!is_quote(value[0]) && !is_quote(value[length - 1]))) {
        return option_store(row, settings, value, source, ret_error);
    }
    if (length == 1 || strchr(value + 1, value[0]) != value + length - 1) {
        return error_set(
            ret_error, OUTCOME_INVALID,
            "%s: %s: the value has a quote at one end that is not one of a pair; write "
            "it without quotes",
            source, row->name);
    }
    char *inner = strndup(value + 1, length - 2);
    if (inner == NULL) {
        return error_set(ret_error, OUTCOME_INVALID, "%s: no memory", row->name);
    }
    enum outcome outcome = option_store(row, settings, inner, source, ret_error);
    option_free_text(inner);
    return outcome;
}
