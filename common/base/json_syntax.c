/* One loop over the tokens, with a stack of the brackets that are open. */
#include "common/base/json_syntax.h"

#include "common/base/buffer.h"
#include "common/base/hex.h"
#include "common/base/utf8.h"

enum { STACK_START_BYTES = 64 };

enum expected {
    A_VALUE,
    A_VALUE_OR_END, /* behind a '[' */
    A_NAME,
    A_NAME_OR_END, /* behind a '{' */
    A_COMMA_OR_END,
};

struct checker {
    struct slice text;
    size_t position;
    struct buffer open; /* '{' and '[', the innermost last */
};

/* '\0' at the end, and where a NUL is: neither belongs to JSON. */
static char peek(const struct checker *checker)
{
    return checker->position < checker->text.length ? checker->text.data[checker->position] : '\0';
}

static void skip_space(struct checker *checker)
{
    char byte = peek(checker);
    while (byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n') {
        checker->position++;
        byte = peek(checker);
    }
}

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* Takes one byte that is `wanted`. False: another one is there. */
static bool take(struct checker *checker, char wanted)
{
    bool is_there = peek(checker) == wanted && checker->position < checker->text.length;
    checker->position += is_there;
    return is_there;
}

static bool take_digits(struct checker *checker)
{
    size_t start = checker->position;
    while (is_digit(peek(checker))) {
        checker->position++;
    }
    return checker->position > start;
}

static bool take_number(struct checker *checker)
{
    (void)take(checker, '-');
    if (!take(checker, '0') && !take_digits(checker)) {
        return false;
    }
    if (take(checker, '.') && !take_digits(checker)) {
        return false;
    }
    if (!take(checker, 'e') && !take(checker, 'E')) {
        return true;
    }
    if (!take(checker, '+')) {
        (void)take(checker, '-');
    }
    return take_digits(checker);
}

/* Behind a backslash. */
static bool take_escape(struct checker *checker)
{
    static const char names[] = "\"\\/bfnrt";
    char name = peek(checker);
    if (name == '\0' || (name != 'u' && strchr(names, name) == NULL)) {
        return false;
    }
    checker->position++;
    for (int i = 0; name == 'u' && i < 4; i++) {
        if (hex_digit_value(peek(checker)) < 0) {
            return false;
        }
        checker->position++;
    }
    return true;
}

static bool take_string(struct checker *checker)
{
    if (!take(checker, '"')) {
        return false;
    }
    while (!take(checker, '"')) {
        if ((unsigned char)peek(checker) < ' ') {
            return false;
        }
        if (!take(checker, '\\')) {
            checker->position++;
        } else if (!take_escape(checker)) {
            return false;
        }
    }
    return true;
}

static bool take_word(struct checker *checker, const char *word)
{
    for (; *word != '\0'; word++) {
        if (!take(checker, *word)) {
            return false;
        }
    }
    return true;
}

static bool take_scalar(struct checker *checker)
{
    switch (peek(checker)) {
    case '"':
        return take_string(checker);
    case 't':
        return take_word(checker, "true");
    case 'f':
        return take_word(checker, "false");
    case 'n':
        return take_word(checker, "null");
    default:
        return take_number(checker);
    }
}

static bool take_begin(struct checker *checker, char bracket)
{
    if (!take(checker, bracket)) {
        return false;
    }
    buffer_append_byte(&checker->open, bracket);
    return true;
}

/* The innermost bracket, '\0' where none is open. */
static char innermost(const struct checker *checker)
{
    const struct buffer *open = &checker->open;
    return open->length == 0 ? '\0' : open->data[open->length - 1];
}

static bool take_end(struct checker *checker)
{
    char end = innermost(checker) == '{' ? '}' : ']';
    if (innermost(checker) == '\0' || !take(checker, end)) {
        return false;
    }
    checker->open.length--;
    return true;
}

static bool take_name(struct checker *checker)
{
    if (!take_string(checker)) {
        return false;
    }
    skip_space(checker);
    return take(checker, ':');
}

/* Takes one token, or a name with its colon. False: something else is there. */
static bool take_next(struct checker *checker, enum expected *expected)
{
    bool may_end =
        *expected == A_VALUE_OR_END || *expected == A_NAME_OR_END || *expected == A_COMMA_OR_END;
    if (may_end && take_end(checker)) {
        *expected = A_COMMA_OR_END;
        return true;
    }
    switch (*expected) {
    case A_VALUE:
    case A_VALUE_OR_END:
        if (take_begin(checker, '{')) {
            *expected = A_NAME_OR_END;
            return true;
        }
        if (take_begin(checker, '[')) {
            *expected = A_VALUE_OR_END;
            return true;
        }
        *expected = A_COMMA_OR_END;
        return take_scalar(checker);
    case A_NAME:
    case A_NAME_OR_END:
        *expected = A_VALUE;
        return take_name(checker);
    case A_COMMA_OR_END:
        *expected = innermost(checker) == '{' ? A_NAME : A_VALUE;
        return innermost(checker) != '\0' && take(checker, ',');
    }
    return false;
}

static bool is_whole(const struct checker *checker, enum expected expected)
{
    return checker->position == checker->text.length && expected == A_COMMA_OR_END &&
           checker->open.length == 0;
}

enum outcome json_syntax_check(struct slice text, size_t *ret_position)
{
    struct checker checker = {.text = text};
    enum expected expected = A_VALUE;
    bool is_valid = true;
    *ret_position = 0;
    if (!utf8_is_valid(text)) {
        return OUTCOME_INVALID;
    }
    buffer_init(&checker.open, text.length + STACK_START_BYTES);
    skip_space(&checker);
    while (is_valid && !checker.open.failed && !is_whole(&checker, expected)) {
        is_valid = take_next(&checker, &expected);
        if (is_valid) {
            skip_space(&checker);
        }
    }
    *ret_position = checker.position;
    bool had_memory = !checker.open.failed;
    buffer_done(&checker.open);
    return !had_memory ? OUTCOME_BUSY : is_valid ? OUTCOME_OK : OUTCOME_INVALID;
}
