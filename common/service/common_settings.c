/* What no single row of the options can check. */
#include "common/service/common_settings.h"

#include "common/amqp/broker_hosts.h"
#include "common/http/http_server.h"
#include "common/http/http_syntax.h"

#include <stdio.h>
#include <string.h>

/* AMQP's limit, less the ".dead" or ".lock" of the queues beside it. */
enum { QUEUE_NAME_BYTES_MAX = 255 - 5 };

static enum outcome check_queue(const char *queue, struct error *ret_error)
{
    size_t length = queue == NULL ? 0 : strlen(queue);
    if (length == 0 || length > QUEUE_NAME_BYTES_MAX) {
        return error_set(ret_error, OUTCOME_INVALID,
                         "queue: a name of 1 to %d bytes is needed, this one has %zu",
                         QUEUE_NAME_BYTES_MAX, length);
    }
    for (const char *c = queue; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            return error_set(ret_error, OUTCOME_INVALID,
                             "queue: a line end or another control character is in it");
        }
    }
    if (strncmp(queue, "amq.", 4) == 0) {
        return error_set(ret_error, OUTCOME_INVALID,
                         "queue: names that begin with \"amq.\" are the broker's own");
    }
    return OUTCOME_OK;
}

static enum outcome check_listen(const struct common_settings *settings, struct error *ret_error)
{
    bool is_loopback = false;
    enum outcome outcome = http_listen_is_loopback(settings->listen, &is_loopback, ret_error);
    if (outcome != OUTCOME_OK || is_loopback || settings->auth == AUTH_NONE ||
        settings->auth_token_file != NULL) {
        return outcome;
    }
    return error_set(ret_error, OUTCOME_INVALID,
                     "listen: %s can be reached from other machines, and no request is "
                     "authenticated; use a loopback address, or --auth-token-file, or say --auth "
                     "none to accept that anyone who reaches it may use it",
                     settings->listen);
}

static enum outcome check_open_paths(const char *list, struct error *ret_error)
{
    static const char paths[] = "/healthz,/readyz,/metrics";
    struct slice path;
    while (http_next_item(&list, &path)) {
        if (!http_list_has(paths, path)) {
            return error_set(ret_error, OUTCOME_INVALID, "open-paths: \"%.*s\" is none of %s",
                             (int)path.length, path.data, paths);
        }
    }
    return OUTCOME_OK;
}

static enum outcome check_origins(const char *list, struct error *ret_error)
{
    struct slice origin;
    if (list != NULL && strcmp(list, "*") == 0) {
        return OUTCOME_OK;
    }
    while (http_next_item(&list, &origin)) {
        if (!http_is_origin(origin)) {
            return error_set(
                ret_error, OUTCOME_INVALID,
                "cors-origin: \"%.*s\" is not of the form https://HOST[:PORT], without "
                "a path or a slash at the end, and * stands alone",
                (int)origin.length, origin.data);
        }
    }
    return OUTCOME_OK;
}

struct connector_options common_settings_connection(const struct common_settings *settings,
                                                    const char *name)
{
    struct connector_options options = {
        .urls = settings->amqp_url,
        .password_file = settings->amqp_password_file,
        .open.connection_name = name,
        .open.tls_files = {settings->amqp_ca_file, settings->amqp_cert_file,
                           settings->amqp_key_file},
        /* AMQP counts heartbeats in whole seconds. */
        .open.heartbeat_s = (int)((settings->heartbeat_ms + 999) / 1000),
        .shards = settings->shards > 1 ? (size_t)settings->shards : 0,
        .queue_type = settings->queue_type,
        .declare = settings->declare,
    };
    (void)snprintf(options.queue, sizeof(options.queue), "%s", settings->queue);
    return options;
}

static enum outcome check_tokens(const struct common_settings *settings, struct error *ret_error)
{
    if (settings->auth_token_file == NULL) {
        return OUTCOME_OK;
    }
    if (settings->auth == AUTH_NONE) {
        return error_set(ret_error, OUTCOME_INVALID,
                         "--auth none and --auth-token-file contradict each other");
    }
    struct auth_tokens *tokens = NULL;
    enum outcome outcome = auth_tokens_read(settings->auth_token_file, &tokens, ret_error);
    if (outcome == OUTCOME_OK) {
        auth_tokens_free(tokens);
    }
    return outcome;
}

/* The system's authorities are two megabytes that nobody needs without TLS. */
static bool matter(const struct broker_tls_files *files)
{
    return files->ca_file != NULL || files->cert_file != NULL || files->key_file != NULL;
}

static enum outcome check_hosts(const struct common_settings *settings, struct error *ret_error)
{
    struct broker_hosts hosts = {.count = 0};
    const struct broker_tls_files options = common_settings_connection(settings, "").open.tls_files;
    enum outcome outcome = broker_hosts_parse(settings->amqp_url, &hosts, ret_error);
    if (outcome == OUTCOME_OK && matter(&options)) {
        outcome = broker_tls_check_files(&options, ret_error);
    }
    for (size_t i = 0; outcome == OUTCOME_OK && i < hosts.count; i++) {
        const struct broker_address *address = &hosts.addresses[i];
        const struct broker_tls_files files = broker_tls_files_of(address, &options);
        if (address->tls && (matter(&address->tls_files) || !matter(&options))) {
            outcome = broker_tls_check_files(&files, ret_error);
        }
    }
    broker_hosts_done(&hosts);
    return outcome;
}

enum outcome common_settings_check_broker(const struct common_settings *settings,
                                          struct error *ret_error)
{
    enum outcome outcome = check_queue(settings->queue, ret_error);
    return outcome == OUTCOME_OK ? check_hosts(settings, ret_error) : outcome;
}

enum outcome common_settings_check(const struct common_settings *settings, struct error *ret_error)
{
    enum outcome outcome = common_settings_check_broker(settings, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = check_listen(settings, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = check_open_paths(settings->open_paths, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = check_origins(settings->cors_origin, ret_error);
    }
    return outcome == OUTCOME_OK ? check_tokens(settings, ret_error) : outcome;
}
