/* Where in a user something is of which only the position in the text is known: the way there from
 * the beginning, member by member. */
#include "common/user/user_internal.h"

#include "common/base/json_text.h"

/* Of an object or an array that is open. */
struct level {
    struct slice name; /* in quotes and with its escapes; data NULL: an array's */
    size_t index;
};

struct way {
    struct level levels[USER_DEPTH_MAX]; /* the outermost ones */
    struct level beyond;                 /* any other: it is not told */
    size_t depth;
    struct slice last_string;
};

static struct level *innermost(struct way *way)
{
    bool is_told = way->depth > 0 && way->depth <= USER_DEPTH_MAX;
    return is_told ? &way->levels[way->depth - 1] : &way->beyond;
}

/* Takes the token that begins at `position`, and returns where the next one may begin. */
static size_t follow(struct way *way, struct slice json, size_t position)
{
    switch (json.data[position]) {
    case '"': {
        size_t end = json_text_skip_string(json, position + 1);
        way->last_string = (struct slice){json.data + position, end - position};
        return end;
    }
    case '{':
    case '[':
        way->depth++;
        *innermost(way) = (struct level){.index = 0};
        break;
    case '}':
    case ']':
        way->depth--;
        break;
    case ':':
        innermost(way)->name = way->last_string;
        break;
    case ',':
        innermost(way)->index++;
        break;
    default:
        break;
    }
    return position + 1;
}

/* Returns the name without its quotes and escapes. It borrows from `ret_text`, which is owned, or
 * from the user's text where there is no memory. */
static struct slice read_name(struct slice quoted, json_t **ret_text)
{
    *ret_text = json_loadb(quoted.data, quoted.length, JSON_DECODE_ANY, NULL);
    return *ret_text != NULL ? user_string(*ret_text)
                             : (struct slice){quoted.data + 1, quoted.length - 2};
}

void user_problems_add_at(struct user_problems *problems, struct slice json, size_t position,
                          struct slice detail)
{
    struct way way = {.depth = 0};
    struct user_place places[USER_DEPTH_MAX];
    json_t *texts[USER_DEPTH_MAX] = {NULL};
    size_t at = 0;
    while (at < position && at < json.length) {
        at = follow(&way, json, at);
    }
    size_t count = way.depth < USER_DEPTH_MAX ? way.depth : USER_DEPTH_MAX;
    for (size_t i = 0; i < count; i++) {
        places[i] = (struct user_place){.parent = i == 0 ? NULL : &places[i - 1],
                                        .index = way.levels[i].index};
        if (way.levels[i].name.data != NULL) {
            places[i].name = read_name(way.levels[i].name, &texts[i]);
        }
    }
    user_problems_add(problems, count == 0 ? NULL : &places[count - 1], "%.*s", (int)detail.length,
                      detail.data);
    for (size_t i = 0; i < count; i++) {
        json_decref(texts[i]);
    }
}
