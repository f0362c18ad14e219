/* What browsers ask before a page of another origin may use a service: the CORS protocol of
 * https://fetch.spec.whatwg.org/. It protects the pages' users, and no service: who shows no token
 * is refused whatever his origin. */
#include "common/http/http_internal.h"

#include <stdio.h>
#include <string.h>

static const char any[] = "*";
static const char shown_headers[] = "Allow, Retry-After, traceparent, X-Request-Id";
static const char taken_headers[] =
    "Authorization, Content-Type, Idempotency-Key, traceparent, X-Request-Id";
static const char remembered_s[] = "600";
enum { ORIGIN_BYTES = 512 }; /* one that is longer is no origin of ours */

bool http_cors_allows(const char *origins, struct slice origin)
{
    return origins != NULL && origin.length > 0 && origin.length < ORIGIN_BYTES &&
           (strcmp(origins, any) == 0 || http_list_has(origins, origin));
}

static bool add(struct MHD_Response *response, const char *name, const char *value)
{
    return MHD_add_response_header(response, name, value) == MHD_YES;
}

bool http_cors_add_headers(struct MHD_Response *response, const struct http_request *request)
{
    const char *origins = request->server->options.cors_origins;
    if (origins == NULL) {
        return true;
    }
    bool is_any = strcmp(origins, any) == 0;
    bool added = is_any || add(response, MHD_HTTP_HEADER_VARY, "Origin");
    if (request->origin.length == 0) {
        return added;
    }
    char origin[ORIGIN_BYTES];
    (void)snprintf(origin, sizeof(origin), "%.*s", (int)request->origin.length,
                   request->origin.data);
    added = added && add(response, "Access-Control-Allow-Origin", is_any ? any : origin);
    if (!request->is_preflight) {
        return added && add(response, "Access-Control-Expose-Headers", shown_headers);
    }
    return added &&
           (request->allow[0] == '\0' ||
            add(response, "Access-Control-Allow-Methods", request->allow)) &&
           add(response, "Access-Control-Allow-Headers", taken_headers) &&
           add(response, "Access-Control-Max-Age", remembered_s);
}
