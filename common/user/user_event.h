/* The queue's contract: a saved user as a message, and a delivered message as an event. Pure.
 *
 * To change what is on the wire: add, never rename or remove; a consumer must understand both forms
 * before any producer sends the new one. tests/unit/test_user_event.c pins the present form. */
#pragma once

#include "common/amqp/message.h"
#include "common/user/user.h"

/* The types of events, of both services: each has its name in messages and in the file of the
 * outbox, which is never changed, and a sentence that says what is so when a message of that type
 * was handled. How to add one is said in CONTRIBUTING.md. */
#define USER_EVENT_TYPES(TYPE, ARGUMENT)                                                           \
    TYPE(ARGUMENT, EVENT_USER_SAVED, user_saved, "user.saved",                                     \
         "A message was handled, and its effect is on disk. The outcome is \"handled\", "          \
         "\"outdated\" (what is known of the user is newer, and stays), \"duplicate\" (it was "    \
         "handled before) or \"bare\" (it came without an id). A line with ahead_ms says that "    \
         "saved_at_ms is so many milliseconds ahead of this host's clock, so that the order of "   \
         "arrival has counted.")                                                                   \
    TYPE(ARGUMENT, EVENT_USER_DELETED, user_deleted, "user.deleted",                               \
         "A user's data and session were removed, unless a newer save or deletion of him is "      \
         "known; that is on disk. The outcome and ahead_ms are as those of user.saved.")

#define EVENT_TYPE(argument, type, symbol, name, meaning) type,
enum event_type { USER_EVENT_TYPES(EVENT_TYPE, ) EVENT_TYPES };

/* Borrows a literal. */
struct slice event_type_name(enum event_type type);
/* False where no type has that name. */
MUST_CHECK bool event_type_find(struct slice name, enum event_type *ret_type);

#define USER_EVENT_APP_ID "user-service"
#define USER_EVENT_CONTENT_TYPE "application/json"
#define USER_EVENT_HEADER_SAVED_AT "saved_at_ms"
#define USER_EVENT_HEADER_TRACEPARENT "traceparent"

enum { USER_EVENT_ID_BYTES_MAX = 128 };

/* True for 1..USER_EVENT_ID_BYTES_MAX printable ASCII characters (0x20..0x7e). */
bool user_event_id_is_valid(struct slice message_id);

/* Fills the message of an event of that type; everything is borrowed. `traceparent` may be empty.
 */
void user_event_encode(struct slice type, struct slice body, struct slice message_id,
                       uint64_t saved_at_ms, struct slice traceparent, struct message *ret_message);

enum user_event_kind {
    USER_EVENT_IDENTIFIED, /* has a message id: a user that satisfies the rules */
    USER_EVENT_BARE,       /* no message id: any JSON object (clients of the old demo) */
    USER_EVENT_IMPOSSIBLE, /* can never be handled: reason and detail say why */
    USER_EVENT_NO_MEMORY,  /* not the message's fault: try again */
};

struct user_event {
    enum user_event_kind kind;
    struct user user;    /* owned unless IMPOSSIBLE or NO_MEMORY: user_event_done() */
    int64_t saved_at_ms; /* as the header names it, and as nobody has checked; -1: it does not */
    const char *reason;  /* IMPOSSIBLE: a stable word: not-json, not-an-object,
                          * number-out-of-range, invalid-user, too-large, invalid-message-id;
                          * unknown-type and unsupported-content are found by who knows the types */
    char detail[256];    /* IMPOSSIBLE: for a person; never a member's value */
};

/* Reads the body of one type of event. USER_INVALID: it is JSON, and not what the type asks for.
 * `bare`: the message has no id. */
typedef enum user_result user_event_parse(struct slice body, bool bare,
                                          const struct user_rules *rules, struct user *ret_user,
                                          struct user_problems *ret_problems);

/* Decodes a delivered message, whatever its type; `parse` reads the body. Borrows `message` (the
 * user's text points into its body). */
void user_event_decode(const struct message *message, user_event_parse *parse,
                       const struct user_rules *rules, size_t max_body_bytes,
                       struct user_event *ret_event);

void user_event_done(struct user_event *event);
