/* Tells the log of requests that are answered with an error. Of a flood it tells the beginning, and
 * how much more there was. */
#include "common/http/http_internal.h"

#include "common/log/log_events.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { REFUSALS_LOGGED_MAX = 100, REFUSALS_PERIOD_MS = 1000, FIELDS_MAX = 6 };

void http_client_address(struct MHD_Connection *connection, char ret_text[HTTP_ADDRESS_BYTES])
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info == NULL ? NULL : info->client_addr;
    socklen_t length = address != NULL && address->sa_family == AF_INET6
                           ? (socklen_t)sizeof(struct sockaddr_in6)
                           : (socklen_t)sizeof(struct sockaddr_in);
    if (address == NULL || address->sa_family == AF_UNIX ||
        getnameinfo(address, length, ret_text, HTTP_ADDRESS_BYTES, NULL, 0, NI_NUMERICHOST) != 0) {
        (void)snprintf(ret_text, HTTP_ADDRESS_BYTES, "local");
    }
}

/* False where so many were told of in this period that this one is only counted. */
static bool may_log(struct http_server *server)
{
    if (server->now_ms - server->refusals_since_ms >= REFUSALS_PERIOD_MS) {
        server->refusals_since_ms = server->now_ms;
        server->refusals = 0;
    }
    if (server->refusals < REFUSALS_LOGGED_MAX) {
        server->refusals++;
        return true;
    }
    server->refusals_not_logged++;
    return false;
}

static void log_refusal(const struct http_request *request, const struct http_reply *reply)
{
    struct http_server *server = request->server;
    enum { TYPE_BYTES = 96 };
    char client[HTTP_ADDRESS_BYTES];
    char type[TYPE_BYTES] = "about:blank";
    struct log_field fields[FIELDS_MAX];
    size_t count = 0;
    http_client_address(request->connection, client);
    if (reply->problem != NULL) {
        (void)snprintf(type, sizeof(type), "/problems/%s", reply->problem);
    }
    fields[count++] = log_integer("status", reply->status);
    fields[count++] = log_string("type", type);
    if (reply->pointer != NULL) {
        fields[count++] = log_string("pointer", reply->pointer);
    }
    fields[count++] = log_string("client", client);
    if (request->id.length > 0 || request->traceparent.length > 0) {
        fields[count++] =
            log_text("request_id", request->id.length > 0 ? request->id : request->traceparent);
    }
    if (server->refusals_not_logged > 0) {
        fields[count++] = log_integer("not_logged", server->refusals_not_logged);
        server->refusals_not_logged = 0;
    }
    log_event(&event_http_refused, fields, count);
}

void http_log_refused(struct http_request *request, const struct http_reply *reply)
{
    if (reply->status < MHD_HTTP_BAD_REQUEST || request->is_logged) {
        return;
    }
    request->is_logged = true;
    if (log_enabled(LOG_LEVEL_INFO) && may_log(request->server)) {
        log_refusal(request, reply);
    }
}
