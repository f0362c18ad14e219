/* What RFC 9110 and 9112 allow in the parts of a request. */
#pragma once

#include "common/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

bool http_is_token(struct slice text);

/* False where a control character other than tab is in it. */
bool http_is_field_value(struct slice text);

/* The value without the blanks and tabs at its end. */
struct slice http_trim_end(struct slice value);

/* Digits only, and few enough that no sum overflows; *ret_length is not touched on failure. */
bool http_parse_length(struct slice text, uint64_t *ret_length);

/* uri-host [":" port], or empty. */
bool http_is_host(struct slice text);

/* scheme "://" host [":" port], as a browser writes it: without a path. */
bool http_is_origin(struct slice text);

/* Whether the origin is that of the host to which a request went (its header Host): a page of that
 * host asks. The default port of the origin's scheme may be missing in either. */
bool http_is_origin_of(struct slice origin, struct slice host);

/* An id that a client or a proxy has given to a request: 1 to HTTP_REQUEST_ID_BYTES_MAX visible
 * ASCII characters. */
enum { HTTP_REQUEST_ID_BYTES_MAX = 128 };
bool http_is_request_id(struct slice text);

/* Takes the next item off a list with commas, without the white space around it. Empty items are
 * skipped. False at the end, and where the list is NULL. */
bool http_next_item(const char **list, struct slice *ret_item);

/* True where one of the list's items is the text, in any case. */
bool http_list_has(const char *list, struct slice text);

struct http_target {
    const char *problem; /* NULL: fine */
    size_t length;       /* as it came, with the query */
    size_t path_offset;  /* more than 0 in the absolute form: the path begins there, or is empty */
    /* How much of the decoded path is before its first encoded slash; SIZE_MAX: there is none. */
    size_t plain_length;
    size_t coded_length; /* up to and with its last encoded slash; 0: there is none */
};

/* Judges a target as it came, terminated by a NUL. */
struct http_target http_check_target(const char *target);

/* Whether the decoded path of the target is that of a route, with or without a slash at its end. In
 * the route's path one "{...}" stands for any text but none, slashes included, which is *ret_part
 * and else empty. An encoded slash is no slash: it may be in that part only. */
bool http_path_matches(const char *route_path, const char *path, const struct http_target *target,
                       struct slice *ret_part);

/* The path is that of a route up to its "{...}", where something must follow: not the same as a
 * slash at the end of another path. */
bool http_path_lacks_part(const char *route_path, const char *path);
