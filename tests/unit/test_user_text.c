/* The text of a user on the queue, in a log, and as a key. */
#include "tests/support/expect_user.h"

static void any_object_asks_for_an_object_only(void **state)
{
    (void)state;
    static const struct any_row {
        const char *body;
        enum user_result result;
    } any_rows[] = {
        {"{}", USER_OK},
        {"{\"password\":\"\\u0001\",\"id\":{}}", USER_OK},
        {"{\"a\":1,\"a\":2}", USER_OK},
        {"{\"a\":[[[[[[[[[[[[1]]]]]]]]]]]]}", USER_OK},
        {"[]", USER_NOT_AN_OBJECT},
        {"null", USER_NOT_AN_OBJECT},
        {"", USER_MALFORMED},
        {"{", USER_MALFORMED},
        {"{\"a\":1e999}", USER_NUMBER_OUT_OF_RANGE},
        {"{\"a\":\"\\u0000\"}", USER_NOT_PORTABLE},
    };
    for (size_t i = 0; i < COUNT(any_rows); i++) {
        struct user user;
        struct user_problems problems;
        assert_int_equal(user_parse_any_object(slice_of(any_rows[i].body), &user, &problems),
                         any_rows[i].result);
        assert_int_equal(user.root != NULL, any_rows[i].result == USER_OK);
        assert_int_equal(problems.count, any_rows[i].result == USER_OK ? 0 : 1);
        if (i == 2) {
            assert_int_equal(json_integer_value(json_object_get(user.root, "a")), 2);
        }
        user_done(&user);
    }
}

typedef void append_function(const struct user *user, const char *id, struct buffer *json);

static void append_redacted(const struct user *user, const char *id, struct buffer *json)
{
    (void)id;
    user_append_redacted(user, json);
}

struct text_row {
    const char *body;
    const char *id;
    const char *text;
};

static void expect_text(const struct text_row *row, append_function *append)
{
    struct user user;
    struct user_problems problems;
    assert_int_equal(user_parse_any_object(slice_of(row->body), &user, &problems), USER_OK);
    struct buffer json;
    buffer_init(&json, LIMIT_BYTES);
    append(&user, row->id, &json);
    json_t *parsed = json_loadb(json.data, json.length, 0, NULL);
    if (parsed == NULL) {
        fail_msg("%s: not JSON: %.*s", row->body, (int)json.length, json.data);
    }
    json_decref(parsed);
    buffer_append_byte(&json, '\0');
    assert_string_equal(json.data, row->text);
    buffer_done(&json);

    /* Where the result just fits it is there; with one byte less the failure is told. */
    buffer_init(&json, strlen(row->text));
    append(&user, row->id, &json);
    assert_false(json.failed);
    buffer_done(&json);
    buffer_init(&json, strlen(row->text) - 1);
    append(&user, row->id, &json);
    assert_true(json.failed);
    buffer_done(&json);
    user_done(&user);
}

static void text_is_the_clients_own(void **state)
{
    (void)state;
    static const struct text_row text_rows[] = {
        {"{}", "u", "{\"id\":\"u\"}"},
        {" \n{ \t} ", "u", "{\"id\":\"u\"}"},
        {"{ \"a\":1}", "u", "{\"id\":\"u\",\"a\":1}"},
        {"\r\n{\n  \"a\" : 1 ,\n  \"b\" : [ 1 , 2 ]\n}\n", "u",
         "{\"id\":\"u\",\"a\":1,\"b\":[1,2]}"},
        {"{}", NULL, "{}"},
        {"{ \"a\" : 1 }", NULL, "{\"a\":1}"},
        {"{\"id\":7}", "u", "{\"id\":7}"},
        {"{\"a\":1, \"id\":null}", "u", "{\"a\":1,\"id\":null}"},
        {"{\"a\":1,\"\\u0069d\":\"x\"}", "u", "{\"a\":1,\"\\u0069d\":\"x\"}"},
        {"{\"x\":{\"id\":1}}", "u", "{\"id\":\"u\",\"x\":{\"id\":1}}"},
        {"{\"a\":1.10,\"b\":1E+2,\"c\":-0,\"d\":1e-999,\"e\":0.1000000000000000055511151231257827}",
         NULL,
         "{\"a\":1.10,\"b\":1E+2,\"c\":-0,\"d\":1e-999,\"e\":0."
         "1000000000000000055511151231257827}"},
        {"{\"a b\" : \" { } : , \\\" [ \\\\\" , \"c\":\"\\\\\\\" \"}", NULL,
         "{\"a b\":\" { } : , \\\" [ \\\\\",\"c\":\"\\\\\\\" \"}"},
        {"{\"a\":\"\\u00e9 \xc3\xa9 \\/ \\ud83d\\ude00 \xe2\x80\xae\"}", NULL,
         "{\"a\":\"\\u00e9 \xc3\xa9 \\/ \\ud83d\\ude00 \xe2\x80\xae\"}"},
        {"{\"a\":1, \"a\":2}", NULL, "{\"a\":1,\"a\":2}"},
        {"{\"{\": 1}", "u", "{\"id\":\"u\",\"{\":1}"},
    };
    for (size_t i = 0; i < COUNT(text_rows); i++) {
        expect_text(&text_rows[i], user_append_text);
    }
}

static void redacted_shows_no_personal_data(void **state)
{
    (void)state;
    static const struct text_row text_rows[] = {
        {"{}", NULL, "{}"},
        {"{\"id\":7,\"name\":\"Ada\",\"email\":\"ada@example.org\",\"username\":\"lace\"}", NULL,
         "{\"id\":7,\"name\":\"A***\",\"email\":\"a***@e***\",\"username\":\"l***\"}"},
        {"{\"name\":\"\xc3\x89mile\",\"username\":\"\xf0\x9f\x98\x80x\",\"email\":\"\xe2\x82\xac"
         "x@\xc3\xa9.fr\"}",
         NULL,
         "{\"name\":\"\xc3\x89***\",\"username\":\"\xf0\x9f\x98\x80***\",\"email\":\"\xe2\x82\xac"
         "***@\xc3\xa9***\"}"},
        {"{\"ada@example.org\":1,\"\":2}", NULL, "{\"***\":\"***\",\"\":\"***\"}"},
        {"{\"a@b\":1,\"***\":2,\"x\":3,\"c@d\":4}", NULL, "{\"***\":\"***\",\"x\":\"***\"}"},
        {"{\"name\":\"\",\"email\":\"\",\"username\":\"\\\"x\"}", NULL,
         "{\"name\":\"***\",\"email\":\"***\",\"username\":\"\\\"***\"}"},
        {"{\"name\":\"\\\\x\",\"username\":\"\\nx\"}", NULL,
         "{\"name\":\"\\\\***\",\"username\":\"\\n***\"}"},
        {"{\"email\":\"ada\"}", NULL, "{\"email\":\"a***\"}"},
        {"{\"email\":\"@\"}", NULL, "{\"email\":\"***@***\"}"},
        {"{\"email\":\"a@secret@d\"}", NULL, "{\"email\":\"a***@d***\"}"},
        {"{\"name\":5,\"email\":[\"a\"],\"username\":null}", NULL,
         "{\"name\":\"***\",\"email\":\"***\",\"username\":\"***\"}"},
        {"{\"phone\":\"1\",\"born\":1815,\"x\":{\"name\":\"Ada\"},\"y\":[1],\"z\":null}", NULL,
         "{\"phone\":\"***\",\"born\":\"***\",\"x\":\"***\",\"y\":\"***\",\"z\":\"***\"}"},
        {"{\"id\":\"ada@example.org\"}", NULL, "{\"id\":\"***\"}"},
        {"{\"id\":\"a\\\"b\\\\\\u0001\"}", NULL, "{\"id\":\"a\\\"b\\\\\\u0001\"}"},
        {"{\"id\":-12}", NULL, "{\"id\":-12}"},
        {"{\"id\":1.5}", NULL, "{\"id\":1.5}"},
        {"{\"id\":true}", NULL, "{\"id\":true}"},
        {"{\"id\":null}", NULL, "{\"id\":null}"},
        {"{\"id\":{\"a\":\"b\"}}", NULL, "{\"id\":\"***\"}"},
        {"{\"id\":[1]}", NULL, "{\"id\":\"***\"}"},
        {"{\"a\\\"b\\\\\\n\":1,\"\":2}", NULL, "{\"a\\\"b\\\\\\n\":\"***\",\"\":\"***\"}"},
    };
    for (size_t i = 0; i < COUNT(text_rows); i++) {
        expect_text(&text_rows[i], append_redacted);
    }
}

static void id_is_text_where_it_is_a_key(void **state)
{
    (void)state;
    static const struct id_row {
        const char *body;
        const char *id; /* NULL: none */
    } id_rows[] = {
        {"{\"id\":\"abc\"}", "abc"},
        {"{\"id\":\"\"}", ""},
        {"{\"id\":0}", "0"},
        {"{\"id\":-9223372036854775808}", "-9223372036854775808"},
        {"{\"id\":9223372036854775807}", "9223372036854775807"},
        {"{\"id\":1.5}", NULL},
        {"{\"id\":null}", NULL},
        {"{\"id\":{}}", NULL},
        {"{\"name\":\"x\"}", NULL},
    };
    for (size_t i = 0; i < COUNT(id_rows); i++) {
        struct user user;
        struct user_problems problems;
        char scratch[24];
        struct slice id;
        assert_int_equal(user_parse_any_object(slice_of(id_rows[i].body), &user, &problems),
                         USER_OK);
        assert_int_equal(user_id_text(&user, scratch, &id), id_rows[i].id != NULL);
        if (id_rows[i].id != NULL) {
            assert_true(slice_equal(id, slice_of(id_rows[i].id)));
        }
        user_done(&user);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_object_asks_for_an_object_only),
        cmocka_unit_test(text_is_the_clients_own),
        cmocka_unit_test(redacted_shows_no_personal_data),
        cmocka_unit_test(id_is_text_where_it_is_a_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
