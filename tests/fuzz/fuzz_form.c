/* A form of any bytes: refused, or the text of a JSON object whose members are all strings. */
#include "common/http/form.h"
#include "tests/fuzz/fuzz_input.h"

#include <jansson.h>

enum { JSON_BYTES_MAX = 1 << 20 };

static void judge(struct slice json)
{
    json_t *root = json_loadb(json.data, json.length, JSON_REJECT_DUPLICATES, NULL);
    must(json_is_object(root));
    must(json_object_size(root) <= FORM_PAIRS_MAX);
    const char *name;
    json_t *value;
    json_object_foreach(root, name, value)
    {
        must(json_is_string(value));
    }
    json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice form = copy_exactly((struct slice){(const char *)data, size});
    struct buffer json;
    struct error error;
    buffer_init(&json, JSON_BYTES_MAX);
    buffer_append_text(&json, "before");
    enum outcome outcome = form_to_json(form, &json, &error);
    must(json.length >= 6 && memcmp(json.data, "before", 6) == 0);
    if (outcome == OUTCOME_OK) {
        judge((struct slice){json.data + 6, json.length - 6});
    } else {
        must(json.length == 6);
        must(outcome == OUTCOME_INVALID || size > JSON_BYTES_MAX / 8);
        must(strpbrk(error.text, "\r\n") == NULL);
    }
    buffer_done(&json);
    free_copy(form);
    return 0;
}
