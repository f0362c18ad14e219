/* Checks of single parts of a request; who is strict here cannot be read in two ways. */
#include "common/http/http_syntax.h"

#include "common/base/hex.h"

#include <string.h>
#include <strings.h>

enum { LENGTH_DIGITS_MAX = 18 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alphanumeric(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

bool http_is_token(struct slice text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (!is_alphanumeric(text.data[i]) && !is_one_of(text.data[i], "!#$%&'*+-.^_`|~")) {
            return false;
        }
    }
    return text.length > 0;
}

bool http_is_field_value(struct slice text)
{
    for (size_t i = 0; i < text.length; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

struct slice http_trim_end(struct slice value)
{
    while (value.length > 0 &&
           (value.data[value.length - 1] == ' ' || value.data[value.length - 1] == '\t')) {
        value.length--;
    }
    return value;
}

bool http_parse_length(struct slice text, uint64_t *ret_length)
{
    uint64_t value = 0;
    if (text.length == 0 || text.length > LENGTH_DIGITS_MAX) {
        return false;
    }
    for (size_t i = 0; i < text.length; i++) {
        if (!is_digit(text.data[i])) {
            return false;
        }
        value = value * 10 + (uint64_t)(text.data[i] - '0');
    }
    *ret_length = value;
    return true;
}

bool http_is_host(struct slice text)
{
    bool in_brackets = text.length > 0 && text.data[0] == '[';
    size_t i = in_brackets ? 1 : 0;
    for (; i < text.length; i++) {
        char c = text.data[i];
        if (in_brackets && c == ']') {
            in_brackets = false;
            i++;
            break;
        }
        if (!in_brackets && c == ':') {
            break;
        }
        if (!is_alphanumeric(c) && !is_one_of(c, in_brackets ? ":.-_~" : "-._~%!$&'()*+,;=")) {
            return false;
        }
    }
    if (i < text.length && text.data[i++] != ':') {
        return false;
    }
    while (i < text.length && is_digit(text.data[i])) {
        i++;
    }
    return !in_brackets && i == text.length;
}

bool http_is_origin(struct slice text)
{
    const char *colon = text.length == 0 ? NULL : memchr(text.data, ':', text.length);
    size_t scheme = colon == NULL ? 0 : (size_t)(colon - text.data);
    for (size_t i = 0; i < scheme; i++) {
        if (!is_alphanumeric(text.data[i]) && (i == 0 || !is_one_of(text.data[i], "+-."))) {
            return false;
        }
    }
    return scheme > 0 && text.length > scheme + 3 && memcmp(colon, "://", 3) == 0 &&
           colon[3] != ':' && http_is_host((struct slice){colon + 3, text.length - scheme - 3});
}

static struct slice without_end(struct slice text, const char *end)
{
    size_t length = strlen(end);
    bool ends_so =
        text.length > length && memcmp(text.data + text.length - length, end, length) == 0;
    return ends_so ? (struct slice){text.data, text.length - length} : text;
}

bool http_is_origin_of(struct slice origin, struct slice host)
{
    if (!http_is_origin(origin)) {
        return false;
    }
    const char *colon = memchr(origin.data, ':', origin.length);
    size_t scheme = (size_t)(colon - origin.data);
    struct slice own = {colon + 3, origin.length - scheme - 3};
    const char *port = scheme == 4 && strncasecmp(origin.data, "http", scheme) == 0    ? ":80"
                       : scheme == 5 && strncasecmp(origin.data, "https", scheme) == 0 ? ":443"
                                                                                       : "";
    own = without_end(own, port);
    host = without_end(host, port);
    return host.length > 0 && own.length == host.length &&
           strncasecmp(own.data, host.data, host.length) == 0;
}

bool http_is_request_id(struct slice text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] <= ' ' || text.data[i] >= 0x7f) {
            return false;
        }
    }
    return text.length > 0 && text.length <= HTTP_REQUEST_ID_BYTES_MAX;
}

bool http_next_item(const char **list, struct slice *ret_item)
{
    static const char between[] = ", \t";
    if (*list == NULL) {
        return false;
    }
    const char *start = *list + strspn(*list, between);
    size_t length = strcspn(start, ",");
    *list = start + length;
    while (length > 0 && is_one_of(start[length - 1], between)) {
        length--;
    }
    *ret_item = (struct slice){start, length};
    return length > 0;
}

bool http_list_has(const char *list, struct slice text)
{
    struct slice item;
    bool found = false;
    while (!found && http_next_item(&list, &item)) {
        found = item.length == text.length && strncasecmp(item.data, text.data, item.length) == 0;
    }
    return found;
}

/* The length of "http://host:port", or 0 where the target does not begin like that. */
static size_t origin_length(const char *target)
{
    size_t scheme = strncasecmp(target, "http://", 7) == 0    ? 7
                    : strncasecmp(target, "https://", 8) == 0 ? 8
                                                              : 0;
    size_t authority = scheme == 0 ? 0 : strcspn(target + scheme, "/?#%");
    bool is_host = authority > 0 && target[scheme + authority] != '%' &&
                   http_is_host((struct slice){target + scheme, authority});
    return is_host ? scheme + authority : 0;
}

static const char *character_problem(const char *p)
{
    if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f || *p == '#') {
        return "the target has a character that must be encoded";
    }
    if (*p != '%') {
        return NULL;
    }
    if (hex_digit_value(p[1]) < 0 || hex_digit_value(p[2]) < 0) {
        return "the target has a % that begins no encoded character";
    }
    return p[1] == '0' && p[2] == '0' ? "the target has an encoded NUL" : NULL;
}

struct http_target http_check_target(const char *target)
{
    struct http_target checked = {.path_offset = origin_length(target), .plain_length = SIZE_MAX};
    const char *p = target + checked.path_offset;
    if (*p != '/' && strcmp(target, "*") != 0 && checked.path_offset == 0) {
        checked.problem = "the target is neither a path nor an http address";
    }
    const char *path_end = p + strcspn(p, "?");
    for (size_t decoded = 0; *p != '\0' && checked.problem == NULL; decoded++) {
        checked.problem = character_problem(p);
        if (p < path_end && strncasecmp(p, "%2f", 3) == 0) {
            checked.plain_length =
                checked.plain_length == SIZE_MAX ? decoded : checked.plain_length;
            checked.coded_length = decoded + 1;
        }
        p += *p == '%' && checked.problem == NULL ? 3 : 1;
    }
    checked.length = (size_t)(p - target) + strlen(p);
    return checked;
}

/* The length of what `text` ends with: `end`, or `end` and a slash. 0: it ends otherwise. */
static size_t end_length(struct slice text, const char *end)
{
    size_t length = strlen(end);
    size_t slash = text.length > length && text.data[text.length - 1] == '/';
    bool is_end = text.length >= length + slash &&
                  memcmp(text.data + text.length - length - slash, end, length) == 0;
    return is_end ? length + slash : 0;
}

bool http_path_matches(const char *route_path, const char *path, const struct http_target *target,
                       struct slice *ret_part)
{
    size_t start = strcspn(route_path, "{");
    *ret_part = (struct slice){0};
    if (start > target->plain_length || strncmp(route_path, path, start) != 0) {
        return false;
    }
    struct slice rest = slice_of(path + start);
    if (route_path[start] == '\0') {
        bool is_slash = start < target->plain_length && strcmp(rest.data, "/") == 0;
        return rest.length == 0 || is_slash;
    }
    const char *end = route_path + start + strcspn(route_path + start, "}");
    end += *end == '}' ? 1 : 0;
    if (*end != '\0') {
        size_t length = end_length(rest, end);
        rest.length -= length;
        if (length == 0 || target->coded_length > start + rest.length) {
            return false;
        }
    }
    *ret_part = rest;
    return rest.length > 0;
}

bool http_path_lacks_part(const char *route_path, const char *path)
{
    size_t start = strcspn(route_path, "{");
    return route_path[start] == '{' && strlen(path) == start &&
           strncmp(route_path, path, start) == 0;
}
