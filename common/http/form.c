/* application/x-www-form-urlencoded to the text of a JSON object whose members are all strings. */
#include "common/http/form.h"

#include "common/base/hex.h"
#include "common/base/json_text.h"
#include "common/base/utf8.h"

struct name_place {
    size_t offset; /* in the JSON text, which moves when it grows */
    size_t length;
};

/* Escaped names are compared: equal names have equal escapes. */
struct form_reader {
    struct buffer *json;
    struct error *ret_error;
    const char *start; /* of the whole form, for positions in errors */
    size_t name_count;
    struct name_place names[FORM_PAIRS_MAX];
};

static bool is_plain(char byte)
{
    return byte != '%' && byte != '+' && byte != '\r' && byte != '\0';
}

/* Decodes the '+', '%XX' or CR (or refuses the NUL) at the start of `text`. */
static enum outcome decode_special(const struct form_reader *reader, struct slice text,
                                   char *ret_byte, size_t *ret_length)
{
    size_t at = (size_t)(text.data - reader->start);
    *ret_length = 1;
    *ret_byte = ' ';
    if (text.data[0] == '+') {
        return OUTCOME_OK;
    }
    int byte = text.data[0];
    if (byte == '%') {
        int high = text.length > 2 ? hex_digit_value(text.data[1]) : -1;
        int low = text.length > 2 ? hex_digit_value(text.data[2]) : -1;
        if (high < 0 || low < 0) {
            return error_set(reader->ret_error, OUTCOME_INVALID,
                             "a '%%' without two hexadecimal digits at byte %zu of the form", at);
        }
        byte = high * 16 + low;
        *ret_length = 3;
    }
    if (byte == 0) {
        return error_set(reader->ret_error, OUTCOME_INVALID, "a NUL at byte %zu of the form", at);
    }
    *ret_byte = (char)byte;
    return OUTCOME_OK;
}

static bool begins_with_newline(struct slice text)
{
    return (text.length > 0 && text.data[0] == '\n') ||
           (text.length > 2 && text.data[0] == '%' && text.data[1] == '0' &&
            (text.data[2] | 0x20) == 'a');
}

/* A browser sends each newline of a text area as CR LF, whatever the person has typed. */
static void append_byte(struct buffer *json, char byte, struct slice rest)
{
    if (byte != '\r' || !begins_with_newline(rest)) {
        json_text_append_escaped((struct slice){&byte, 1}, json);
    }
}

/* Escapes are ASCII, so the escaped text is valid UTF-8 exactly where the decoded one is. */
static enum outcome append_component(struct form_reader *reader, struct slice text)
{
    struct buffer *json = reader->json;
    size_t start = json->length;
    size_t position = 0;
    while (position < text.length) {
        size_t run = position;
        while (position < text.length && is_plain(text.data[position])) {
            position++;
        }
        json_text_append_escaped((struct slice){text.data + run, position - run}, json);
        if (position == text.length) {
            break;
        }
        struct slice rest = {text.data + position, text.length - position};
        char byte;
        size_t length;
        enum outcome outcome = decode_special(reader, rest, &byte, &length);
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
        append_byte(json, byte, (struct slice){rest.data + length, rest.length - length});
        position += length;
    }
    if (json->failed) {
        return error_set(reader->ret_error, OUTCOME_BUSY, "no memory for the form");
    }
    if (!utf8_is_valid((struct slice){json->data + start, json->length - start})) {
        return error_set(reader->ret_error, OUTCOME_INVALID,
                         "the name or value that begins at byte %zu of the form is not UTF-8",
                         (size_t)(text.data - reader->start));
    }
    return OUTCOME_OK;
}

static enum outcome remember_name(struct form_reader *reader, size_t offset, size_t pair_at)
{
    struct slice name = {reader->json->data + offset, reader->json->length - offset};
    for (size_t i = 0; i < reader->name_count; i++) {
        const struct name_place *place = &reader->names[i];
        if (slice_equal(name, (struct slice){reader->json->data + place->offset, place->length})) {
            return error_set(reader->ret_error, OUTCOME_INVALID,
                             "the pair at byte %zu of the form repeats a name", pair_at);
        }
    }
    if (reader->name_count == FORM_PAIRS_MAX) {
        return error_set(reader->ret_error, OUTCOME_INVALID, "the form has more than %d pairs",
                         (int)FORM_PAIRS_MAX);
    }
    reader->names[reader->name_count++] = (struct name_place){offset, name.length};
    return OUTCOME_OK;
}

static enum outcome append_pair(struct form_reader *reader, struct slice pair)
{
    const char *equals = memchr(pair.data, '=', pair.length);
    size_t name_length = equals == NULL ? pair.length : (size_t)(equals - pair.data);
    size_t value_start = equals == NULL ? pair.length : name_length + 1;

    buffer_append_text(reader->json, reader->name_count == 0 ? "\"" : ",\"");
    size_t offset = reader->json->length;
    enum outcome outcome = append_component(reader, (struct slice){pair.data, name_length});
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    outcome = remember_name(reader, offset, (size_t)(pair.data - reader->start));
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    buffer_append_text(reader->json, "\":\"");
    outcome = append_component(reader,
                               (struct slice){pair.data + value_start, pair.length - value_start});
    buffer_append_byte(reader->json, '"');
    return outcome;
}

static enum outcome append_pairs(struct form_reader *reader, struct slice form)
{
    size_t position = 0;
    while (position < form.length) {
        const char *start = form.data + position;
        const char *end = memchr(start, '&', form.length - position);
        size_t length = end == NULL ? form.length - position : (size_t)(end - start);
        if (length > 0) {
            enum outcome outcome = append_pair(reader, (struct slice){start, length});
            if (outcome != OUTCOME_OK) {
                return outcome;
            }
        }
        position += length + 1;
    }
    return OUTCOME_OK;
}

enum outcome form_to_json(struct slice form, struct buffer *json, struct error *ret_error)
{
    struct form_reader reader;
    reader.json = json;
    reader.ret_error = ret_error;
    reader.start = form.data;
    reader.name_count = 0;

    size_t length_before = json->length;
    buffer_append_byte(json, '{');
    enum outcome outcome = append_pairs(&reader, form);
    buffer_append_byte(json, '}');
    if (outcome == OUTCOME_OK && json->failed) {
        outcome = error_set(ret_error, OUTCOME_BUSY, "no memory for the form");
    }
    if (outcome != OUTCOME_OK) {
        json->length = length_before;
    }
    return outcome;
}
