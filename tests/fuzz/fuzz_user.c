/* A body of any bytes: refused with a reason, or a user whose message the other side accepts. The
 * first byte chooses the rules. */
#include "common/base/json_syntax.h"
#include "common/log/log.h"
#include "session-service/event_handlers.h"
#include "tests/fuzz/fuzz_input.h"

#include <stdio.h>

enum { TEXT_BYTES_MAX = 8 << 20 };
#define ASSIGNED_ID "01890a5d-ac96-774b-bcce-b302099a8057"

static const struct user_rules all_rules[] = {
    {.strict = true, .refused_members = USER_REFUSED_MEMBERS_DEFAULT},
    {.strict = true, .required_members = "name,email"},
    {.strict = false, .refused_members = USER_REFUSED_MEMBERS_DEFAULT},
    {.strict = false},
};

static void judge_problems(const struct user_problems *problems)
{
    must(problems->count > 0 && problems->count <= USER_PROBLEMS_MAX);
    for (size_t i = 0; i < problems->count; i++) {
        const struct user_problem *problem = &problems->items[i];
        must(problem->detail[0] != '\0');
        must(memchr(problem->detail, '\0', sizeof(problem->detail)) != NULL);
        must(memchr(problem->pointer, '\0', sizeof(problem->pointer)) != NULL);
        must(problem->pointer[0] == '\0' || problem->pointer[0] == '/');
        json_t *text = json_string(problem->pointer); /* NULL: not UTF-8 */
        must(text != NULL);
        json_decref(text);
        for (const char *c = problem->pointer; *c != '\0'; c++) {
            must((unsigned char)*c >= 0x20 && *c != 0x7f);
        }
    }
}

/* The text is the same value as the body, with an id. */
static void judge_text(const struct user *user, struct slice text, bool is_assigned)
{
    json_t *root = json_loadb(text.data, text.length, JSON_REJECT_DUPLICATES, NULL);
    must(json_is_object(root));
    if (is_assigned) {
        const char *id = json_string_value(json_object_get(root, "id"));
        must(id != NULL && strcmp(id, ASSIGNED_ID) == 0);
        must(json_object_del(root, "id") == 0);
    }
    must(json_equal(root, user->root));
    json_decref(root);
}

/* One member stands for all whose names are masked. */
static size_t shown_members(json_t *root)
{
    size_t shown = 0;
    size_t masked = 0;
    const char *name;
    json_t *value;
    json_object_foreach(root, name, value)
    {
        bool is_masked = strchr(name, '@') != NULL || strcmp(name, "***") == 0;
        masked += is_masked;
        shown += !is_masked;
    }
    return shown + (masked > 0);
}

static void judge_redacted(const struct user *user)
{
    struct buffer redacted;
    buffer_init(&redacted, TEXT_BYTES_MAX);
    user_append_redacted(user, &redacted);
    must(!redacted.failed);
    json_t *root = json_loadb(redacted.data, redacted.length, JSON_REJECT_DUPLICATES, NULL);
    must(json_is_object(root));
    must(json_object_size(root) == shown_members(user->root));
    json_decref(root);
    buffer_done(&redacted);
}

/* What one service accepts the other does. */
static void judge_message(struct slice text, const struct user_rules *rules)
{
    struct message message;
    struct user_event event;
    user_event_encode(event_type_name(EVENT_USER_SAVED), text, slice_of("m-1"), 1769860800123,
                      (struct slice){0}, &message);
    must(event_handlers_decode(&message, rules, TEXT_BYTES_MAX, &event) == &handle_user_saved);
    must(event.kind == USER_EVENT_IDENTIFIED);
    must(event.saved_at_ms == 1769860800123);
    user_event_done(&event);
}

static void judge_user(const struct user *user, const struct user_rules *rules)
{
    struct buffer text;
    struct slice part;
    char scratch[24];
    buffer_init(&text, TEXT_BYTES_MAX);
    user_append_text(user, ASSIGNED_ID, &text);
    must(!text.failed);
    must(memchr(text.data, '\n', text.length) == NULL);
    judge_text(user, buffer_slice(&text), !user->has_id);
    judge_redacted(user);
    judge_message(buffer_slice(&text), rules);
    must(user_id_text(user, scratch, &part) || user->has_id == false || !rules->strict);
    (void)user_email_text(user, &part);
    buffer_done(&text);
}

/* What the parser takes is JSON by its grammar, but for a NUL that it drops. */
static void judge_syntax(struct slice body)
{
    size_t position = 0;
    json_t *root = json_loadb(body.data, body.length, JSON_DECODE_ANY, NULL);
    bool is_json = json_syntax_check(body, &position) == OUTCOME_OK;
    must(position <= body.length);
    must(root == NULL || is_json || memchr(body.data, '\0', body.length) != NULL);
    json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = fuzz_input_of(data, size);
    const struct user_rules *rules = &all_rules[take_byte(&input) & 3];
    struct slice body = copy_exactly(take_slice(&input, input.left));
    struct user user;
    struct user_problems problems;
    enum user_result result = user_parse(body, rules, &user, &problems);
    if (result == USER_OK) {
        judge_user(&user, rules);
    } else {
        must(result != USER_NO_MEMORY);
        must(user.root == NULL);
        judge_problems(&problems);
    }
    user_done(&user);
    result = user_parse_any_object(body, &user, &problems);
    must(result != USER_INVALID);
    if (result == USER_OK) {
        judge_redacted(&user);
    }
    user_done(&user);
    judge_syntax(body);
    free_copy(body);
    return 0;
}
