/* What is a user and what is none: the known members, secrets, syntax. */
#include "tests/support/expect_user.h"

#define BODY(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
static const struct user_rules strict = {.strict = true,
                                         .refused_members = USER_REFUSED_MEMBERS_DEFAULT};
static const struct user_rules relaxed = {.strict = false};
static const struct user_rules strict_required = {.strict = true,
                                                  .required_members = " name, e/mail ,x~y,"};
static const struct user_rules relaxed_required = {.required_members = "name"};
static const struct user_rules odd_lists = {.refused_members = " ,, _- , Pass_Word ,pin,"};

#define WIDE "an integer does not fit in 64 bits (send it as a string)"
#define LARGE "a number is too large (send it as a string)"

/* One problem is expected, at `pointer` with `detail`; NULL for a user that is accepted. */
static const struct row {
    struct slice body;
    const struct user_rules *rules;
    enum user_result result;
    const char *pointer;
    const char *detail;
} rows[] = {
    {BODY("{\"id\":1}"), &strict, USER_OK, NULL, NULL},
    {BODY("{\"id\":-9223372036854775808}"), &strict, USER_OK, NULL, NULL},
    {BODY("{\"id\":\"a\"}"), &strict, USER_OK, NULL, NULL},
    {BODY("{\"name\":\"Ada\"}"), &strict, USER_OK, NULL, NULL},
    {BODY("{\"username\":\"ada\"}"), &strict, USER_OK, NULL, NULL},
    {BODY("{\"email\":\"a@b\"}"), &strict, USER_OK, NULL, NULL},
    {BODY("{\"email\":\"\xc3\xa9@b.c\"}"), &strict, USER_OK, NULL, NULL},
    {BODY(" \t\r\n{\"id\":1}\n"), &strict, USER_OK, NULL, NULL},
    {BODY("{\"id\":1,\"x\":null,\"y\":[1,{\"z\":1e-999}]}"), &strict, USER_OK, NULL, NULL},
    {BODY("{\"name\":\"a\\tb\\nc\"}"), &strict, USER_OK, NULL, NULL},
    {BODY("{\"name\":\"\\u202e\xe2\x80\xae\"}"), &strict, USER_OK, NULL, NULL},
    {BODY("{\"name\":\"\\u00a0\"}"), &strict, USER_OK, NULL, NULL},
    {BODY("{\"name\":\"\\ud83d\\ude00\"}"), &strict, USER_OK, NULL, NULL},
    {BODY("{\"name\":\"\\r\\n\"}"), &strict, USER_OK, NULL, NULL},
    {BODY("{\"id\":1,\"a\":[\"b\\r\\nc\\u000d\\u000a\"]}"), &strict, USER_OK, NULL, NULL},
    {BODY("\xef\xbb\xbf {\"id\":1}"), &strict, USER_OK, NULL, NULL},
    {BODY("{}"), &relaxed, USER_OK, NULL, NULL},
    {BODY("{\"id\":null,\"email\":5,\"name\":\"\"}"), &relaxed, USER_OK, NULL, NULL},
    {BODY("{\"password\":1}"), &relaxed, USER_OK, NULL, NULL},

    {BODY(""), &relaxed, USER_MALFORMED, "", "line 1, column 0: the text is empty"},
    {BODY(" "), &relaxed, USER_MALFORMED, "",
     "line 1, column 1: unexpected token near end of file"},
    {BODY("{"), &relaxed, USER_MALFORMED, "",
     "line 1, column 1: string or '}' expected near end of file"},
    {BODY("{\"a\":1,}"), &relaxed, USER_MALFORMED, "", "line 1, column 8: string or '}' expected"},
    {BODY("{\n\n \"a\" 1}"), &relaxed, USER_MALFORMED, "", "line 3, column 6: ':' expected"},
    {BODY("{\"a\":tru}"), &relaxed, USER_MALFORMED, "", "line 1, column 8: invalid token"},
    {BODY("{\"a\":secret}"), &relaxed, USER_MALFORMED, "", "line 1, column 11: invalid token"},
    {BODY("{\"a\":NaN}"), &relaxed, USER_MALFORMED, "", "line 1, column 8: invalid token"},
    {BODY("{\"a\":01}"), &relaxed, USER_MALFORMED, "", "line 1, column 6: invalid token"},
    {BODY("{} {}"), &relaxed, USER_MALFORMED, "", "line 1, column 4: end of file expected"},
    {BODY("{}x"), &relaxed, USER_MALFORMED, "", "line 1, column 3: end of file expected"},
    {BODY("{}\0"), &relaxed, USER_MALFORMED, "", "line 1, column 3: a NUL byte"},
    {BODY("\0{}"), &relaxed, USER_MALFORMED, "", "line 1, column 1: a NUL byte"},
    {BODY("{\"a\":\"\0\"}"), &relaxed, USER_MALFORMED, "", "line 1, column 7: a NUL byte"},
    {BODY("{\"a\":1\0}"), &relaxed, USER_MALFORMED, "", "line 1, column 7: a NUL byte"},
    {BODY("{\n\"\xc3\xa9\":true\0}"), &relaxed, USER_MALFORMED, "", "line 2, column 9: a NUL byte"},
    {BODY("{\"a\":false\0,\"b\":1}"), &relaxed, USER_MALFORMED, "",
     "line 1, column 11: a NUL byte"},
    {BODY("{\"a\":[null\0]}"), &relaxed, USER_MALFORMED, "", "line 1, column 11: a NUL byte"},
    {BODY("{\"a\":1.5e1\0}"), &relaxed, USER_MALFORMED, "", "line 1, column 11: a NUL byte"},
    {BODY("{\"a\":\"\n\"}"), &relaxed, USER_MALFORMED, "", NULL},
    {BODY("\xef\xbb\xbf\xef\xbb\xbf{}"), &relaxed, USER_MALFORMED, "",
     "line 1, column 1: invalid token"},
    {BODY("\xef\xbb{}"), &relaxed, USER_MALFORMED, "", NULL},
    {BODY("\xef\xbb\xbf"), &relaxed, USER_MALFORMED, "", "line 1, column 0: the text is empty"},
    {BODY("{\"a\":\"\xff\"}"), &relaxed, USER_MALFORMED, "",
     "line 1, column 6: unable to decode byte 0xff"},
    {BODY("{\"a\":\"\xed\xa0\x80\"}"), &relaxed, USER_MALFORMED, "",
     "line 1, column 6: unable to decode byte 0xed"},
    {BODY("{\"a\":\"\\ud83d\"}"), &relaxed, USER_MALFORMED, "",
     "line 1, column 13: an escape is half of a surrogate pair"},
    {BODY("{\"a\":\"\\ude00\"}"), &relaxed, USER_MALFORMED, "",
     "line 1, column 13: an escape is half of a surrogate pair"},
    {BODY("{\"a\":\"\\ud83dx\"}"), &relaxed, USER_MALFORMED, "",
     "line 1, column 14: an escape is half of a surrogate pair"},
    {BODY("{\"a\":\"\\u0000\"}"), &relaxed, USER_NOT_PORTABLE, "",
     "line 1, column 13: the character U+0000 is not allowed"},
    {BODY("{\"a\\u0000\":1}"), &relaxed, USER_NOT_PORTABLE, "",
     "line 1, column 10: the character U+0000 is not allowed"},
    {BODY("{\"id\":9223372036854775808}"), &relaxed, USER_NUMBER_OUT_OF_RANGE, "/id", WIDE},
    {BODY("{\"id\":-12345678901234567890}"), &relaxed, USER_NUMBER_OUT_OF_RANGE, "/id", WIDE},
    {BODY("{\"a\":1e400}"), &relaxed, USER_NUMBER_OUT_OF_RANGE, "/a", LARGE},
    {BODY("{\"a\":-1E+400 }"), &strict, USER_NUMBER_OUT_OF_RANGE, "/a", LARGE},
    {BODY("\xef\xbb\xbf {\"b\":[0,{}],\"a\" : [ 1,[],{\"x\":\",]\"} , 1e400,2] }"), &relaxed,
     USER_NUMBER_OUT_OF_RANGE, "/a/3", LARGE},
    {BODY("{\"a\":{\"c~d/e\":1,\"\\u00e9\\\"f\":[[1e400]]},\"a\":1e400}"), &relaxed,
     USER_NUMBER_OUT_OF_RANGE, "/a/\xc3\xa9\"f/0/0", LARGE},
    {BODY("{\"c~d/e\":1e400}"), &relaxed, USER_NUMBER_OUT_OF_RANGE, "/c~0d~1e", LARGE},
    {BODY("{\"\":{\"\":1e400}}"), &relaxed, USER_NUMBER_OUT_OF_RANGE, "//", LARGE},
    {BODY("{\"a\":[[[[[[[[[1e400]]]]]]]]]}"), &relaxed, USER_NUMBER_OUT_OF_RANGE,
     "/a/0/0/0/0/0/0/0", LARGE},
    /* Something else is wrong, too: what is not JSON is not JSON whatever its numbers are. */
    {BODY("{\"a\":1e400,}"), &relaxed, USER_MALFORMED, "", "line 1, column 12: invalid syntax"},
    {BODY("{\"a\":1e400"), &relaxed, USER_MALFORMED, "", "line 1, column 11: invalid syntax"},
    {BODY("{\"\xc3\xa9\":1e400}\n x"), &relaxed, USER_MALFORMED, "",
     "line 2, column 2: invalid syntax"},
    {BODY("{\"a\":1e400,\"b\":\"\xff\"}"), &relaxed, USER_MALFORMED, "",
     "line 1, column 1: the text is not UTF-8"},
    {BODY("{\"a\":1,\"a\":x}"), &relaxed, USER_MALFORMED, "", "line 1, column 12: invalid syntax"},
    {BODY("{\"a\":1,\"\\u0061\":2}"), &relaxed, USER_NOT_PORTABLE, "",
     "line 1, column 15: the object has this member already"},
    {BODY("{\"x\":[{\"a\":{\"b\":1,\"b\":1}}]}"), &relaxed, USER_NOT_PORTABLE, "",
     "line 1, column 21: the object has this member already"},

    {BODY("[]"), &relaxed, USER_NOT_AN_OBJECT, "", "must be a JSON object, not an array"},
    {BODY("\"x\""), &strict, USER_NOT_AN_OBJECT, "", "must be a JSON object, not a string"},
    {BODY("1"), &relaxed, USER_NOT_AN_OBJECT, "", "must be a JSON object, not a number"},
    {BODY("1.5"), &relaxed, USER_NOT_AN_OBJECT, "", "must be a JSON object, not a number"},
    {BODY("true"), &relaxed, USER_NOT_AN_OBJECT, "", "must be a JSON object, not a boolean"},
    {BODY(" null "), &strict, USER_NOT_AN_OBJECT, "", "must be a JSON object, not null"},
    {BODY("[1e400]"), &relaxed, USER_NOT_AN_OBJECT, "", "must be a JSON object, not an array"},
    {BODY("\t-1e400"), &relaxed, USER_NOT_AN_OBJECT, "", "must be a JSON object, not a number"},
    {BODY("\"\\u0000\""), &relaxed, USER_NOT_AN_OBJECT, "", "must be a JSON object, not a string"},
    {BODY("[{\"a\":1,\"a\":1}]"), &relaxed, USER_NOT_AN_OBJECT, "",
     "must be a JSON object, not an array"},

    {BODY("{}"), &strict, USER_INVALID, "", "must have at least one of id, email, username, name"},
    {BODY("{\"Id\":1}"), &strict, USER_INVALID, "",
     "must have at least one of id, email, username, name"},
    {BODY("{\"id\":null}"), &strict, USER_INVALID, "/id", "must be a string or an integer"},
    {BODY("{\"id\":1.5}"), &strict, USER_INVALID, "/id", "must be a string or an integer"},
    {BODY("{\"id\":1e2}"), &strict, USER_INVALID, "/id", "must be a string or an integer"},
    {BODY("{\"id\":true}"), &strict, USER_INVALID, "/id", "must be a string or an integer"},
    {BODY("{\"id\":{}}"), &strict, USER_INVALID, "/id", "must be a string or an integer"},
    {BODY("{\"id\":\"\"}"), &strict, USER_INVALID, "/id", "is empty"},
    {BODY("{\"id\":1,\"name\":null}"), &strict, USER_INVALID, "/name", "must be a string"},
    {BODY("{\"name\":7}"), &strict, USER_INVALID, "/name", "must be a string"},
    {BODY("{\"name\":\"\"}"), &strict, USER_INVALID, "/name", "is empty"},
    {BODY("{\"username\":[]}"), &strict, USER_INVALID, "/username", "must be a string"},
    {BODY("{\"username\":\"\"}"), &strict, USER_INVALID, "/username", "is empty"},
    {BODY("{\"id\":1,\"email\":null}"), &strict, USER_INVALID, "/email", "must be a string"},
    {BODY("{\"email\":\"\"}"), &strict, USER_INVALID, "/email", "is empty"},
#define NO_ADDRESS(text)                                                                           \
    {                                                                                              \
        BODY("{\"email\":\"" text "\"}"), &strict, USER_INVALID, "/email",                         \
            "must have the form local@domain"                                                      \
    }
    NO_ADDRESS("ada"),
    NO_ADDRESS("@b"),
    NO_ADDRESS("a@"),
    NO_ADDRESS("@"),
    NO_ADDRESS("a@b@c"),
    NO_ADDRESS("a@@c"),
    NO_ADDRESS("a@.b"),
    NO_ADDRESS("a@b."),
    NO_ADDRESS("a@b..c"),
    NO_ADDRESS("a@."),
#define SPACED(text)                                                                               \
    {                                                                                              \
        BODY("{\"email\":\"" text "\"}"), &strict, USER_INVALID, "/email",                         \
            "must have no white space"                                                             \
    }
    SPACED(" a@b"),
    SPACED("a@b "),
    SPACED("a@b\\n"),
    SPACED("a\\t@b"),
    SPACED("a@b\\u00a0c"),
    SPACED("a@b\xe2\x80\x83"),
    SPACED("a@b\xe3\x80\x80"),

#define CONTROL(json, pointer)                                                                     \
    {                                                                                              \
        BODY(json), &strict, USER_INVALID, pointer,                                                \
            "has a control character other than tab and newline"                                   \
    }
    CONTROL("{\"name\":\"a\\u0001\"}", "/name"),
    CONTROL("{\"name\":\"a\\r\"}", "/name"),
    CONTROL("{\"name\":\"a\\rb\\r\\n\"}", "/name"),
    CONTROL("{\"name\":\"a\\n\\r\"}", "/name"),
    CONTROL("{\"name\":\"\\u001b[31m\"}", "/name"),
    CONTROL("{\"name\":\"\x7f\"}", "/name"),
    CONTROL("{\"name\":\"\\u007f\"}", "/name"),
    CONTROL("{\"name\":\"\\u0080\"}", "/name"),
    CONTROL("{\"name\":\"x\xc2\x9f\"}", "/name"),
    CONTROL("{\"id\":1,\"x\":[{\"y\":[0,\"\\u000b\"]}]}", "/x/0/y/1"),
#define CONTROL_NAME(json, pointer)                                                                \
    {                                                                                              \
        BODY(json), &relaxed, USER_INVALID, pointer,                                               \
            "the name has a control character other than tab and newline"                          \
    }
    CONTROL_NAME("{\"a\\u0001b\":1}", "/a?b"),
    CONTROL_NAME("{\"x\":[{\"\\u009b\\u007f\\n\":1}]}", "/x/0/???"),

#define SECRET(json, pointer)                                                                      \
    {                                                                                              \
        BODY(json), &strict, USER_INVALID, pointer,                                                \
            "is not accepted: the name is that of a secret, and a queue is no place for a secret"  \
    }
    SECRET("{\"id\":1,\"password\":\"hunter2\"}", "/password"),
    SECRET("{\"id\":1,\"PassWord\":\"hunter2\"}", "/PassWord"),
    SECRET("{\"id\":1,\"pass_word\":null}", "/pass_word"),
    SECRET("{\"id\":1,\"-pass-word_\":{\"a\":1}}", "/-pass-word_"),
    SECRET("{\"id\":1,\"\\u0070assword\":1}", "/password"),
    SECRET("{\"id\":1,\"accessToken\":1}", "/accessToken"),
    SECRET("{\"id\":1,\"API-KEY\":1}", "/API-KEY"),
    SECRET("{\"id\":1,\"credentials\":1}", "/credentials"),
    SECRET("{\"id\":1,\"a/b\":[0,{\"~\":{\"token\":1}}]}", "/a~1b/1/~0/token"),
    {BODY("{\"id\":1,\"passwords\":1,\"passwor\":1,\"_\":1,\"\":1,\"tokens\":1}"), &strict, USER_OK,
     NULL, NULL},
    {BODY("{\"_\":1,\"\":1,\" \":1,\"-_\":1}"), &odd_lists, USER_OK, NULL, NULL},
    {BODY("{\"PIN\":1}"), &odd_lists, USER_INVALID, "/PIN",
     "is not accepted: the name is that of a secret, and a queue is no place for a secret"},
    {BODY("{\"password\":1}"), &odd_lists, USER_INVALID, "/password",
     "is not accepted: the name is that of a secret, and a queue is no place for a secret"},

    {BODY("{\"name\":\"A\",\"e/mail\":1,\"x~y\":false}"), &strict_required, USER_OK, NULL, NULL},
    {BODY("{\"name\":\"A\",\"x~y\":1}"), &strict_required, USER_INVALID, "/e~1mail", "is required"},
    {BODY("{\"name\":\"A\",\"e/mail\":1}"), &strict_required, USER_INVALID, "/x~0y", "is required"},
    {BODY("{\"name\":\"A\",\"e/mail\":null,\"x~y\":1}"), &strict_required, USER_INVALID, "/e~1mail",
     "is required and must not be null"},
    {BODY("{\"name\":null,\"e/mail\":1,\"x~y\":1}"), &strict_required, USER_INVALID, "/name",
     "must be a string"},
    {BODY("{\"x\":{\"name\":1}}"), &relaxed_required, USER_INVALID, "/name", "is required"},
    {BODY("{\"name\":null}"), &relaxed_required, USER_INVALID, "/name",
     "is required and must not be null"},
};

static void rows_are_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        expect(rows[i].body, rows[i].rules, rows[i].result, rows[i].pointer, rows[i].detail);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
