/* user.deleted: the user, his data and his session are removed. */
#include "session-service/event_handlers.h"

#include "session-service/log_events.h"

#include "common/base/utf8.h"

/* The body's `id` alone counts. The other members may be anything that a saved user may have. */
static enum user_result parse(struct slice body, bool bare, const struct user_rules *rules,
                              struct user *ret_user, struct user_problems *ret_problems)
{
    static const struct user_rules id_alone = {.strict = false, .required_members = "id"};
    enum user_result result = user_parse(body, &id_alone, ret_user, ret_problems);
    if (result != USER_OK) {
        return result;
    }
    char scratch[24];
    struct slice id;
    bool any_length = bare || !rules->strict; /* as of a saved user */
    if (user_id_text(ret_user, scratch, &id) && id.length > 0 &&
        (any_length || utf8_count(id) <= USER_ID_CHARACTERS_MAX)) {
        return USER_OK;
    }
    user_done(ret_user);
    *ret_problems = (struct user_problems){
        .items[0] = {.pointer = "/id",
                     .logged_pointer = "/id",
                     .detail = "must be a string of 1 to 128 characters, or an integer"},
        .count = 1,
    };
    return USER_INVALID;
}

const struct event_handler handle_user_deleted = {
    .type = EVENT_USER_DELETED,
    .logged_as = &event_user_deleted,
    .logs_user = false,
    .parse = parse,
    .change = STORE_DELETE,
};
