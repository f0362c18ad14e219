/* Tells the log of requests that are answered with an error. Of a flood it tells the beginning, and
 * when a period of it is over how much more there was. */
#include "common/http/http_internal.h"

#include "common/log/log_events.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>

enum { REFUSALS_LOGGED_MAX = 100, REFUSALS_PERIOD_MS = 1000, FIELDS_MAX = 7, TYPE_BYTES = 96 };

static socklen_t address_bytes(const struct sockaddr *address)
{
    return address->sa_family == AF_INET6 ? (socklen_t)sizeof(struct sockaddr_in6)
                                          : (socklen_t)sizeof(struct sockaddr_in);
}

/* Copies what the log needs. That costs little; a flood need not be formatted. */
static void describe(const struct http_request *request, const struct http_reply *reply,
                     struct http_refusal *ret_refusal)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *client = info == NULL ? NULL : info->client_addr;
    struct slice id = request->id.length > 0 ? request->id : request->traceparent;
    ret_refusal->status = reply->status;
    ret_refusal->problem = reply->problem;
    ret_refusal->reason = reply->reason;
    ret_refusal->has_pointer = reply->pointer != NULL;
    (void)snprintf(ret_refusal->pointer, sizeof(ret_refusal->pointer), "%s",
                   reply->pointer == NULL ? "" : reply->pointer);
    (void)snprintf(ret_refusal->id, sizeof(ret_refusal->id), "%.*s", (int)id.length,
                   id.length == 0 ? "" : id.data);
    ret_refusal->client.ss_family = AF_UNSPEC;
    if (client != NULL && (client->sa_family == AF_INET || client->sa_family == AF_INET6)) {
        memcpy(&ret_refusal->client, client, address_bytes(client));
    }
}

/* The address of a client, without its port. */
static void write_client(const struct http_refusal *refusal, char ret_text[HTTP_ADDRESS_BYTES])
{
    const struct sockaddr *address = (const struct sockaddr *)&refusal->client;
    if (address->sa_family == AF_UNSPEC ||
        getnameinfo(address, address_bytes(address), ret_text, HTTP_ADDRESS_BYTES, NULL, 0,
                    NI_NUMERICHOST) != 0) {
        (void)snprintf(ret_text, HTTP_ADDRESS_BYTES, "local");
    }
}

/* One line, which also says how many others had to do without. */
static void log_refusal(const struct http_refusal *refusal, unsigned not_logged)
{
    char client[HTTP_ADDRESS_BYTES];
    char type[TYPE_BYTES] = "about:blank";
    struct log_field fields[FIELDS_MAX];
    size_t count = 0;
    write_client(refusal, client);
    if (refusal->problem != NULL) {
        (void)snprintf(type, sizeof(type), "/problems/%s", refusal->problem);
    }
    fields[count++] = log_integer("status", refusal->status);
    fields[count++] = log_string("type", type);
    if (refusal->reason != NULL) {
        fields[count++] = log_string("reason", refusal->reason);
    }
    if (refusal->has_pointer) {
        fields[count++] = log_string("pointer", refusal->pointer);
    }
    fields[count++] = log_string("client", client);
    if (refusal->id[0] != '\0') {
        fields[count++] = log_string("request_id", refusal->id);
    }
    if (not_logged > 0) {
        fields[count++] = log_integer("not_logged", not_logged);
    }
    log_event(&event_http_refused, fields, count);
}

void http_log_kept_refusal(struct http_server *server, bool is_last)
{
    struct http_refusals *refusals = &server->refusals;
    bool is_over = is_last || server->now_ms - refusals->since_ms >= REFUSALS_PERIOD_MS;
    if (refusals->kept > 0 && is_over) {
        log_refusal(&refusals->last, refusals->kept - 1);
        refusals->kept = 0;
    }
}

static void log_or_keep(struct http_server *server, const struct http_request *request,
                        const struct http_reply *reply)
{
    struct http_refusals *refusals = &server->refusals;
    http_log_kept_refusal(server, false);
    if (server->now_ms - refusals->since_ms >= REFUSALS_PERIOD_MS) {
        refusals->since_ms = server->now_ms;
        refusals->logged = 0;
    }
    if (refusals->logged < REFUSALS_LOGGED_MAX) {
        struct http_refusal refusal;
        refusals->logged++;
        describe(request, reply, &refusal);
        log_refusal(&refusal, 0);
    } else {
        refusals->kept++;
        describe(request, reply, &refusals->last);
    }
}

void http_log_refused(struct http_request *request, const struct http_reply *reply)
{
    if (reply->status < MHD_HTTP_BAD_REQUEST || request->is_logged) {
        return;
    }
    request->is_logged = true;
    if (log_enabled(LOG_LEVEL_INFO)) {
        log_or_keep(request->server, request, reply);
    }
}
