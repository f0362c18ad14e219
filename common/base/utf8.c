/* UTF-8: validate, walk, count, cut. */
#include "common/base/utf8.h"

enum { CONTINUATION_MASK = 0xc0, CONTINUATION = 0x80, PAYLOAD_MASK = 0x3f, PAYLOAD_BITS = 6 };

static bool is_continuation(unsigned char byte)
{
    return (byte & CONTINUATION_MASK) == CONTINUATION;
}

static size_t length_of(unsigned char lead)
{
    if (lead < 0x80) {
        return 1;
    }
    return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/* The second byte's range is what excludes overlong forms, surrogates and what is too high. */
static bool second_is_valid(unsigned char lead, unsigned char second)
{
    switch (lead) {
    case 0xe0:
        return second >= 0xa0 && second <= 0xbf;
    case 0xed:
        return second >= 0x80 && second <= 0x9f;
    case 0xf0:
        return second >= 0x90 && second <= 0xbf;
    case 0xf4:
        return second >= 0x80 && second <= 0x8f;
    default:
        return is_continuation(second);
    }
}

bool utf8_is_valid(struct slice text)
{
    const unsigned char *bytes = (const unsigned char *)text.data;
    size_t position = 0;
    while (position < text.length) {
        unsigned char lead = bytes[position];
        if (lead < 0x80) {
            position++;
            continue;
        }
        if (lead < 0xc2 || lead > 0xf4) {
            return false;
        }
        size_t length = length_of(lead);
        if (length > text.length - position || !second_is_valid(lead, bytes[position + 1])) {
            return false;
        }
        for (size_t i = 2; i < length; i++) {
            if (!is_continuation(bytes[position + i])) {
                return false;
            }
        }
        position += length;
    }
    return true;
}

uint32_t utf8_next(struct slice text, size_t *position)
{
    const unsigned char *bytes = (const unsigned char *)text.data + *position;
    size_t length = length_of(bytes[0]);
    if (length > text.length - *position) {
        length = text.length - *position;
    }
    *position += length;
    if (length == 1) {
        return bytes[0];
    }
    uint32_t character = bytes[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        character = (character << PAYLOAD_BITS) | (bytes[i] & PAYLOAD_MASK);
    }
    return character;
}

size_t utf8_first_length(struct slice text)
{
    size_t position = 0;
    if (text.length > 0) {
        (void)utf8_next(text, &position);
    }
    return position;
}

size_t utf8_count(struct slice text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.length; i++) {
        count += !is_continuation((unsigned char)text.data[i]);
    }
    return count;
}

size_t utf8_cut_length(struct slice text, size_t bytes_max)
{
    if (text.length <= bytes_max) {
        return text.length;
    }
    size_t length = bytes_max;
    while (length > 0 && is_continuation((unsigned char)text.data[length])) {
        length--;
    }
    return length;
}

size_t utf8_whole_length(struct slice text)
{
    size_t start = text.length;
    while (start > 0 && is_continuation((unsigned char)text.data[start - 1])) {
        start--;
    }
    if (start == 0) {
        return text.length;
    }
    unsigned char lead = (unsigned char)text.data[start - 1];
    size_t wanted = lead < CONTINUATION_MASK ? 1 : length_of(lead);
    return text.length - (start - 1) < wanted ? start - 1 : text.length;
}
