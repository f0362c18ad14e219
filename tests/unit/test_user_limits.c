/* How much a user may hold: lengths, members, depth; and how problems are told. */
#include "tests/support/expect_user.h"

static const struct user_rules strict = {.strict = true,
                                         .refused_members = USER_REFUSED_MEMBERS_DEFAULT};

/* `head`, `count` times `piece`, `tail`. */
static void expect_repeated(const char *head, const char *piece, size_t count, const char *tail,
                            enum user_result result, const char *pointer, const char *detail)
{
    struct buffer json;
    buffer_init(&json, LIMIT_BYTES);
    buffer_append_text(&json, head);
    for (size_t i = 0; i < count; i++) {
        buffer_append_text(&json, piece);
    }
    buffer_append_text(&json, tail);
    assert_false(json.failed);
    expect(buffer_slice(&json), &strict, result, pointer, detail);
    buffer_done(&json);
}

static void lengths_are_in_characters(void **state)
{
    (void)state;
    static const struct length_row {
        const char *head;
        const char *piece;
        size_t count;
        const char *tail;
        const char *pointer; /* NULL: accepted */
        const char *detail;
    } length_rows[] = {
        {"{\"id\":\"", "x", 128, "\"}", NULL, NULL},
        {"{\"id\":\"", "x", 129, "\"}", "/id", "has more than 128 characters"},
        {"{\"id\":\"", "\xe2\x82\xac", 128, "\"}", NULL, NULL},
        {"{\"id\":\"", "\xe2\x82\xac", 129, "\"}", "/id", "has more than 128 characters"},
        {"{\"name\":\"", "\xf0\x9f\x98\x80", 200, "\"}", NULL, NULL},
        {"{\"name\":\"", "\\ud83d\\ude00", 200, "\"}", NULL, NULL},
        {"{\"name\":\"", "\\ud83d\\ude00", 201, "\"}", "/name", "has more than 200 characters"},
        {"{\"username\":\"", "\xc3\xa9", 200, "\"}", NULL, NULL},
        {"{\"username\":\"", "\xc3\xa9", 201, "\"}", "/username", "has more than 200 characters"},
        {"{\"email\":\"a@", "b", 252, "\"}", NULL, NULL},
        {"{\"email\":\"a@", "b", 253, "\"}", "/email", "has more than 254 bytes"},
        {"{\"email\":\"a@", "\xc3\xa9", 126, "\"}", NULL, NULL},
        {"{\"email\":\"a@", "\xc3\xa9", 127, "\"}", "/email", "has more than 254 bytes"},
        {"{\"id\":1,\"x\":\"", "y", 60000, "\"}", NULL, NULL},
        {"{\"id\":1,\"x\":[0", ",0", 1023, "]}", NULL, NULL},
        {"{\"id\":1,\"x\":[0", ",0", 1024, "]}", "/x", "has more than 1024 elements"},
    };
    for (size_t i = 0; i < COUNT(length_rows); i++) {
        const struct length_row *row = &length_rows[i];
        expect_repeated(row->head, row->piece, row->count, row->tail,
                        row->pointer == NULL ? USER_OK : USER_INVALID, row->pointer, row->detail);
    }
}

static void members_are_bounded(void **state)
{
    (void)state;
    for (int nested = 0; nested < 2; nested++) {
        for (int count = USER_MEMBERS_MAX; count <= USER_MEMBERS_MAX + 1; count++) {
            struct buffer json;
            buffer_init(&json, LIMIT_BYTES);
            buffer_append_text(&json, nested ? "{\"id\":1,\"x\":{\"id\":1" : "{\"id\":1");
            for (int i = 1; i < count; i++) {
                char member[32];
                (void)snprintf(member, sizeof(member), ",\"m%d\":%d", i, i);
                buffer_append_text(&json, member);
            }
            buffer_append_text(&json, nested ? "}}" : "}");
            bool fits = count <= USER_MEMBERS_MAX;
            expect(buffer_slice(&json), &strict, fits ? USER_OK : USER_INVALID, nested ? "/x" : "",
                   "has more than 64 members");
            buffer_done(&json);
        }
    }
}

static void assigned_id_is_counted(void **state)
{
    (void)state;
    for (int count = USER_MEMBERS_MAX - 1; count <= USER_MEMBERS_MAX; count++) {
        struct buffer json;
        buffer_init(&json, LIMIT_BYTES);
        buffer_append_text(&json, "{\"name\":\"Ada\"");
        for (int i = 1; i < count; i++) {
            buffer_append_format(&json, ",\"m%d\":%d", i, i);
        }
        buffer_append_text(&json, "}");
        bool fits = count < USER_MEMBERS_MAX;
        expect(buffer_slice(&json), &strict, fits ? USER_OK : USER_INVALID, "",
               "has more than 64 members");
        buffer_done(&json);
    }
}

static void expect_depth(const char *open, const char *close, size_t levels,
                         enum user_result result, const char *pointer, const char *detail)
{
    struct buffer json;
    buffer_init(&json, LIMIT_BYTES);
    buffer_append_text(&json, "{\"id\":1,\"x\":");
    for (size_t i = 0; i < levels; i++) {
        buffer_append_text(&json, open);
    }
    buffer_append_text(&json, "1");
    for (size_t i = 0; i < levels; i++) {
        buffer_append_text(&json, close);
    }
    buffer_append_text(&json, "}");
    expect(buffer_slice(&json), &strict, result, pointer, detail);
    buffer_done(&json);
}

static void depth_is_bounded(void **state)
{
    (void)state;
    expect_depth("[", "]", 7, USER_OK, NULL, NULL);
    expect_depth("[", "]", 8, USER_INVALID, "/x/0/0/0/0/0/0/0", "is deeper than 8 levels");
    expect_depth("{\"a\":", "}", 7, USER_OK, NULL, NULL);
    expect_depth("{\"a\":", "}", 8, USER_INVALID, "/x/a/a/a/a/a/a/a", "is deeper than 8 levels");
    expect_depth("[", "]", 2000, USER_INVALID, "/x/0/0/0/0/0/0/0", "is deeper than 8 levels");
    expect_depth("[", "]", 16384, USER_NOT_PORTABLE, "",
                 "line 1, column 2060: maximum parsing depth reached");
    expect_depth("[", "", 16384, USER_MALFORMED, "", "line 1, column 16398: invalid syntax");
}

static void long_pointers_are_cut_between_characters(void **state)
{
    (void)state;
    char expected[USER_POINTER_BYTES + 8];
    static const struct cut_row {
        const char *piece;
        const char *shown;
        size_t times; /* of `shown`, in what is left of 252 bytes beside the '/' */
    } cut_rows[] = {
        {"n", "n", 251}, {"\xe2\x82\xac", "\xe2\x82\xac", 83}, {"~", "~0", 125}, {"/", "~1", 125}};
    for (size_t i = 0; i < COUNT(cut_rows); i++) {
        size_t length = 0;
        expected[length++] = '/';
        for (size_t n = 0; n < cut_rows[i].times; n++) {
            length += (size_t)sprintf(expected + length, "%s", cut_rows[i].shown);
        }
        (void)sprintf(expected + length, "...");
        assert_true(strlen(expected) < USER_POINTER_BYTES);
        expect_repeated("{\"id\":1,\"", cut_rows[i].piece, 300, "\":{\"b\":\"\\u0001\"}}",
                        USER_INVALID, expected,
                        "has a control character other than tab and newline");
    }
}

static void at_most_eight_problems_are_told(void **state)
{
    (void)state;
    struct user user;
    struct user_problems problems;
    assert_int_equal(
        user_parse(slice_of("{\"id\":null,\"name\":1,\"email\":2,\"x\":[\"\\r\",\"\\r\","
                            "\"\\r\",\"\\r\",\"\\r\",\"\\r\"],\"token\":1}"),
                   &strict, &user, &problems),
        USER_INVALID);
    assert_int_equal(problems.count, USER_PROBLEMS_MAX);
    assert_string_equal(problems.items[0].pointer, "/id");
    assert_string_equal(problems.items[1].pointer, "/email");
    assert_string_equal(problems.items[2].pointer, "/name");
    assert_string_equal(problems.items[7].pointer, "/x/4");
}

/* More names than the rules' lists are meant to hold: none of them is let through. */
static void refused_names_beyond_the_limit_count(void **state)
{
    (void)state;
    char list[1024];
    size_t length = 0;
    for (int i = 0; i < USER_LIST_NAMES_MAX + 2; i++) {
        length += (size_t)sprintf(list + length, "n%d,", i);
    }
    const struct user_rules rules = {.refused_members = list};
    static const char *const bodies[] = {"{\"n0\":1}", "{\"n63\":1}", "{\"n64\":1}", "{\"n65\":1}"};
    for (size_t i = 0; i < COUNT(bodies); i++) {
        expect(slice_of(bodies[i]), &rules, USER_INVALID, NULL, NULL);
    }
    expect(slice_of("{\"n66\":1}"), &rules, USER_OK, NULL, NULL);
}

/* White space of any kind, which may be invisible, is no part of an address. */
static void no_white_space_in_an_email(void **state)
{
    (void)state;
    static const uint16_t white[] = {0x20,   0xa0,   0x1680, 0x2000, 0x2005, 0x200a,
                                     0x2028, 0x2029, 0x202f, 0x205f, 0x3000};
    static const uint16_t other[] = {0x21,   0xa1,   0x167f, 0x1681, 0x1fff, 0x200b, 0x2027,
                                     0x202a, 0x2030, 0x205e, 0x2060, 0x2fff, 0x3001};
    char body[64];
    for (size_t i = 0; i < COUNT(white); i++) {
        (void)snprintf(body, sizeof(body), "{\"email\":\"a\\u%04xb@c\"}", white[i]);
        expect(slice_of(body), &strict, USER_INVALID, "/email", NULL);
    }
    for (size_t i = 0; i < COUNT(other); i++) {
        (void)snprintf(body, sizeof(body), "{\"email\":\"a\\u%04xb@c\"}", other[i]);
        expect(slice_of(body), &strict, USER_OK, NULL, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_white_space_in_an_email),
        cmocka_unit_test(lengths_are_in_characters),
        cmocka_unit_test(members_are_bounded),
        cmocka_unit_test(assigned_id_is_counted),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(long_pointers_are_cut_between_characters),
        cmocka_unit_test(at_most_eight_problems_are_told),
        cmocka_unit_test(refused_names_beyond_the_limit_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
