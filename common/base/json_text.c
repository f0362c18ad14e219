/* JSON as text: without its insignificant white space, and strings with their escapes. */
#include "common/base/json_text.h"

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

size_t json_text_skip_string(struct slice json, size_t position)
{
    while (position < json.length && json.data[position] != '"') {
        position += json.data[position] == '\\' ? 2 : 1;
    }
    return position < json.length ? position + 1 : json.length;
}

void json_text_append_compact(struct slice json, struct buffer *buffer)
{
    size_t run = 0;
    size_t position = 0;
    while (position < json.length) {
        char byte = json.data[position];
        if (byte == '"') {
            position = json_text_skip_string(json, position + 1);
        } else if (is_space(byte)) {
            buffer_append(buffer, json.data + run, position - run);
            run = ++position;
        } else {
            position++;
        }
    }
    buffer_append(buffer, json.data + run, position - run);
}

static void append_escape(unsigned char byte, struct buffer *buffer)
{
    static const char digits[] = "0123456789abcdef";
    char short_form = '\0';
    switch (byte) {
    case '"':
    case '\\':
        short_form = (char)byte;
        break;
    case '\n':
        short_form = 'n';
        break;
    case '\r':
        short_form = 'r';
        break;
    case '\t':
        short_form = 't';
        break;
    default: {
        const char escape[] = {'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 0xf]};
        buffer_append(buffer, escape, sizeof(escape));
        return;
    }
    }
    const char escape[] = {'\\', short_form};
    buffer_append(buffer, escape, sizeof(escape));
}

void json_text_append_escaped(struct slice text, struct buffer *buffer)
{
    size_t run = 0;
    for (size_t i = 0; i < text.length; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (byte >= 0x20 && byte != '"' && byte != '\\') {
            continue;
        }
        buffer_append(buffer, text.data + run, i - run);
        append_escape(byte, buffer);
        run = i + 1;
    }
    buffer_append(buffer, text.data + run, text.length - run);
}
