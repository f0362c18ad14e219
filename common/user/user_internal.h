/* What the files of the user module share. */
#pragma once

#include "common/user/user.h"

/* Where a value is: a chain of places on the stack, up to the user object (NULL). */
struct user_place {
    const struct user_place *parent;
    struct slice name; /* data NULL: an element of an array */
    size_t index;
};

/* `detail` never holds a member's value. Does nothing where USER_PROBLEMS_MAX are told already. */
void user_problems_add(struct user_problems *problems, const struct user_place *place,
                       const char *detail_format, ...) PRINTF_LIKE(3, 4);

/* The same of what ends at `position` in the user's JSON text, which is valid up to there. Behind
 * the deepest level that a user may have it is the member or element of that level. */
void user_problems_add_at(struct user_problems *problems, struct slice json, size_t position,
                          struct slice detail);

/* Appends what is wrong with `root`, an object, to `problems`. */
void user_check(json_t *root, const struct user_rules *rules, struct user_problems *problems);

/* Whether a log may show the name of one of the user's own members: some use addresses as names. */
bool user_name_is_logged(struct slice name);

/* Borrows the value. */
static inline struct slice user_string(const json_t *string)
{
    return (struct slice){json_string_value(string), json_string_length(string)};
}
