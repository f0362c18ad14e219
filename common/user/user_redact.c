/* A user as a log may show it: who it is can be told from the id, not from the person's data. */
#include "common/user/user_internal.h"

#include "common/base/json_text.h"
#include "common/base/utf8.h"

static const char mask[] = "***";

bool user_name_is_logged(struct slice name)
{
    return name.length == 0 || memchr(name.data, '@', name.length) == NULL;
}

static void append_first(struct slice text, struct buffer *json)
{
    json_text_append_escaped((struct slice){text.data, utf8_first_length(text)}, json);
}

static void append_masked_text(struct slice text, struct buffer *json)
{
    append_first(text, json);
    buffer_append_text(json, mask);
}

/* A bare message may hold more than one '@': the domain is behind the last. */
static void append_masked_email(struct slice text, struct buffer *json)
{
    const char *at = memrchr(text.data, '@', text.length);
    if (at == NULL) {
        append_masked_text(text, json);
        return;
    }
    struct slice local = {text.data, (size_t)(at - text.data)};
    struct slice domain = {at + 1, text.length - local.length - 1};
    append_masked_text(local, json);
    buffer_append_byte(json, '@');
    append_masked_text(domain, json);
}

static int append_dumped(const char *text, size_t length, void *buffer)
{
    buffer_append(buffer, text, length);
    return 0;
}

static void append_id(const json_t *id, struct buffer *json)
{
    if (json_is_string(id)) {
        struct slice text = user_string(id);
        buffer_append_byte(json, '"');
        if (memchr(text.data, '@', text.length) == NULL) {
            json_text_append_escaped(text, json);
        } else {
            buffer_append_text(json, mask);
        }
        buffer_append_byte(json, '"');
    } else if (json_is_object(id) || json_is_array(id)) {
        buffer_append_text(json, "\"***\"");
    } else if (json_dump_callback(id, append_dumped, json, JSON_ENCODE_ANY) != 0) {
        json->failed = true;
    }
}

static void append_value(struct slice name, const json_t *value, struct buffer *json)
{
    if (slice_equal(name, slice_of("id"))) {
        append_id(value, json);
        return;
    }
    buffer_append_byte(json, '"');
    if (json_is_string(value) && slice_equal(name, slice_of("email"))) {
        append_masked_email(user_string(value), json);
    } else if (json_is_string(value) &&
               (slice_equal(name, slice_of("name")) || slice_equal(name, slice_of("username")))) {
        append_masked_text(user_string(value), json);
    } else {
        buffer_append_text(json, mask);
    }
    buffer_append_byte(json, '"');
}

/* One member stands for all whose names are masked, since a name may be there only once. */
void user_append_redacted(const struct user *user, struct buffer *json)
{
    const char *separator = "{\"";
    bool has_masked = false;
    json_t *root = user->root;
    for (void *at = json_object_iter(root); at != NULL; at = json_object_iter_next(root, at)) {
        struct slice name = {json_object_iter_key(at), json_object_iter_key_len(at)};
        bool is_masked = !user_name_is_logged(name) || slice_equal(name, slice_of(mask));
        if (is_masked && has_masked) {
            continue;
        }
        has_masked = has_masked || is_masked;
        buffer_append_text(json, separator);
        json_text_append_escaped(is_masked ? slice_of(mask) : name, json);
        buffer_append_text(json, "\":");
        append_value(name, json_object_iter_value(at), json);
        separator = ",\"";
    }
    buffer_append_text(json, json_object_size(root) == 0 ? "{}" : "}");
}
