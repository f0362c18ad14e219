/* Looks for the one parameter. */
#include "common/base/charset.h"

#include <strings.h>

static bool begins_with(struct slice text, const char *start)
{
    size_t length = strlen(start);
    return text.length >= length && strncasecmp(text.data, start, length) == 0;
}

/* Takes what is before the next ';' off the text, without the blanks around it. */
static struct slice next_part(struct slice *text)
{
    if (text->length == 0) {
        return *text; /* its data may be NULL */
    }
    const char *end = memchr(text->data, ';', text->length);
    size_t length = end == NULL ? text->length : (size_t)(end - text->data);
    struct slice part = slice_trimmed((struct slice){text->data, length});
    size_t taken = length + (end != NULL);
    *text = (struct slice){text->data + taken, text->length - taken};
    return part;
}

static bool is_utf8_name(struct slice name)
{
    static const char *const names[] = {"utf-8", "utf8", "us-ascii", "ascii"};
    if (name.length >= 2 && name.data[0] == '"' && name.data[name.length - 1] == '"') {
        name = (struct slice){name.data + 1, name.length - 2};
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strlen(names[i]) == name.length && begins_with(name, names[i])) {
            return true;
        }
    }
    return false;
}

bool charset_is_utf8(struct slice media_type)
{
    static const char parameter[] = "charset=";
    (void)next_part(&media_type);
    while (media_type.length > 0) {
        struct slice part = next_part(&media_type);
        if (begins_with(part, parameter)) {
            const size_t skipped = sizeof(parameter) - 1;
            return is_utf8_name((struct slice){part.data + skipped, part.length - skipped});
        }
    }
    return true;
}
