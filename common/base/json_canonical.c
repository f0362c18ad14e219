/* Walks valid JSON once; the members of an object are sorted behind it in the same buffer. */
#include "common/base/json_canonical.h"

#include "common/base/hex.h"
#include "common/base/json_text.h"

#include <stdlib.h>

struct reader {
    struct slice json;
    size_t position;
    struct buffer *text;
    bool failed;
};

static void append_value(struct reader *reader, int depth);

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static char peek(struct reader *reader)
{
    while (reader->position < reader->json.length &&
           is_space(reader->json.data[reader->position])) {
        reader->position++;
    }
    reader->failed = reader->failed || reader->position == reader->json.length;
    return reader->failed ? '\0' : reader->json.data[reader->position];
}

/* Takes one byte that is `wanted`. False: another one is there. */
static bool take(struct reader *reader, char wanted)
{
    bool is_there = peek(reader) == wanted;
    reader->position += is_there;
    return is_there;
}

/* From the four digits of a \u escape. */
static uint32_t unit_at(const struct reader *reader, size_t position)
{
    uint32_t unit = 0;
    for (size_t i = 0; i < 4 && position + i < reader->json.length; i++) {
        unit = unit << 4 | ((unsigned)hex_digit_value(reader->json.data[position + i]) & 0xf);
    }
    return unit;
}

static void append_character(struct reader *reader, uint32_t character)
{
    char bytes[4];
    size_t length = 0;
    if (character < 0x80) {
        bytes[length++] = (char)character;
    } else if (character < 0x800) {
        bytes[length++] = (char)(0xc0 | character >> 6);
    } else if (character < 0x10000) {
        bytes[length++] = (char)(0xe0 | character >> 12);
        bytes[length++] = (char)(0x80 | (character >> 6 & 0x3f));
    } else {
        bytes[length++] = (char)(0xf0 | character >> 18);
        bytes[length++] = (char)(0x80 | (character >> 12 & 0x3f));
        bytes[length++] = (char)(0x80 | (character >> 6 & 0x3f));
    }
    if (character >= 0x80) {
        bytes[length++] = (char)(0x80 | (character & 0x3f));
    }
    json_text_append_escaped((struct slice){bytes, length}, reader->text);
}

/* At the character behind a backslash. */
static void append_escape(struct reader *reader)
{
    static const char names[] = "bfnrt";
    static const char meanings[] = "\b\f\n\r\t";
    char name = reader->position < reader->json.length ? reader->json.data[reader->position] : '"';
    const char *found = strchr(names, name);
    reader->position++;
    if (name != 'u') {
        append_character(reader, (unsigned char)(found == NULL ? name : meanings[found - names]));
        return;
    }
    uint32_t unit = unit_at(reader, reader->position);
    reader->position += 4;
    if (unit >= 0xd800 && unit < 0xdc00) { /* its other half follows as "\uXXXX" */
        uint32_t low = unit_at(reader, reader->position + 2);
        unit = 0x10000 + ((unit - 0xd800) << 10) + (low & 0x3ff);
        reader->position += 6;
    }
    append_character(reader, unit);
}

static void append_string(struct reader *reader)
{
    const struct slice *json = &reader->json;
    reader->failed = reader->failed || !take(reader, '"');
    buffer_append_byte(reader->text, '"');
    while (!reader->failed) {
        size_t run = reader->position;
        while (reader->position < json->length && json->data[reader->position] != '"' &&
               json->data[reader->position] != '\\') {
            reader->position++;
        }
        buffer_append(reader->text, json->data + run, reader->position - run);
        if (reader->position >= json->length) {
            reader->failed = true;
        } else if (json->data[reader->position++] == '"') {
            break;
        } else {
            append_escape(reader);
        }
    }
    buffer_append_byte(reader->text, '"');
}

/* Of a number, true, false or null. */
static void append_word(struct reader *reader)
{
    const char *start = reader->json.data + reader->position;
    size_t length = 0;
    while (reader->position + length < reader->json.length && start[length] != ',' &&
           start[length] != ']' && start[length] != '}' && !is_space(start[length])) {
        length++;
    }
    reader->failed = reader->failed || length == 0;
    buffer_append(reader->text, start, length);
    reader->position += length;
}

static int compare(const void *left, const void *right)
{
    const struct slice *a = left;
    const struct slice *b = right;
    int order = memcmp(a->data, b->data, a->length < b->length ? a->length : b->length);
    return order != 0 ? order : (a->length > b->length) - (a->length < b->length);
}

/* Writes the members, which are from `start` to the end of the text, again in their order. */
static void sort_members(struct reader *reader, size_t start, struct slice *members, size_t count)
{
    struct buffer *text = reader->text;
    size_t length = text->length - start;
    char *copy = text->failed ? NULL : malloc(length + 1);
    if (copy == NULL) {
        reader->failed = true;
        return;
    }
    memcpy(copy, text->data + start, length);
    for (size_t i = 0, at = 0; i < count; at += members[i++].length) {
        members[i].data = copy + at;
    }
    qsort(members, count, sizeof(*members), compare);
    text->length = start;
    for (size_t i = 0; i < count; i++) {
        buffer_append_slice(text, members[i]);
    }
    free(copy);
}

static void append_object(struct reader *reader, int depth)
{
    struct slice members[JSON_CANONICAL_MEMBERS_MAX];
    size_t count = 0;
    buffer_append_byte(reader->text, '{');
    size_t start = reader->text->length;
    bool has_more = !take(reader, '}');
    while (has_more && !reader->failed && !reader->text->failed) {
        if (count == JSON_CANONICAL_MEMBERS_MAX) {
            reader->failed = true;
            return;
        }
        size_t begin = reader->text->length;
        append_string(reader);
        reader->failed = reader->failed || !take(reader, ':');
        buffer_append_byte(reader->text, ':');
        append_value(reader, depth);
        buffer_append_byte(reader->text, ',');
        members[count++].length = reader->text->length - begin;
        has_more = take(reader, ',');
        reader->failed = reader->failed || (!has_more && !take(reader, '}'));
    }
    if (count > 1 && !reader->failed) {
        sort_members(reader, start, members, count);
    }
    buffer_append_byte(reader->text, '}');
}

static void append_array(struct reader *reader, int depth)
{
    buffer_append_byte(reader->text, '[');
    bool has_more = !take(reader, ']');
    while (has_more && !reader->failed && !reader->text->failed) {
        append_value(reader, depth);
        buffer_append_byte(reader->text, ',');
        has_more = take(reader, ',');
        reader->failed = reader->failed || (!has_more && !take(reader, ']'));
    }
    buffer_append_byte(reader->text, ']');
}

static void append_value(struct reader *reader, int depth)
{
    char first = peek(reader);
    if (depth == JSON_CANONICAL_DEPTH_MAX) {
        reader->failed = true;
    } else if (first == '"') {
        append_string(reader);
    } else if (take(reader, '{')) {
        append_object(reader, depth + 1);
    } else if (take(reader, '[')) {
        append_array(reader, depth + 1);
    } else {
        append_word(reader);
    }
}

bool json_canonical_append(struct slice json, struct buffer *text)
{
    size_t before = text->length;
    struct reader reader = {.json = json, .text = text};
    if (before + json.length <= text->limit) {
        (void)buffer_reserve(text, json.length); /* one growth instead of several */
    }
    append_value(&reader, 0);
    if (reader.failed || text->failed) {
        text->length = before;
        return false;
    }
    return true;
}
