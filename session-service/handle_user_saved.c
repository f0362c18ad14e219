/* user.saved: a user's new state, and a session. */
#include "session-service/event_handlers.h"

#include "session-service/log_events.h"

static enum user_result parse(struct slice body, bool bare, const struct user_rules *rules,
                              struct user *ret_user, struct user_problems *ret_problems)
{
    return bare ? user_parse_any_object(body, ret_user, ret_problems)
                : user_parse(body, rules, ret_user, ret_problems);
}

const struct event_handler handle_user_saved = {
    .type = EVENT_USER_SAVED,
    .logged_as = &event_user_saved,
    .logs_user = true,
    .parse = parse,
    .change = STORE_SAVE,
};
