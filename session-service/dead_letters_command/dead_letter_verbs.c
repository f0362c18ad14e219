/* Prints for list and show, decides for redrive and purge. */
#include "session-service/dead_letters_command/dead_letter_verbs.h"

#include "session-service/dead_letters_command/dead_letter_print.h"
#include "session-service/event_dispatcher.h"
#include "session-service/event_handlers.h"

#include "common/base/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void dead_letter_note_print(struct command *command, bool printed)
{
    if (!printed && !command->unprinted) {
        command->unprinted = true;
        command->print_errno = errno;
        command->stop = 1;
    }
}

static bool is_wanted(struct command *command, const char *id)
{
    bool wanted = command->settings.all;
    for (size_t i = 0; i < command->wanted_count; i++) {
        if (strcmp(command->wanted[i].id, id) == 0) {
            command->wanted[i].found = wanted = true;
        }
    }
    return wanted;
}

static enum dead_letter_action decide_list(struct command *command,
                                           const struct dead_letter_view *view)
{
    if (view->position <= (uint64_t)command->settings.after) {
        return DEAD_LETTER_LEAVE;
    }
    bool printed = true;
    if (!command->has_heading && !command->settings.json) {
        printed = dead_letter_print_heading();
        command->has_heading = true;
    }
    dead_letter_note_print(command, printed && dead_letter_print_row(view, command->settings.json));
    return DEAD_LETTER_LEAVE;
}

static enum dead_letter_action decide_show(struct command *command,
                                           const struct dead_letter_view *view)
{
    if (is_wanted(command, view->id)) {
        dead_letter_note_print(command, dead_letter_print_whole(view, command->settings.json));
    }
    return DEAD_LETTER_LEAVE;
}

static enum dead_letter_action decide_purge(struct command *command,
                                            const struct dead_letter_view *view)
{
    return is_wanted(command, view->id) ? DEAD_LETTER_REMOVE : DEAD_LETTER_LEAVE;
}

/* Says in `ret_why` what the session-service would do with the letter as it is configured here. */
static bool would_come_back(const struct command *command, const struct dead_letter_view *view,
                            char ret_why[256])
{
    const struct settings *settings = &command->settings.service;
    if (slice_equal(view->reason, slice_of("id-conflict"))) {
        (void)snprintf(ret_why, 256,
                       "it would come back: another body or type was handled with its id");
        return true;
    }
    const struct user_rules rules = settings_user_rules(settings);
    struct user_event event;
    (void)event_handlers_decode(view->message, &rules, (size_t)settings->max_message_bytes, &event);
    bool impossible = event.kind == USER_EVENT_IMPOSSIBLE;
    if (impossible) {
        (void)snprintf(ret_why, 256, "it would come back: %s: %.*s", event.reason,
                       (int)utf8_cut_length(slice_of(event.detail), 200), event.detail);
    } else {
        user_event_done(&event);
    }
    return impossible;
}

static enum dead_letter_action decide_redrive(struct command *command,
                                              const struct dead_letter_view *view)
{
    const struct command_settings *settings = &command->settings;
    if (!is_wanted(command, view->id)) {
        return DEAD_LETTER_LEAVE;
    }
    char why[256] = "";
    bool comes_back = would_come_back(command, view, why);
    if (comes_back && !settings->force) {
        command->left++;
        dead_letter_note_print(command, dead_letter_print_done(view, settings->json, "left", why));
        return DEAD_LETTER_LEAVE;
    }
    if (settings->dry_run) {
        dead_letter_note_print(
            command, dead_letter_print_done(view, settings->json, "would be sent back", why));
        return DEAD_LETTER_LEAVE;
    }
    if (comes_back) {
        dead_letter_note_print(command,
                               dead_letter_print_done(view, settings->json, "sending back", why));
    }
    return DEAD_LETTER_SEND_BACK;
}

const struct verb dead_letter_verbs[VERBS] = {
    [VERB_LIST] = {"list", false, decide_list},
    [VERB_SHOW] = {"show", true, decide_show},
    [VERB_REDRIVE] = {"redrive", true, decide_redrive},
    [VERB_PURGE] = {"purge", true, decide_purge},
};

enum dead_letter_action dead_letter_decide(void *context, const struct message *message,
                                           uint64_t position)
{
    struct command *command = context;
    char id[ATTEMPT_KEY_BYTES];
    struct error error;
    if (command->unprinted || event_attempt_key(message, id, &error) != OUTCOME_OK) {
        return DEAD_LETTER_LEAVE;
    }
    struct dead_letter_view view;
    dead_letter_view_init(&view, message, position, id);
    return command->verb->decide(command, &view);
}
