/* Decides from the headers whether it is certain where this request ends; what could be read in two
 * ways by two parsers is refused, because that is how a second request is smuggled in. RFC
 * 9112 6.3. */
#include "common/http_internal.h"

#include <string.h>
#include <strings.h>

struct framing {
    const char *problem;
    unsigned lengths, codings, hosts;
    uint64_t length;
};

static bool is_token(const char *text, size_t length)
{
    static const char extra[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!plain && (c == '\0' || strchr(extra, c) == NULL)) {
            return false;
        }
    }
    return length > 0;
}

static bool parse_length(const char *text, size_t length, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (length == 0 || length > 18) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *ret_value = value;
    return true;
}

static bool has_control_byte(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return true;
        }
    }
    return false;
}

static enum MHD_Result judge_header(void *closure, enum MHD_ValueKind kind, const char *name,
                                    size_t name_length, const char *value, size_t value_length)
{
    struct framing *framing = closure;
    (void)kind;
    if (!is_token(name, name_length)) {
        framing->problem = "a header's name has a character that is not allowed there";
    } else if (value != NULL && has_control_byte(value, value_length)) {
        framing->problem = "a header's value has a control character";
    } else if (strcasecmp(name, "Content-Length") == 0) {
        framing->lengths++;
        if (value == NULL || !parse_length(value, value_length, &framing->length)) {
            framing->problem = "Content-Length is not a number";
        }
    } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
        framing->codings++;
        if (value == NULL || strcasecmp(value, "chunked") != 0) {
            framing->problem = "the only Transfer-Encoding understood here is chunked";
        }
    } else if (strcasecmp(name, "Host") == 0) {
        framing->hosts++;
    }
    return framing->problem == NULL ? MHD_YES : MHD_NO;
}

static struct framing read_framing(struct MHD_Connection *connection)
{
    struct framing framing = {0};
    (void)MHD_get_connection_values_n(connection, MHD_HEADER_KIND, judge_header, &framing);
    return framing;
}

const char *http_framing_problem(struct MHD_Connection *connection, const char *version)
{
    struct framing framing = read_framing(connection);
    if (framing.problem != NULL) {
        return framing.problem;
    }
    if (framing.lengths > 1) {
        return "Content-Length is there more than once";
    }
    if (framing.codings > 1) {
        return "Transfer-Encoding is there more than once";
    }
    if (framing.lengths > 0 && framing.codings > 0) {
        return "Content-Length and Transfer-Encoding exclude each other";
    }
    if (framing.hosts > 1) {
        return "Host is there more than once";
    }
    if (framing.hosts == 0 && strcmp(version, MHD_HTTP_VERSION_1_1) == 0) {
        return "HTTP/1.1 needs a Host header";
    }
    if (framing.codings > 0 && strcmp(version, MHD_HTTP_VERSION_1_0) == 0) {
        return "HTTP/1.0 has no Transfer-Encoding";
    }
    return NULL;
}

uint64_t http_declared_length(struct MHD_Connection *connection)
{
    return read_framing(connection).length;
}
