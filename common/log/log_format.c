/* One event as one line of text or JSON. Bytes that can stay are copied in runs. */
#include "common/base/utf8.h"
#include "common/log/log.h"

#include <time.h>

enum {
    TIME_BYTES = 40,
    INTEGER_BYTES = 24,
    CHARACTER_BYTES_MAX = 4,
};

/* What becomes of bytes that cannot stay as they are. */
enum escaping {
    ESCAPE_TEXT,     /* in quotes, for a person: \x85 for bytes, \u202e for characters */
    ESCAPE_SHOWN,    /* the same without quotes around it: quotes and backslashes stay */
    ESCAPE_JSON,     /* in a JSON string; a byte that is not UTF-8 becomes U+FFFD */
    ESCAPE_EMBEDDED, /* JSON text as a value: characters as above; control bytes are white space */
};

static const char hex_digits[] = "0123456789abcdef";

static bool may_reorder_or_break(uint32_t character)
{
    return utf8_is_control(character) || character == 0x061c || character == 0x200e ||
           character == 0x200f || (character >= 0x2028 && character <= 0x202e) ||
           (character >= 0x2066 && character <= 0x2069);
}

static inline bool is_plain(unsigned char byte, enum escaping escaping)
{
    return byte >= 0x20 && byte < 0x7f &&
           (escaping == ESCAPE_EMBEDDED || escaping == ESCAPE_SHOWN ||
            (byte != '"' && byte != '\\'));
}

/* The bytes of the valid character at `position`, 0 where there is none. */
static size_t character_length(struct slice value, size_t position)
{
    unsigned char lead = (unsigned char)value.data[position];
    size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (length > value.length - position ||
        !utf8_is_valid((struct slice){value.data + position, length})) {
        return 0;
    }
    return length;
}

static void append_unit(struct buffer *line, uint32_t unit)
{
    const char text[] = {'\\',
                         'u',
                         hex_digits[unit >> 12 & 0xf],
                         hex_digits[unit >> 8 & 0xf],
                         hex_digits[unit >> 4 & 0xf],
                         hex_digits[unit & 0xf]};
    buffer_append(line, text, sizeof(text));
}

static void append_raw_byte(struct buffer *line, unsigned char byte)
{
    const char text[] = {'\\', 'x', hex_digits[byte >> 4], hex_digits[byte & 0xf]};
    buffer_append(line, text, sizeof(text));
}

/* Of a byte under 0x80. */
static void append_escaped_ascii(struct buffer *line, unsigned char byte, enum escaping escaping)
{
    if (escaping == ESCAPE_EMBEDDED) {
        if (byte < 0x20) {
            buffer_append_byte(line, ' ');
        } else {
            append_unit(line, byte);
        }
        return;
    }
    const char *short_form = byte == '"'    ? "\\\""
                             : byte == '\\' ? "\\\\"
                             : byte == '\n' ? "\\n"
                             : byte == '\r' ? "\\r"
                             : byte == '\t' ? "\\t"
                                            : NULL;
    if (short_form != NULL) {
        buffer_append(line, short_form, 2);
    } else if (escaping == ESCAPE_JSON) {
        append_unit(line, byte);
    } else {
        append_raw_byte(line, byte);
    }
}

static void append_escaped(struct buffer *line, struct slice value, enum escaping escaping)
{
    size_t run = 0;
    size_t i = 0;
    while (i < value.length) {
        unsigned char byte = (unsigned char)value.data[i];
        if (is_plain(byte, escaping)) {
            i++;
            continue;
        }
        size_t length = byte < 0x80 ? 1 : character_length(value, i);
        uint32_t character = byte;
        if (byte >= 0x80 && length > 0) {
            size_t position = i;
            character = utf8_next(value, &position);
            if (!may_reorder_or_break(character)) {
                i += length;
                continue;
            }
        }
        buffer_append(line, value.data + run, i - run);
        if (byte < 0x80) {
            append_escaped_ascii(line, byte, escaping);
        } else if (length > 0) {
            append_unit(line, character);
        } else if (escaping == ESCAPE_TEXT || escaping == ESCAPE_SHOWN) {
            append_raw_byte(line, byte);
        } else {
            append_unit(line, 0xfffd);
        }
        i += length > 0 ? length : 1;
        run = i;
    }
    if (i > run) {
        buffer_append(line, value.data + run, i - run);
    }
}

void log_append_shown(struct buffer *text, struct slice value)
{
    append_escaped(text, value, ESCAPE_SHOWN);
}

static void append_integer(struct buffer *line, int64_t value)
{
    char digits[INTEGER_BYTES];
    char *start = digits + sizeof(digits);
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        *--start = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0) {
        *--start = '-';
    }
    buffer_append(line, start, (size_t)(digits + sizeof(digits) - start));
}

static void append_time(struct buffer *line, uint64_t wall_ms)
{
    /* Thousands of lines share a second. */
    static _Thread_local struct {
        uint64_t second;
        size_t length;
        char text[TIME_BYTES];
    } cache;
    uint64_t second = wall_ms / 1000;
    if (cache.length == 0 || cache.second != second) {
        time_t seconds = (time_t)second;
        struct tm parts = {.tm_mday = 1};
        (void)gmtime_r(&seconds, &parts);
        cache.length = strftime(cache.text, sizeof(cache.text), "%Y-%m-%dT%H:%M:%S.", &parts);
        cache.second = second;
    }
    unsigned ms = (unsigned)(wall_ms % 1000);
    const char fraction[] = {(char)('0' + ms / 100), (char)('0' + ms / 10 % 10),
                             (char)('0' + ms % 10), 'Z'};
    buffer_append(line, cache.text, cache.length);
    buffer_append(line, fraction, sizeof(fraction));
}

/* Where to cut a value that is too long: not inside a character. */
static size_t cut_length(struct slice value)
{
    size_t length = LOG_VALUE_BYTES_MAX;
    for (int back = 0; back < CHARACTER_BYTES_MAX; back++) {
        if (((unsigned char)value.data[length - (size_t)back] & 0xc0) != 0x80) {
            return length - (size_t)back;
        }
    }
    return length;
}

static void append_quoted(struct buffer *line, struct slice value, enum escaping escaping)
{
    buffer_append_byte(line, '"');
    if (value.length <= LOG_VALUE_BYTES_MAX) {
        append_escaped(line, value, escaping);
    } else {
        append_escaped(line, (struct slice){value.data, cut_length(value)}, escaping);
        buffer_append_text(line, "...[cut, of ");
        append_integer(line, (int64_t)value.length);
        buffer_append_text(line, " bytes]");
    }
    buffer_append_byte(line, '"');
}

static bool is_bare_word(struct slice value)
{
    for (size_t i = 0; i < value.length; i++) {
        char c = value.data[i];
        bool is_alphanumeric =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_alphanumeric && (c == '\0' || strchr("._:/@+-", c) == NULL)) {
            return false;
        }
    }
    return value.length > 0 && value.length <= LOG_VALUE_BYTES_MAX;
}

/* What indexes a log refuses a field that is an object in one line and text in another. */
static void append_embedded(struct buffer *line, struct slice json)
{
    if (json.length == 0) {
        buffer_append_text(line, "null");
    } else if (json.length <= LOG_VALUE_BYTES_MAX) {
        append_escaped(line, json, ESCAPE_EMBEDDED);
    } else {
        buffer_append_text(line, "{\"cut\":");
        append_quoted(line, json, ESCAPE_JSON);
        buffer_append_byte(line, '}');
    }
}

static void append_value(struct buffer *line, enum log_format format, const struct log_field *field)
{
    bool is_json = format == LOG_FORMAT_JSON;
    switch (field->type) {
    case LOG_FIELD_INTEGER:
        append_integer(line, field->integer);
        return;
    case LOG_FIELD_BOOLEAN:
        buffer_append_text(line, field->boolean ? "true" : "false");
        return;
    case LOG_FIELD_JSON:
        if (is_json) {
            append_embedded(line, field->text);
            return;
        }
        break;
    case LOG_FIELD_TEXT:
        break;
    }
    if (!is_json && is_bare_word(field->text)) {
        buffer_append_slice(line, field->text);
    } else {
        append_quoted(line, field->text, is_json ? ESCAPE_JSON : ESCAPE_TEXT);
    }
}

static void append_text_line(struct buffer *line, uint64_t wall_ms, const struct log_event *event,
                             const struct log_field *fields, size_t count)
{
    static const char *const level_names[] = {" DEBUG ", " INFO  ", " WARN  ", " ERROR "};

    append_time(line, wall_ms);
    buffer_append_text(line, level_names[event->level]);
    buffer_append_text(line, event->name);
    for (size_t i = 0; i < count; i++) {
        buffer_append_byte(line, ' ');
        buffer_append_text(line, fields[i].name);
        buffer_append_byte(line, '=');
        append_value(line, LOG_FORMAT_TEXT, &fields[i]);
    }
    buffer_append_byte(line, '\n');
}

static void append_json_line(struct buffer *line, const char *service, uint64_t wall_ms,
                             const struct log_event *event, const struct log_field *fields,
                             size_t count)
{
    static const char *const level_names[] = {"debug", "info", "warning", "error"};

    buffer_append_text(line, "{\"time\":\"");
    append_time(line, wall_ms);
    buffer_append_text(line, "\",\"level\":\"");
    buffer_append_text(line, level_names[event->level]);
    buffer_append_text(line, "\",\"service\":");
    append_quoted(line, slice_of(service), ESCAPE_JSON);
    buffer_append_text(line, ",\"event\":");
    append_quoted(line, slice_of(event->name), ESCAPE_JSON);
    for (size_t i = 0; i < count; i++) {
        buffer_append_text(line, ",\"");
        buffer_append_text(line, fields[i].name);
        buffer_append_text(line, "\":");
        append_value(line, LOG_FORMAT_JSON, &fields[i]);
    }
    buffer_append_text(line, "}\n");
}

void log_format_line(struct buffer *line, enum log_format format, const char *service,
                     uint64_t wall_ms, const struct log_event *event,
                     const struct log_field *fields, size_t count)
{
    size_t start = line->length;
    if (format == LOG_FORMAT_JSON) {
        append_json_line(line, service, wall_ms, event, fields, count);
    } else {
        append_text_line(line, wall_ms, event, fields, count);
    }
    /* Part of a line would run into the next one. */
    if (line->failed) {
        line->length = start;
    }
}
