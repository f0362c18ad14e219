/* The rules for a user: known members, required and refused ones, limits, control characters. */
#include "common/user/user_internal.h"

#include "common/base/utf8.h"

struct check {
    const struct user_rules *rules;
    struct user_problems *problems;
    struct slice refused[USER_LIST_NAMES_MAX]; /* split once: every member is compared with all */
    char refused_first[USER_LIST_NAMES_MAX];   /* their first significant characters */
    size_t refused_count;
    const char *refused_rest; /* behind the last of them */
};

static const char refused_detail[] =
    "is not accepted: the name is that of a secret, and a queue is no place for a secret";
static const char control_detail[] = "has a control character other than tab and newline";

static bool is_white_space(uint32_t character)
{
    return character == ' ' || (character >= '\t' && character <= '\r') || character == 0x85 ||
           character == 0xa0 || character == 0x1680 ||
           (character >= 0x2000 && character <= 0x200a) || character == 0x2028 ||
           character == 0x2029 || character == 0x202f || character == 0x205f || character == 0x3000;
}

static bool has_white_space(struct slice text)
{
    size_t position = 0;
    while (position < text.length) {
        if (is_white_space(utf8_next(text, &position))) {
            return true;
        }
    }
    return false;
}

/* Not utf8_next(): every byte of every user passes here, and nearly all are ASCII. A carriage
 * return is part of a newline, or alone a control character. */
static bool has_control(struct slice text)
{
    const unsigned char *bytes = (const unsigned char *)text.data;
    for (size_t i = 0; i < text.length; i++) {
        unsigned char byte = bytes[i];
        if ((byte < 0x20 && byte != '\t' && byte != '\n' &&
             (byte != '\r' || i + 1 == text.length || bytes[i + 1] != '\n')) ||
            byte == 0x7f || (byte == 0xc2 && bytes[i + 1] < 0xa0)) {
            return true;
        }
    }
    return false;
}

/* Takes the next name off a comma separated list; false at its end. */
static bool next_name(const char **list, struct slice *ret_name)
{
    if (*list == NULL) {
        return false;
    }
    const char *start = *list;
    while (*start == ',' || *start == ' ' || *start == '\t') {
        start++;
    }
    if (*start == '\0') {
        return false;
    }
    size_t length = (size_t)(strchrnul(start, ',') - start);
    *list = start + length;
    while (start[length - 1] == ' ' || start[length - 1] == '\t') {
        length--;
    }
    *ret_name = (struct slice){start, length};
    return true;
}

/* The next character of a name as refused names are compared; '\0' at its end. */
static char next_significant(struct slice name, size_t *position)
{
    while (*position < name.length) {
        char byte = name.data[(*position)++];
        if (byte >= 'A' && byte <= 'Z') {
            return (char)(byte | 0x20);
        }
        if (byte != '_' && byte != '-') {
            return byte;
        }
    }
    return '\0';
}

static bool same_secret(struct slice left, struct slice right)
{
    size_t left_at = 0;
    size_t right_at = 0;
    bool any = false;
    for (;;) {
        char byte = next_significant(left, &left_at);
        if (byte != next_significant(right, &right_at)) {
            return false;
        }
        if (byte == '\0') {
            return any;
        }
        any = true;
    }
}

static char first_significant(struct slice name)
{
    size_t position = 0;
    return next_significant(name, &position);
}

static void split_refused(struct check *check)
{
    size_t count = 0;
    check->refused_rest = check->rules->refused_members;
    while (count < USER_LIST_NAMES_MAX && next_name(&check->refused_rest, &check->refused[count])) {
        check->refused_first[count] = first_significant(check->refused[count]);
        count++;
    }
    check->refused_count = count;
}

static bool is_refused(const struct check *check, struct slice name)
{
    char first = first_significant(name);
    for (size_t i = 0; i < check->refused_count; i++) {
        if (check->refused_first[i] == first && same_secret(check->refused[i], name)) {
            return true;
        }
    }
    const char *rest = check->refused_rest;
    struct slice refused;
    while (next_name(&rest, &refused)) {
        if (same_secret(refused, name)) {
            return true;
        }
    }
    return false;
}

static void check_value(const struct check *check, json_t *value, const struct user_place *place,
                        int depth);

static void check_members(const struct check *check, json_t *object,
                          const struct user_place *parent, int depth)
{
    for (void *at = json_object_iter(object); at != NULL; at = json_object_iter_next(object, at)) {
        struct slice name = {json_object_iter_key(at), json_object_iter_key_len(at)};
        struct user_place place = {.parent = parent, .name = name};
        if (check->problems->count == USER_PROBLEMS_MAX) {
            return;
        }
        if (has_control(name)) {
            user_problems_add(check->problems, &place, "the name %s", control_detail);
        }
        if (is_refused(check, name)) {
            user_problems_add(check->problems, &place, "%s", refused_detail);
        } else {
            check_value(check, json_object_iter_value(at), &place, depth);
        }
    }
}

static void check_elements(const struct check *check, json_t *array,
                           const struct user_place *parent, int depth)
{
    size_t count = json_array_size(array);
    for (size_t i = 0; i < count && check->problems->count < USER_PROBLEMS_MAX; i++) {
        struct user_place place = {.parent = parent, .index = i};
        check_value(check, json_array_get(array, i), &place, depth);
    }
}

/* A user without an id gets one, which must fit too: the other service counts it. */
static size_t count_members(const json_t *object, int depth)
{
    bool gets_id = depth == 1 && json_object_getn(object, "id", 2) == NULL;
    return json_object_size(object) + gets_id;
}

static void check_container(const struct check *check, json_t *value,
                            const struct user_place *place, int depth)
{
    if (depth > USER_DEPTH_MAX) {
        user_problems_add(check->problems, place, "is deeper than %d levels", (int)USER_DEPTH_MAX);
    } else if (json_is_object(value)) {
        if (count_members(value, depth) > USER_MEMBERS_MAX) {
            user_problems_add(check->problems, place, "has more than %d members",
                              (int)USER_MEMBERS_MAX);
        } else {
            check_members(check, value, place, depth);
        }
    } else if (json_array_size(value) > USER_ELEMENTS_MAX) {
        user_problems_add(check->problems, place, "has more than %d elements",
                          (int)USER_ELEMENTS_MAX);
    } else {
        check_elements(check, value, place, depth);
    }
}

/* `depth` is that of the container that holds the value. */
static void check_value(const struct check *check, json_t *value, const struct user_place *place,
                        int depth)
{
    if (json_is_string(value)) {
        if (has_control(user_string(value))) {
            user_problems_add(check->problems, place, "%s", control_detail);
        }
    } else if (json_is_object(value) || json_is_array(value)) {
        check_container(check, value, place, depth + 1);
    }
}

static void check_length(const struct check *check, struct slice text,
                         const struct user_place *place, size_t characters_max)
{
    if (text.length == 0) {
        user_problems_add(check->problems, place, "is empty");
    } else if (text.length > characters_max && utf8_count(text) > characters_max) {
        user_problems_add(check->problems, place, "has more than %zu characters", characters_max);
    }
}

static void check_id(const struct check *check, json_t *value, const struct user_place *place)
{
    if (json_is_string(value)) {
        check_length(check, user_string(value), place, USER_ID_CHARACTERS_MAX);
    } else if (!json_is_integer(value)) {
        user_problems_add(check->problems, place, "must be a string or an integer");
    }
}

static void check_name(const struct check *check, json_t *value, const struct user_place *place)
{
    if (json_is_string(value)) {
        check_length(check, user_string(value), place, USER_NAME_CHARACTERS_MAX);
    } else {
        user_problems_add(check->problems, place, "must be a string");
    }
}

static bool is_domain(struct slice domain)
{
    char before = '.';
    for (size_t i = 0; i < domain.length; i++) {
        if (domain.data[i] == '.' && before == '.') {
            return false;
        }
        before = domain.data[i];
    }
    return before != '.';
}

static bool is_address(struct slice text)
{
    const char *at = memchr(text.data, '@', text.length);
    if (at == NULL || at == text.data) {
        return false;
    }
    struct slice domain = {at + 1, (size_t)(text.data + text.length - (at + 1))};
    return memchr(domain.data, '@', domain.length) == NULL && is_domain(domain);
}

static void check_email(const struct check *check, json_t *value, const struct user_place *place)
{
    if (!json_is_string(value)) {
        user_problems_add(check->problems, place, "must be a string");
        return;
    }
    struct slice text = user_string(value);
    if (text.length == 0) {
        user_problems_add(check->problems, place, "is empty");
    } else if (text.length > USER_EMAIL_BYTES_MAX) {
        user_problems_add(check->problems, place, "has more than %d bytes",
                          (int)USER_EMAIL_BYTES_MAX);
    } else if (has_white_space(text)) {
        user_problems_add(check->problems, place, "must have no white space");
    } else if (!is_address(text)) {
        user_problems_add(check->problems, place, "must have the form local@domain");
    }
}

static const struct known_member {
    const char *name;
    size_t length;
    void (*check)(const struct check *check, json_t *value, const struct user_place *place);
} known_members[] = {
    {"id", 2, check_id},
    {"email", 5, check_email},
    {"username", 8, check_name},
    {"name", 4, check_name},
};

enum { KNOWN_MEMBERS = sizeof(known_members) / sizeof(known_members[0]) };

static void check_known(const struct check *check, json_t *root)
{
    bool any = false;
    for (size_t i = 0; i < KNOWN_MEMBERS; i++) {
        const struct known_member *known = &known_members[i];
        json_t *value = json_object_getn(root, known->name, known->length);
        if (value != NULL) {
            struct user_place place = {.name = {known->name, known->length}};
            known->check(check, value, &place);
            any = true;
        }
    }
    if (!any) {
        user_problems_add(check->problems, NULL,
                          "must have at least one of id, email, username, name");
    }
}

static bool is_known(struct slice name)
{
    for (size_t i = 0; i < KNOWN_MEMBERS; i++) {
        if (slice_equal(name, (struct slice){known_members[i].name, known_members[i].length})) {
            return true;
        }
    }
    return false;
}

/* A null is no answer to "required"; that of a known member check_known() has told already. */
static void check_required(const struct check *check, json_t *root)
{
    const char *list = check->rules->required_members;
    struct slice name;
    while (next_name(&list, &name)) {
        struct user_place place = {.name = name};
        json_t *value = json_object_getn(root, name.data, name.length);
        if (value == NULL) {
            user_problems_add(check->problems, &place, "is required");
        } else if (json_is_null(value) && !(check->rules->strict && is_known(name))) {
            user_problems_add(check->problems, &place, "is required and must not be null");
        }
    }
}

void user_check(json_t *root, const struct user_rules *rules, struct user_problems *problems)
{
    struct check check;
    check.rules = rules;
    check.problems = problems;
    split_refused(&check);
    if (rules->strict) {
        check_known(&check, root);
    }
    check_required(&check, root);
    check_container(&check, root, NULL, 1);
}
