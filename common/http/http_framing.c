/* Decides from the head whether it is certain where this request ends; what could be read in two
 * ways by two parsers is refused, because that is how a second request is smuggled in. RFC
 * 9112 6.3. */
#include "common/http/http_internal.h"

#include "common/base/traceparent.h"

#include <string.h>
#include <strings.h>

enum { LINE_END_BYTES = 2 };

struct framing_check {
    struct http_request *request;
    struct http_framing framing;
    unsigned lengths, codings, hosts;
    bool is_layout_known;
    uintptr_t next; /* where in memory the next line must begin */
};

/* A lenient library ends a line at a bare LF, a value at a NUL, and joins folded lines, and a
 * handler sees nothing of it in the strings. But it leaves them where they came in: with just CR LF
 * between two lines, the next name begins two bytes after the value. */
static bool is_line_where_expected(struct framing_check *checked, const char *name,
                                   const char *value, size_t value_length)
{
    if (!checked->is_layout_known) {
        return true;
    }
    bool is_there = (uintptr_t)name == checked->next;
    checked->next = (uintptr_t)value + value_length + LINE_END_BYTES;
    return is_there && value != NULL;
}

static void record_connection(struct http_request *request, struct slice value)
{
    request->wants_keep_alive = http_list_has(value.data, slice_of("keep-alive")) &&
                                !http_list_has(value.data, slice_of("close"));
}

/* The length decides first: this is done for each header of each request. */
static void record_header(struct http_request *request, struct slice name, struct slice value)
{
    switch (name.length) {
    case sizeof("Origin") - 1:
        if (strcasecmp(name.data, "Origin") == 0) {
            bool is_allowed = http_cors_allows(request->server->options.cors_origins, value);
            *(is_allowed ? &request->origin : &request->other_origin) = value;
        }
        break;
    case sizeof("Connection") - 1:
        if (strcasecmp(name.data, "Connection") == 0) {
            record_connection(request, value);
        }
        break;
    case sizeof("traceparent") - 1:
        if (strcasecmp(name.data, "traceparent") == 0 && traceparent_is_valid(value)) {
            request->traceparent = value;
        }
        break;
    case sizeof("X-Request-Id") - 1:
        if (strcasecmp(name.data, "X-Request-Id") == 0 && http_is_request_id(value)) {
            request->id = value;
        }
        break;
    default:
        break;
    }
}

static void check_known_header(struct framing_check *checked, struct slice name, struct slice value)
{
    struct http_framing *framing = &checked->framing;
    if (strcasecmp(name.data, "Content-Length") == 0) {
        checked->lengths++;
        if (!http_parse_length(value, &framing->length)) {
            framing->problem = "Content-Length is not a number";
        }
    } else if (strcasecmp(name.data, "Transfer-Encoding") == 0) {
        checked->codings++;
        framing->is_chunked = true;
        /* Not trimmed: a library that leaves blanks at the end takes this for no coding it knows.
         */
        if (value.length != 7 || strncasecmp(value.data, "chunked", 7) != 0) {
            framing->problem = "the only Transfer-Encoding understood here is chunked";
        }
    } else if (strcasecmp(name.data, "Host") == 0) {
        checked->hosts++;
        if (!http_is_host(http_trim_end(value))) {
            framing->problem = "Host is no host name with or without a port";
        }
    }
}

static enum MHD_Result check_header(void *closure, enum MHD_ValueKind kind, const char *name,
                                    size_t name_length, const char *value, size_t value_length)
{
    struct framing_check *checked = closure;
    struct http_framing *framing = &checked->framing;
    (void)kind;
    if (!is_line_where_expected(checked, name, value, value_length)) {
        framing->problem = "a line of the head does not end with CR LF, is folded, or holds a NUL";
    } else if (!http_is_token((struct slice){name, name_length})) {
        framing->problem = "a header's name has a character that is not allowed there";
    } else if (!http_is_field_value((struct slice){value, value_length})) {
        framing->problem = "a header's value has a control character";
    } else {
        check_known_header(checked, (struct slice){name, name_length},
                           (struct slice){value, value_length});
        record_header(checked->request, (struct slice){name, name_length},
                      http_trim_end((struct slice){value, value_length}));
    }
    return framing->problem == NULL ? MHD_YES : MHD_NO;
}

/* The end of the head must be a line end after the last line's. */
static bool is_end_where_expected(const struct framing_check *checked,
                                  const struct http_request *request, const char *method)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    return !checked->is_layout_known || (info != NULL && (uintptr_t)method + info->header_size ==
                                                             checked->next + LINE_END_BYTES);
}

/* A lenient library ends the method at a NUL, or at the first blank. From there to the target it
 * has left what came: more blanks, or the rest of a method. */
static bool is_method_whole(const struct http_head *head)
{
    uintptr_t end = (uintptr_t)head->method + strlen(head->method) + 1;
    if ((uintptr_t)head->path < end) {
        return false;
    }
    const char *between = head->method + strlen(head->method) + 1;
    size_t length = (uintptr_t)head->path - end;
    for (size_t i = 0; i < length; i++) {
        if (between[i] != ' ') {
            return false;
        }
    }
    return true;
}

static const char *request_line_problem(const struct http_request *request,
                                        const struct http_head *head)
{
    const struct http_target *target = &request->own->target;
    if (target->problem != NULL) {
        return target->problem;
    }
    if (!http_is_token(slice_of(head->method))) {
        return "the method has a character that is not allowed there";
    }
    if (request->server->is_library_lenient && !is_method_whole(head)) {
        return "the method holds a NUL";
    }
    if (request->server->is_library_lenient &&
        (uintptr_t)head->version != (uintptr_t)head->path + target->length + 1) {
        return "the target holds a NUL";
    }
    return NULL;
}

static const char *sum_problem(const struct framing_check *checked, const char *version)
{
    bool is_old = strcmp(version, MHD_HTTP_VERSION_1_0) == 0;
    if (checked->lengths > 1) {
        return "Content-Length is there more than once";
    }
    if (checked->codings > 1) {
        return "Transfer-Encoding is there more than once";
    }
    if (checked->lengths > 0 && checked->codings > 0) {
        return "Content-Length and Transfer-Encoding exclude each other";
    }
    if (checked->hosts > 1) {
        return "Host is there more than once";
    }
    if (checked->hosts == 0 && !is_old) {
        return "HTTP/1.1 needs a Host header";
    }
    if (checked->codings > 0 && is_old) {
        return "HTTP/1.0 has no Transfer-Encoding";
    }
    return NULL;
}

struct http_framing http_check_framing(struct http_request *request, const struct http_head *head)
{
    struct framing_check checked = {
        .request = request,
        .framing.problem = request_line_problem(request, head),
        .is_layout_known = request->server->is_library_lenient,
        .next = (uintptr_t)head->version + strlen(head->version) + LINE_END_BYTES,
    };
    if (checked.framing.problem == NULL) {
        (void)MHD_get_connection_values_n(request->connection, MHD_HEADER_KIND, check_header,
                                          &checked);
    }
    if (checked.framing.problem == NULL &&
        !is_end_where_expected(&checked, request, head->method)) {
        checked.framing.problem = "the head does not end with CR LF";
    }
    if (checked.framing.problem == NULL) {
        checked.framing.problem = sum_problem(&checked, head->version);
    }
    return checked.framing;
}
