/* Fields of any bytes: one event is one line, in JSON valid JSON with the values that were given,
 * and in every format nothing that moves a cursor or reorders text. */
#include "common/base/utf8.h"
#include "common/log/log.h"
#include "tests/fuzz/fuzz_input.h"

#include <jansson.h>

enum { LINE_BYTES_MAX = 4 << 20, FIELDS_MAX = 6 };

static bool may_stay(const char *bytes, size_t left)
{
    const unsigned char *b = (const unsigned char *)bytes;
    if (b[0] < 0x20 || b[0] == 0x7f) {
        return false;
    }
    if (left > 1 && b[0] == 0xc2 && b[1] >= 0x80 && b[1] <= 0x9f) {
        return false; /* C1 */
    }
    if (left > 1 && b[0] == 0xd8 && b[1] == 0x9c) {
        return false; /* Arabic letter mark */
    }
    if (left > 2 && b[0] == 0xe2 && b[1] == 0x80) {
        return b[2] != 0x8e && b[2] != 0x8f && (b[2] < 0xa8 || b[2] > 0xae);
    }
    return !(left > 2 && b[0] == 0xe2 && b[1] == 0x81 && b[2] >= 0xa6 && b[2] <= 0xa9);
}

static void judge_shown(struct slice text)
{
    json_t *valid = json_stringn(text.data, text.length); /* NULL: not UTF-8 */
    must(valid != NULL);
    json_decref(valid);
    for (size_t i = 0; i < text.length; i++) {
        must(may_stay(text.data + i, text.length - i));
    }
}

static struct slice judge_line(const struct buffer *line)
{
    must(!line->failed && line->length > 1);
    must(line->data[line->length - 1] == '\n');
    struct slice text = {line->data, line->length - 1};
    judge_shown(text);
    return text;
}

static void judge_value(const json_t *root, const struct log_field *field)
{
    const json_t *value = json_object_get(root, field->name);
    must(value != NULL);
    if (field->type == LOG_FIELD_INTEGER) {
        must(json_integer_value(value) == field->integer);
    } else if (field->type == LOG_FIELD_BOOLEAN) {
        must(json_boolean_value(value) == field->boolean);
    } else if (field->type == LOG_FIELD_JSON && field->text.length > LOG_VALUE_BYTES_MAX) {
        must(json_is_string(json_object_get(value, "cut")));
    } else if (field->type == LOG_FIELD_TEXT && field->text.length <= LOG_VALUE_BYTES_MAX &&
               utf8_is_valid(field->text)) {
        must(json_string_length(value) == field->text.length);
        must(field->text.length == 0 ||
             memcmp(json_string_value(value), field->text.data, field->text.length) == 0);
    }
}

/* JSON text in the log's sense is what a parser of ours has accepted. */
static struct log_field text_field(const char *name, struct slice text)
{
    json_t *root = json_loadb(text.length == 0 ? "" : text.data, text.length,
                              JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    bool is_json = root != NULL;
    json_decref(root);
    return is_json ? log_json(name, text) : log_text(name, text);
}

static size_t take_fields(struct fuzz_input *input, struct log_field fields[FIELDS_MAX],
                          struct slice copies[FIELDS_MAX])
{
    static const char *const names[FIELDS_MAX] = {"a", "b", "c", "d", "e", "f"};
    size_t count = 0;
    while (input->left > 0 && count < FIELDS_MAX) {
        unsigned kind = take_byte(input);
        struct slice text = kind == 'r' ? take_slice(input, input->left) : take_short(input);
        copies[count] = copy_exactly(text);
        if (kind == 'i') {
            int64_t integer = 0;
            memcpy(&integer, text.data, text.length < 8 ? text.length : 8);
            fields[count] = log_integer(names[count], integer);
        } else if (kind == 'b') {
            fields[count] = log_boolean(names[count], text.length > 0);
        } else {
            fields[count] = text_field(names[count], copies[count]);
        }
        count++;
    }
    return count;
}

LOG_EVENT_DEFINE(an_event, INFO, "an.event", "", "")

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = fuzz_input_of(data, size);
    struct log_field fields[FIELDS_MAX];
    struct slice copies[FIELDS_MAX];
    size_t count = take_fields(&input, fields, copies);
    struct buffer line;
    buffer_init(&line, LINE_BYTES_MAX);

    log_format_line(&line, LOG_FORMAT_TEXT, "a-service", 1769860800123, &an_event, fields, count);
    (void)judge_line(&line);
    buffer_clear(&line);
    log_format_line(&line, LOG_FORMAT_JSON, "a-service", 1769860800123, &an_event, fields, count);
    struct slice text = judge_line(&line);
    json_t *root =
        json_loadb(text.data, text.length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    must(json_is_object(root) && json_object_size(root) == 4 + count);
    for (size_t i = 0; i < count; i++) {
        judge_value(root, &fields[i]);
    }
    json_decref(root);
    buffer_clear(&line);
    log_append_shown(&line, (struct slice){(const char *)data, size});
    judge_shown(buffer_slice(&line));

    buffer_done(&line);
    for (size_t i = 0; i < count; i++) {
        free_copy(copies[i]);
    }
    return 0;
}
