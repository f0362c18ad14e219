/* A user: parse, and give its text and its id. */
#include "common/user/user_internal.h"

#include "common/base/json_syntax.h"
#include "common/base/json_text.h"
#include "common/base/utf8.h"

#include <inttypes.h>
#include <stdio.h>

/* The parser's own words where they quote the text, or speak of the parser; else they stay. */
static const struct cause {
    const char *start;
    const char *text;
} causes[] = {
    {"too big ", "an integer does not fit in 64 bits (send it as a string)"},
    {"real number overflow", "a number is too large (send it as a string)"},
    {"invalid Unicode", "an escape is half of a surrogate pair"},
    {"\\u0000 is not allowed", "the character U+0000 is not allowed"},
    {"NUL byte in object key", "the character U+0000 is not allowed"},
    {"duplicate object key", "the object has this member already"},
};

static const char mark[] = "\xef\xbb\xbf";

/* Of a JSON text that is not an object: what its first character says that it is. */
static const char *type_name(char first)
{
    switch (first) {
    case '[':
        return "an array";
    case '"':
        return "a string";
    case 't':
    case 'f':
        return "a boolean";
    case 'n':
        return "null";
    default:
        return "a number";
    }
}

/* What follows " near " in the parser's text is a piece of the person's data. */
static struct slice cause_of(const json_error_t *error)
{
    for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
        if (strncmp(error->text, causes[i].start, strlen(causes[i].start)) == 0) {
            return slice_of(causes[i].text);
        }
    }
    const char *quote = strstr(error->text, " near '");
    return quote == NULL ? slice_of(error->text)
                         : (struct slice){error->text, (size_t)(quote - error->text)};
}

static void add_problem_at(struct slice body, size_t position, const char *what,
                           struct user_problems *problems)
{
    int line = 1;
    int column = 1;
    for (const char *p = body.data; p < body.data + position; p++) {
        bool continues_character = ((unsigned char)*p & 0xc0) == 0x80;
        line += *p == '\n';
        column = *p == '\n' ? 1 : column + !continues_character;
    }
    user_problems_add(problems, NULL, "line %d, column %d: %s", line, column, what);
}

/* The parser drops a NUL that follows a number, true, false or null, and would so accept a text
 * that others read only up to there. */
static bool add_nul_problem(struct slice body, struct user_problems *problems)
{
    const char *nul = memchr(body.data, '\0', body.length);
    if (nul == NULL) {
        return false;
    }
    add_problem_at(body, (size_t)(nul - body.data), "a NUL byte", problems);
    return true;
}

/* RFC 8259 8.1: who reads JSON may ignore a byte order mark, which some editors write. */
static struct slice without_mark(struct slice body)
{
    const size_t length = sizeof(mark) - 1;
    bool has_mark = body.length >= length && memcmp(body.data, mark, length) == 0;
    return has_mark ? (struct slice){body.data + length, body.length - length} : body;
}

/* Of JSON, behind its white space. */
static char first_byte(struct slice json)
{
    size_t position = 0;
    while (position + 1 < json.length && strchr(" \t\r\n", json.data[position]) != NULL) {
        position++;
    }
    return json.data[position];
}

static enum user_result refuse_type(char first, struct user_problems *ret_problems)
{
    user_problems_add(ret_problems, NULL, "must be a JSON object, not %s", type_name(first));
    return USER_NOT_AN_OBJECT;
}

/* What the parser refuses although it may be JSON. It has not read what follows. */
static bool may_be_json(enum json_error_code code)
{
    return code == json_error_numeric_overflow || code == json_error_duplicate_key ||
           code == json_error_null_character || code == json_error_null_byte_in_key ||
           code == json_error_stack_overflow;
}

static enum user_result explain_failure(struct slice body, const json_error_t *error,
                                        struct user_problems *ret_problems)
{
    enum json_error_code code = json_error_code(error);
    struct slice cause = cause_of(error);
    size_t position = 0;
    if (may_be_json(code)) {
        enum outcome outcome = json_syntax_check(body, &position);
        if (outcome == OUTCOME_BUSY) {
            return USER_NO_MEMORY;
        }
        if (outcome != OUTCOME_OK) {
            add_problem_at(body, position,
                           utf8_is_valid(body) ? "invalid syntax" : "the text is not UTF-8",
                           ret_problems);
            return USER_MALFORMED;
        }
        if (first_byte(body) != '{') {
            return refuse_type(first_byte(body), ret_problems);
        }
    }
    if (code == json_error_numeric_overflow) {
        user_problems_add_at(ret_problems, body, (size_t)error->position, cause);
        return USER_NUMBER_OUT_OF_RANGE;
    }
    user_problems_add(ret_problems, NULL, "line %d, column %d: %.*s", error->line, error->column,
                      (int)cause.length, cause.data);
    return may_be_json(code) ? USER_NOT_PORTABLE : USER_MALFORMED;
}

static enum user_result parse_object(struct slice body, size_t flags, json_t **ret_root,
                                     struct user_problems *ret_problems)
{
    ret_problems->count = 0;
    body = without_mark(body);
    if (body.length == 0) {
        user_problems_add(ret_problems, NULL, "line 1, column 0: the text is empty");
        return USER_MALFORMED;
    }
    if (add_nul_problem(body, ret_problems)) {
        return USER_MALFORMED;
    }
    /* The parser leaves the text empty where memory ran out. */
    json_error_t error = {.text = ""};
    json_t *root = json_loadb(body.data, body.length, flags | JSON_DECODE_ANY, &error);
    if (root == NULL) {
        if (error.text[0] == '\0' || json_error_code(&error) == json_error_out_of_memory) {
            return USER_NO_MEMORY;
        }
        return explain_failure(body, &error, ret_problems);
    }
    if (!json_is_object(root)) {
        json_decref(root);
        return refuse_type(first_byte(body), ret_problems);
    }
    *ret_root = root;
    return USER_OK;
}

static struct user make_user(json_t *root, struct slice body)
{
    return (struct user){.root = root,
                         .text = without_mark(body),
                         .has_id = json_object_getn(root, "id", 2) != NULL};
}

enum user_result user_parse(struct slice body, const struct user_rules *rules,
                            struct user *ret_user, struct user_problems *ret_problems)
{
    *ret_user = (struct user){0};
    json_t *root;
    enum user_result result = parse_object(body, JSON_REJECT_DUPLICATES, &root, ret_problems);
    if (result != USER_OK) {
        return result;
    }
    user_check(root, rules, ret_problems);
    if (ret_problems->count > 0) {
        json_decref(root);
        return USER_INVALID;
    }
    *ret_user = make_user(root, body);
    return USER_OK;
}

enum user_result user_parse_any_object(struct slice body, struct user *ret_user,
                                       struct user_problems *ret_problems)
{
    *ret_user = (struct user){0};
    json_t *root;
    enum user_result result = parse_object(body, 0, &root, ret_problems);
    if (result == USER_OK) {
        *ret_user = make_user(root, body);
    }
    return result;
}

void user_done(struct user *user)
{
    json_decref(user->root);
    *user = (struct user){0};
}

void user_append_text(const struct user *user, const char *assigned_id, struct buffer *json)
{
    static const char id_start[] = "{\"id\":\"";
    struct slice text = user->text;
    bool insert = !user->has_id && assigned_id != NULL;
    size_t id_length = insert ? strlen(assigned_id) : 0;

    /* One growth instead of several; the bound is above what is written, so it may not fit. */
    size_t bytes_max = text.length + id_length + sizeof(id_start) + 1;
    if (bytes_max <= json->limit && json->length <= json->limit - bytes_max) {
        (void)buffer_reserve(json, bytes_max);
    }
    if (insert) {
        buffer_append(json, id_start, sizeof(id_start) - 1);
        buffer_append(json, assigned_id, id_length);
        buffer_append_text(json, json_object_size(user->root) == 0 ? "\"" : "\",");
        const char *brace = memchr(text.data, '{', text.length);
        size_t skipped = (size_t)(brace - text.data) + 1;
        text = (struct slice){text.data + skipped, text.length - skipped};
    }
    json_text_append_compact(text, json);
}

bool user_id_text(const struct user *user, char scratch[24], struct slice *ret_id)
{
    enum { SCRATCH_BYTES = 24 };
    const json_t *id = json_object_getn(user->root, "id", 2);
    if (json_is_string(id)) {
        *ret_id = user_string(id);
        return true;
    }
    if (!json_is_integer(id)) {
        return false;
    }
    int length = snprintf(scratch, SCRATCH_BYTES, "%" JSON_INTEGER_FORMAT, json_integer_value(id));
    *ret_id = (struct slice){scratch, (size_t)length};
    return true;
}

bool user_email_text(const struct user *user, struct slice *ret_email)
{
    const json_t *email = json_object_getn(user->root, "email", 5);
    if (!json_is_string(email) || json_string_length(email) == 0) {
        return false;
    }
    *ret_email = user_string(email);
    return true;
}
