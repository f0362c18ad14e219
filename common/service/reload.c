/* Everything is read before anything is changed. */
#include "common/service/reload.h"

#include "common/log/log_events.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_BYTES = 400 };

/* What has been read, and is not in force yet. */
struct reading {
    struct auth_tokens *tokens, *copy; /* both NULL: no tokens are used */
    char changed_options[NAMES_BYTES];
    size_t changed_count;
};

enum outcome reload_read_tokens(const struct common_settings *common,
                                struct auth_tokens **ret_tokens, struct error *ret_error)
{
    *ret_tokens = NULL;
    return common->auth_token_file == NULL
               ? OUTCOME_OK
               : auth_tokens_read(common->auth_token_file, ret_tokens, ret_error);
}

static void free_settings(const struct reload *reload, void *settings)
{
    if (settings != NULL) {
        options_done(reload->source.program, settings);
    }
    free(settings);
}

/* The common part is at the same place of all settings of a service. */
static const struct common_settings *common_of(const struct reload *reload, const void *settings)
{
    return (const void *)((const char *)settings + reload->source.common_at);
}

/* Returns owned settings: what the sources of the options say now. */
static enum outcome load(const struct reload *reload, void **ret_settings, struct error *ret_error)
{
    enum options_action action = OPTIONS_RUN;
    void *settings = calloc(1, reload->source.settings_size);
    if (settings == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the options");
    }
    enum outcome outcome = options_load(reload->source.program, reload->argc, reload->argv,
                                        settings, NULL, &action, ret_error);
    if (outcome != OUTCOME_OK) {
        free(settings);
        return outcome;
    }
    *ret_settings = settings;
    return OUTCOME_OK;
}

enum outcome reload_init(struct reload *reload, const struct reload_source *source, int argc,
                         char **argv, struct error *ret_error)
{
    *reload = (struct reload){.source = *source, .argc = argc, .argv = argv};
    enum outcome outcome = OUTCOME_OK;
    if (options_find_pipe(source->program, argc, argv) == NULL) {
        outcome = load(reload, &reload->loaded, ret_error);
    }
    return outcome == OUTCOME_OK ? reload_read_tokens(source->common, &reload->tokens, ret_error)
                                 : outcome;
}

/* As a start does. */
static enum outcome check(const struct reload *reload, const void *settings,
                          struct error *ret_error)
{
    enum outcome outcome = common_settings_check(common_of(reload, settings), ret_error);
    return outcome == OUTCOME_OK ? reload->source.check(settings, ret_error) : outcome;
}

static enum outcome read_options(const struct reload *reload, struct reading *reading,
                                 struct error *ret_error)
{
    void *settings = NULL;
    const struct options_program *program = reload->source.program;
    const char *pipe = options_find_pipe(program, reload->argc, reload->argv);
    if (pipe != NULL) {
        return error_set(ret_error, OUTCOME_INVALID, "%s is a pipe, and was none at the start",
                         pipe);
    }
    enum outcome outcome = load(reload, &settings, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = check(reload, settings, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        reading->changed_count =
            options_list_differences(program, reload->loaded, settings, reading->changed_options,
                                     sizeof(reading->changed_options));
    }
    free_settings(reload, settings);
    return outcome;
}

static enum outcome read_all(const struct reload *reload, struct reading *ret_reading,
                             struct error *ret_error)
{
    *ret_reading = (struct reading){.tokens = NULL};
    enum outcome outcome =
        reload->loaded == NULL ? OUTCOME_OK : read_options(reload, ret_reading, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    outcome = reload_read_tokens(reload->source.common, &ret_reading->tokens, ret_error);
    if (outcome != OUTCOME_OK || ret_reading->tokens == NULL) {
        return outcome;
    }
    ret_reading->copy = auth_tokens_copy(ret_reading->tokens);
    if (ret_reading->copy == NULL) {
        auth_tokens_free(ret_reading->tokens);
        return error_set(ret_error, OUTCOME_BUSY, "no memory for tokens");
    }
    return OUTCOME_OK;
}

/* Takes the tokens. Returns whether they are others than before. */
static bool take_tokens(struct reload *reload, const struct reading *reading,
                        struct http_server *server)
{
    bool are_changed = !auth_tokens_equal(reading->copy, reload->tokens);
    auth_tokens_free(reload->tokens);
    reload->tokens = reading->copy;
    if (reading->tokens != NULL) {
        http_server_set_tokens(server, reading->tokens);
    }
    return are_changed;
}

/* systemd/reload reads the number and the word. */
static void PRINTF_LIKE(3, 4) show(struct reload *reload, const char *word, const char *format, ...)
{
    struct error text;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text.text, sizeof(text.text), format, arguments);
    va_end(arguments);
    (void)snprintf(reload->status, sizeof(reload->status), "reload %u %s: %s", reload->count, word,
                   text.text);
}

void reload_run(struct reload *reload, struct http_server *server)
{
    struct error error;
    struct reading reading;
    reload->count++;
    if (read_all(reload, &reading, &error) != OUTCOME_OK) {
        log_at(&event_service_reload_failed, log_string("error", error.text));
        show(reload, "failed", "%s", error.text);
        return;
    }
    const char *of_options =
        reload->loaded == NULL ? "; the options came from a pipe, and cannot be read again" : "";
    bool are_changed = take_tokens(reload, &reading, server);
    size_t count = reading.tokens == NULL ? 0 : auth_tokens_count(reload->tokens);
    log_at(&event_service_reloaded, log_integer("tokens", (int64_t)count),
           log_boolean("changed", are_changed));
    if (reading.changed_count > 0) {
        log_at(&event_service_restart_needed, log_string("options", reading.changed_options));
        show(reload, "incomplete", "only a restart takes what has changed in %s",
             reading.changed_options);
    } else if (are_changed) {
        show(reload, "done", "other tokens are in force, %zu of them%s", count, of_options);
    } else if (reload->loaded == NULL) {
        show(reload, "done", "the tokens are as before%s", of_options);
    } else {
        show(reload, "done", "the tokens and the options are as before");
    }
}

void reload_done(struct reload *reload)
{
    free_settings(reload, reload->loaded);
    auth_tokens_free(reload->tokens);
}
