/* The user-service's option table. */
#include "user-service/settings.h"

#include <string.h>

#define COMMON_ROW(member, ...) OPTION_ROW(struct settings, common.member, __VA_ARGS__)
#define USER_ROW(...) OPTION_ROW(struct settings, __VA_ARGS__)

static const struct option_row rows[] = {COMMON_OPTIONS(COMMON_ROW, "127.0.0.1:3000")
                                             USER_OPTIONS(USER_ROW)};

/* `suffix_bytes`: what is added to it. */
static enum outcome check_name(const char *option, const char *text, size_t suffix_bytes,
                               struct error *ret_error)
{
    size_t length = text == NULL ? 0 : strlen(text);
    if (length > SHORT_STRING_BYTES_MAX - suffix_bytes) {
        return error_set(ret_error, OUTCOME_INVALID, "%s: at most %zu bytes, this has %zu", option,
                         SHORT_STRING_BYTES_MAX - suffix_bytes, length);
    }
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f) {
            return error_set(ret_error, OUTCOME_INVALID,
                             "%s: a line end or another control character is in it", option);
        }
    }
    return OUTCOME_OK;
}

enum outcome settings_check(const struct settings *settings, struct error *ret_error)
{
    size_t suffix_bytes = settings->common.shards > 1 ? SHARD_SUFFIX_BYTES_MAX : 0;
    enum outcome outcome = check_name("exchange", settings->exchange, 0, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = check_name("routing-key", settings->routing_key, suffix_bytes, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    bool has_exchange = settings->exchange != NULL && settings->exchange[0] != '\0';
    if (has_exchange && strcmp(settings->exchange, "amq.default") == 0) {
        return error_set(ret_error, OUTCOME_INVALID,
                         "exchange: the default exchange is the one without a name, which is used "
                         "without this option");
    }
    if (!has_exchange && (settings->routing_key != NULL || settings->bind == BIND_ON)) {
        return error_set(ret_error, OUTCOME_INVALID, "%s: is of use only with --exchange",
                         settings->routing_key != NULL ? "routing-key" : "bind");
    }
    return OUTCOME_OK;
}

/* What each of them relaxes is in docs/migrating.md. 100 KiB is what express takes. */
static const struct option_preset demo_presets[] = {
    {"user-check", "relaxed"},
    {"refused-members", ""},
    {"queue-type", "classic"},
    {"max-body-bytes", "100KiB"},
};
static const struct options_profile demo_profile = {
    .option = "compat",
    .choice = "demo",
    .presets = demo_presets,
    .count = sizeof(demo_presets) / sizeof(demo_presets[0]),
};

const struct options_program settings_program = {
    .name = "user-service",
    .environment_prefix = "USER_SERVICE",
    .summary = "takes users by HTTP and hands them to RabbitMQ, confirmed",
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
    .profile = &demo_profile,
};
