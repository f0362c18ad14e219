/* A profile: other defaults for some options, which one choice of another option asks for. */
#include "common/options/options_internal.h"

#include <stdio.h>
#include <string.h>

/* NULL: the program has no such option. */
static const struct option_row *find_row(const struct options_program *program, const char *name)
{
    for (size_t i = 0; i < program->count; i++) {
        if (strcmp(program->rows[i].name, name) == 0) {
            return &program->rows[i];
        }
    }
    return NULL;
}

static bool is_chosen(const struct options_program *program, const void *settings)
{
    const struct options_profile *profile = program->profile;
    const struct option_row *row = profile == NULL ? NULL : find_row(program, profile->option);
    int choice = -1;
    return row != NULL && option_find_choice(row->choices, profile->choice, &choice) &&
           *(const unsigned *)(const void *)((const char *)settings + row->offset) ==
               (unsigned)choice;
}

enum outcome options_apply_profile(const struct options_program *program, const bool *given,
                                   void *settings, struct error *ret_error)
{
    if (!is_chosen(program, settings)) {
        return OUTCOME_OK;
    }
    const struct options_profile *profile = program->profile;
    char source[OPTION_SOURCE_BYTES];
    (void)snprintf(source, sizeof(source), "%s = %s", profile->option, profile->choice);
    enum outcome outcome = OUTCOME_OK;
    for (size_t i = 0; outcome == OUTCOME_OK && i < profile->count; i++) {
        const struct option_preset *preset = &profile->presets[i];
        const struct option_row *row = find_row(program, preset->name);
        if (row != NULL && !given[row - program->rows]) {
            outcome = option_store(row, settings, preset->text, source, ret_error);
        }
    }
    return outcome;
}

static void append_value(const struct option_row *row, const void *settings, struct buffer *text)
{
    const void *slot = (const char *)settings + row->offset;
    if (row->type == OPTION_TEXT) {
        const char *value = *(const char *const *)slot;
        buffer_append_text(text, row->secret ? "***" : value == NULL ? "" : value);
    } else if (row->type == OPTION_CHOICE) {
        const char *choice = row->choices;
        for (unsigned i = *(const unsigned *)slot; i > 0; i--) {
            choice += strcspn(choice, "|") + 1;
        }
        buffer_append(text, choice, strcspn(choice, "|"));
    } else if (row->type == OPTION_FLAG) {
        buffer_append_text(text, *(const bool *)slot ? "yes" : "no");
    } else {
        char number[OPTION_VALUE_BYTES];
        option_number_text(row->type, *(const int64_t *)slot, number);
        buffer_append_text(text, number);
    }
}

bool options_append_profile(const struct options_program *program, const void *settings,
                            struct buffer *text)
{
    if (!is_chosen(program, settings)) {
        return false;
    }
    for (size_t i = 0; i < program->profile->count; i++) {
        const struct option_row *row = find_row(program, program->profile->presets[i].name);
        if (row != NULL) {
            buffer_append_format(text, "%s%s = ", i == 0 ? "" : "; ", row->name);
            append_value(row, settings, text);
        }
    }
    return true;
}

void options_print_profile(const struct options_program *program, const void *settings)
{
    struct buffer text;
    buffer_init(&text, OPTIONS_PROFILE_BYTES_MAX);
    if (options_append_profile(program, settings, &text) && !text.failed) {
        printf("with %s = %s: %.*s\n", program->profile->option, program->profile->choice,
               (int)text.length, text.data);
    }
    buffer_done(&text);
}
