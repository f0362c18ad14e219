/* libpq parses the URL; what it does not name is ours. */
#include "session-service/store/store_postgres_url.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* In force where the URL does not say otherwise. A server or a network that is silent is noticed
 * before the broker and the watchdog lose their patience. */
static const char *const defaults[][2] = {
    {"application_name", "session-service"},
    {"target_session_attrs", "read-write"}, /* of several hosts the one that takes writes */
    {"connect_timeout", "2"},
    {"keepalives_idle", "10"},
    {"keepalives_interval", "3"},
    {"keepalives_count", "3"},
    {"tcp_user_timeout", "5000"},
    {"gssencmode", "disable"}, /* its library asks the network without a time limit */
};

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* libpq's own words may repeat a part of the URL. Those about the name of a parameter do not. */
static enum outcome refuse(const char *why, struct error *ret_error)
{
    const char *known = "invalid URI query parameter: ";
    const char *parameter = why != NULL ? strstr(why, known) : NULL;
    if (parameter != NULL) {
        return error_set(ret_error, OUTCOME_INVALID, "store: there is no parameter %.*s",
                         (int)strcspn(parameter + strlen(known), "\n"), parameter + strlen(known));
    }
    return error_set(ret_error, OUTCOME_INVALID,
                     "store: this is neither \"sqlite\" nor a URL of the form "
                     "postgresql://USER@HOST[:PORT][,HOST...]/DATABASE[?PARAMETER=VALUE&...]");
}

static const char *find(const PQconninfoOption *options, const char *keyword)
{
    for (; options->keyword != NULL; options++) {
        if (strcmp(options->keyword, keyword) == 0) {
            return options->val;
        }
    }
    return NULL;
}

/* libpq looks at the ports only when it connects. */
static bool are_ports(const char *ports)
{
    for (bool more = ports != NULL; more; ports++) {
        char *end = NULL;
        long port = strtol(ports, &end, 10);
        more = *end == ',';
        if ((*end != '\0' && !more) || (end > ports && (port < 1 || port > 65535))) {
            return false;
        }
        ports = end;
    }
    return true;
}

static void add(struct postgres_url *url, const char *keyword, const char *value)
{
    if (url->count < POSTGRES_PARAMETERS_MAX) {
        url->keywords[url->count] = keyword;
        url->values[url->count++] = value;
    }
}

static bool is_named(const struct postgres_url *url, const char *keyword)
{
    for (size_t i = 0; i < url->count; i++) {
        if (strcmp(url->keywords[i], keyword) == 0) {
            return true;
        }
    }
    return false;
}

static void add_parameters(struct postgres_url *url, bool has_password)
{
    for (const PQconninfoOption *one = url->parsed; one->keyword != NULL; one++) {
        bool is_ours = strcmp(one->keyword, "client_encoding") == 0 ||
                       (has_password && strcmp(one->keyword, "password") == 0);
        if (one->val != NULL && !is_ours) {
            add(url, one->keyword, one->val);
        }
    }
    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++) {
        if (!is_named(url, defaults[i][0])) {
            add(url, defaults[i][0], defaults[i][1]);
        }
    }
    add(url, "client_encoding", "UTF8");
    if (has_password) {
        add(url, "password", url->password.text);
    }
}

enum outcome postgres_url_read(const char *text, const char *password_file,
                               struct postgres_url *ret_url, struct error *ret_error)
{
    *ret_url = (struct postgres_url){.parsed = NULL};
    if (!begins_with(text, "postgresql://") && !begins_with(text, "postgres://")) {
        return refuse(NULL, ret_error);
    }
    char *why = NULL;
    ret_url->parsed = PQconninfoParse(text, &why);
    enum outcome outcome = OUTCOME_OK;
    if (ret_url->parsed == NULL) {
        outcome = refuse(why, ret_error);
        PQfreemem(why);
        return outcome;
    }
    if (!are_ports(find(ret_url->parsed, "port"))) {
        outcome = refuse(NULL, ret_error);
    }
    if (outcome == OUTCOME_OK && password_file != NULL) {
        outcome = password_file_read(password_file, "--store-password-file", &ret_url->password,
                                     ret_error);
    }
    if (outcome != OUTCOME_OK) {
        postgres_url_done(ret_url);
        return outcome;
    }
    add_parameters(ret_url, password_file != NULL);
    return OUTCOME_OK;
}

void postgres_url_done(struct postgres_url *url)
{
    for (PQconninfoOption *one = url->parsed; one != NULL && one->keyword != NULL; one++) {
        if (one->val != NULL) {
            explicit_bzero(one->val, strlen(one->val));
        }
    }
    PQconninfoFree(url->parsed);
    url->parsed = NULL;
    password_wipe(&url->password);
}
