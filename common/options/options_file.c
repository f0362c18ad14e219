/* The options' file. inih splits the lines; its silent habits are made errors here:
 * it would cut a line that is too long for it, and accept a section or a key twice.
 *
 * inih also joins a line that begins with white space to the value before it. That is taken for
 * what it says only where the value is a list that goes on: it ends with a comma. A ';' after white
 * space begins a comment; other ';' and '#' are part of the value. */
#include "common/options/options_internal.h"

#include "common/base/slice.h"

#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct file_value {
    char *text; /* owned; NULL: not in the file */
    unsigned line;
};

struct file_reader {
    const struct options_program *program;
    const char *path;
    FILE *stream;
    char *line; /* of getline() */
    size_t line_capacity;
    unsigned line_number;
    bool is_continuation;
    struct file_value *values; /* one for each row */
    struct file_value *last;
    enum outcome outcome;
    struct error *error;
};

static const char indented[] = "an indented line; an option begins in the first column, and only a "
                               "list is continued, behind a comma";
static const char mark[] = "\xef\xbb\xbf"; /* of UTF-8, which inih takes, too */

static enum outcome fail(struct file_reader *reader, const char *what)
{
    /* The first failure is the cause of the others. */
    if (reader->outcome == OUTCOME_OK) {
        reader->outcome = error_set(reader->error, OUTCOME_INVALID, "%s:%u: %s", reader->path,
                                    reader->line_number, what);
    }
    return reader->outcome;
}

static struct file_value *find_value(const struct file_reader *reader, struct slice name)
{
    for (size_t i = 0; i < reader->program->count; i++) {
        const struct option_row *row = &reader->program->rows[i];
        if (!row->command_line_only && slice_equal(slice_of(row->name), name)) {
            return &reader->values[i];
        }
    }
    return NULL;
}

/* Not a piece of a list: a key that somebody has indented. */
static bool is_assignment(const struct file_reader *reader, const char *start)
{
    size_t length = strcspn(start, "=:");
    bool has_equals = start[length] == '=';
    while (length > 0 && strchr(" \t", start[length - 1]) != NULL) {
        length--;
    }
    struct slice name = {start, length};
    return find_value(reader, name) != NULL ||
           (has_equals && strspn(start, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                        "0123456789-_ \t") >= length);
}

static bool continues_list(const struct file_reader *reader, const char *start)
{
    const char *before = reader->last == NULL ? "" : reader->last->text;
    size_t length = strlen(before);
    return length > 0 && before[length - 1] == ',' && !is_assignment(reader, start);
}

/* inih's fgets(): one whole line of at most `size` - 1 bytes, NULL at the end or after a failure.
 */
static char *read_line(char *line, int size, void *context)
{
    struct file_reader *reader = context;
    if (reader->outcome != OUTCOME_OK) {
        return NULL;
    }
    errno = 0;
    ssize_t length = getline(&reader->line, &reader->line_capacity, reader->stream);
    if (length < 0) {
        if (ferror(reader->stream)) {
            reader->outcome = error_set_errno(reader->error, OUTCOME_INVALID, errno,
                                              "cannot read %s", reader->path);
        }
        return NULL;
    }
    reader->line_number++;
    const char *text = reader->line;
    const char *begin =
        text + (reader->line_number == 1 && strncmp(text, mark, 3) == 0 ? sizeof(mark) - 1 : 0);
    const char *start = begin + strspn(begin, " \t\r\n\v\f");
    reader->is_continuation = start > begin;
    bool is_comment = *start == '\0' || *start == '#' || *start == ';';
    if (strlen(text) != (size_t)length) {
        (void)fail(reader, "a NUL byte");
    } else if (length >= size) {
        (void)fail(reader,
                   "the line is too long; break a list behind a comma, and indent the rest");
    } else if (*start == '[') {
        (void)fail(reader, "a section; options stand in no section");
    } else if (reader->is_continuation && !is_comment && !continues_list(reader, start)) {
        (void)fail(reader, indented);
    } else {
        memcpy(line, text, (size_t)length + 1);
        return line;
    }
    return NULL;
}

static enum outcome keep_value(struct file_reader *reader, const char *name, const char *text)
{
    struct file_value *value = find_value(reader, slice_of(name));
    if (value == NULL) {
        /* Only its first word, in case that the rest is a value with the '=' forgotten. */
        char what[96];
        (void)snprintf(what, sizeof(what), "unknown key \"%.*s\"", (int)strcspn(name, " \t"), name);
        return fail(reader, what);
    }
    bool continues = reader->is_continuation && value == reader->last;
    if (value->text != NULL && !continues) {
        char what[96];
        (void)snprintf(what, sizeof(what), "duplicate key \"%.40s\" (first in line %u)", name,
                       value->line);
        return fail(reader, what);
    }
    char *joined;
    if (asprintf(&joined, "%s%s", continues ? value->text : "", text) < 0) {
        return fail(reader, "no memory");
    }
    if (!continues) {
        value->line = reader->line_number;
    }
    option_free_text(value->text);
    value->text = joined;
    reader->last = value;
    return OUTCOME_OK;
}

/* Returns inih's 1 for success. */
static int handle_value(void *context, const char *section, const char *name, const char *text)
{
    (void)section;
    return keep_value(context, name, text) == OUTCOME_OK;
}

static enum outcome store_values(struct file_reader *reader, void *settings, bool *given)
{
    for (size_t i = 0; i < reader->program->count; i++) {
        const struct file_value *value = &reader->values[i];
        if (value->text == NULL) {
            continue;
        }
        char source[OPTION_SOURCE_BYTES];
        (void)snprintf(source, sizeof(source), "%s:%u", reader->path, value->line);
        enum outcome outcome = option_store_unquoted(&reader->program->rows[i], settings,
                                                     value->text, source, reader->error);
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
        given[i] = true;
    }
    return OUTCOME_OK;
}

static void reader_done(struct file_reader *reader)
{
    for (size_t i = 0; i < reader->program->count; i++) {
        option_free_text(reader->values[i].text);
    }
    free(reader->values);
    if (reader->line != NULL) {
        explicit_bzero(reader->line, reader->line_capacity);
        free(reader->line);
    }
    (void)fclose(reader->stream);
}

enum outcome options_read_file(const struct options_program *program, const char *path,
                               void *settings, bool *given, struct error *ret_error)
{
    struct file_reader reader = {.program = program, .path = path, .error = ret_error};
    reader.stream = fopen(path, "re");
    if (reader.stream == NULL) {
        return error_set_errno(ret_error, OUTCOME_INVALID, errno, "cannot read %s", path);
    }
    reader.values = calloc(program->count, sizeof(*reader.values));
    if (reader.values == NULL) {
        (void)fclose(reader.stream);
        return error_set(ret_error, OUTCOME_INVALID, "no memory");
    }
    int bad_line = ini_parse_stream(read_line, &reader, handle_value, &reader);
    if (bad_line != 0 && reader.outcome == OUTCOME_OK) {
        reader.line_number = bad_line > 0 ? (unsigned)bad_line : reader.line_number;
        (void)fail(&reader, bad_line > 0 ? "not of the form name = value" : "no memory");
    }
    enum outcome outcome = reader.outcome;
    if (outcome == OUTCOME_OK) {
        outcome = store_values(&reader, settings, given);
    }
    reader_done(&reader);
    return outcome;
}
