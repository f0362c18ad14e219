/* A user: parse, validate, serialize, and show masked in a log. Pure.
 *
 * The text that goes to the queue is the client's own JSON without its insignificant white space
 * (and with the assigned id put first where there was none), so that numbers and strings stay
 * exactly as they came. jansson parses it to judge it. */
#pragma once

#include "common/base/buffer.h"

#include <jansson.h>

enum {
    USER_DEPTH_MAX = 8,    /* the user object itself is depth 1 */
    USER_MEMBERS_MAX = 64, /* in any one object, an id that will be assigned included; also the
                            * elements of any one array are at most USER_ELEMENTS_MAX */
    USER_ELEMENTS_MAX = 1024,
    USER_ID_CHARACTERS_MAX = 128,
    USER_NAME_CHARACTERS_MAX = 200,
    USER_EMAIL_BYTES_MAX = 254,
    USER_PROBLEMS_MAX = 8,
    USER_POINTER_BYTES = 256,
    USER_LOGGED_POINTER_BYTES = 72,
    USER_LIST_NAMES_MAX = 64,
};

/* What user_check() asks for. The lists are comma separated as in the options, borrowed from the
 * settings, and of any length; the names behind the first USER_LIST_NAMES_MAX cost more time. */
struct user_rules {
    bool strict; /* the known members (id, email, username, name) have the types, lengths and forms
                  * of the contract and at least one is there; else any JSON object within the
                  * limits of depth, members and control characters is a user */
    const char *required_members; /* "name,email"; NULL or "": none */
    const char *refused_members;  /* secrets: compared without case, '_' and '-', at every depth;
                                   * NULL or "": none */
};

#define USER_REFUSED_MEMBERS_DEFAULT                                                               \
    "password,passwd,pwd,passphrase,secret,client_secret,token,access_token,refresh_token,"        \
    "id_token,api_key,private_key,authorization,credentials"

struct user_problem {
    char pointer[USER_POINTER_BYTES]; /* RFC 6901, cut (with "...") where longer; control characters
                                       * in names are replaced with '?' */
    char logged_pointer[USER_LOGGED_POINTER_BYTES]; /* with '*' for names that may be personal */
    char detail[160];                               /* never a member's value */
};

struct user_problems {
    struct user_problem items[USER_PROBLEMS_MAX];
    size_t count; /* more than USER_PROBLEMS_MAX are not told */
};

enum user_result {
    USER_OK,
    USER_MALFORMED,     /* not JSON, or not UTF-8 */
    USER_NOT_PORTABLE,  /* JSON that parsers refuse or understand differently: a member that is
                         * there twice, the character U+0000, deeper than the parser goes */
    USER_NOT_AN_OBJECT, /* JSON, but an array, a string, a number, a boolean or null */
    USER_NUMBER_OUT_OF_RANGE, /* JSON, with a number that no integer of 64 bits or double holds */
    USER_INVALID,             /* a JSON object, but not a user: the problems say why */
    USER_NO_MEMORY,
};

/* Zeroed or filled by user_parse(). `text` borrows the body given to user_parse(). */
struct user {
    json_t *root; /* owned; a JSON object */
    struct slice text;
    bool has_id;
};

/* Parses and checks. A byte order mark before the JSON is skipped. On USER_OK *ret_user is owned
 * (user_done()), else it is zeroed. Where it is not USER_INVALID the first problem is the only one.
 * Its detail says where it is in the text (line, column); that of a number has a pointer instead.
 */
MUST_CHECK enum user_result user_parse(struct slice body, const struct user_rules *rules,
                                       struct user *ret_user, struct user_problems *ret_problems);

/* The same for any JSON object (a bare message): no rules, so never USER_INVALID. Depth is
 * jansson's limit, duplicate keys: the last one counts. */
MUST_CHECK enum user_result user_parse_any_object(struct slice body, struct user *ret_user,
                                                  struct user_problems *ret_problems);

void user_done(struct user *user);

/* Appends the user's compact JSON; where it has no `id`, `assigned_id` (a UUID's text) is its first
 * member. Without an id in either, the text alone. */
void user_append_text(const struct user *user, const char *assigned_id, struct buffer *json);

/* Appends compact JSON for a log: `id` as it is (masked where it holds '@' or is no scalar); of
 * name, username and email the first character and "***" (email: also the domain's first character,
 * "a***@e***"); of every other member the name and "***". A name with '@' is masked too. Control
 * and bidi characters are the log's business. */
void user_append_redacted(const struct user *user, struct buffer *json);

/* The user's `id` as text, for a log or a key: a string as it is, an integer in decimal; false
 * where there is none of these. Borrows the user, or `scratch` for an integer. */
bool user_id_text(const struct user *user, char scratch[24], struct slice *ret_id);

/* The user's `email` where that is a string that is not empty; else false. Borrows the user. */
bool user_email_text(const struct user *user, struct slice *ret_email);
