/* What may be in a request's parts, and what must not. */
#include "common/http/http_syntax.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_tokens(void **state)
{
    (void)state;
    assert_true(http_is_token(slice_of("Content-Length")));
    assert_true(http_is_token(slice_of("!#$%&'*+-.^_`|~09azAZ")));
    static const char *const bad[] = {"", "a b", "a:", "a(", "\xc3\xa9", "a\t", "a/b", "\"a\""};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(http_is_token(slice_of(bad[i])));
    }
    assert_false(http_is_token((struct slice){"a\0b", 3}));
}

static void test_field_values(void **state)
{
    (void)state;
    assert_true(http_is_field_value(slice_of("")));
    assert_true(http_is_field_value(slice_of("a\tb \xc3\xa9~")));
    for (int c = 0; c < 0x100; c++) {
        char text[3] = {'a', (char)c, 'b'};
        bool is_control = (c < 0x20 && c != '\t') || c == 0x7f;
        assert_int_equal(http_is_field_value((struct slice){text, 3}), !is_control);
    }
}

static void test_trim_end(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        const char *trimmed;
    } rows[] = {{"", ""},     {" ", ""},      {" \t \t", ""},
                {"a", "a"},   {"a ", "a"},    {"a b\t ", "a b"},
                {" a", " a"}, {"a\n", "a\n"}, {"\xc2\xa0", "\xc2\xa0"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_true(slice_equal(http_trim_end(slice_of(rows[i].value)), slice_of(rows[i].trimmed)));
    }
    assert_int_equal(http_trim_end((struct slice){NULL, 0}).length, 0);
    assert_int_equal(http_trim_end((struct slice){"a\0 ", 3}).length, 2);
}

static void test_lengths(void **state)
{
    (void)state;
    uint64_t length = 7;
    static const char *const bad[] = {"",   "+1",  "-1",  " 1", "1 ",
                                      "0x", "1,1", "1.0", "e",  "1000000000000000000"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(http_parse_length(slice_of(bad[i]), &length));
    }
    assert_int_equal(length, 7);
    assert_true(http_parse_length(slice_of("999999999999999999"), &length));
    assert_int_equal(length, UINT64_C(999999999999999999));
    assert_true(http_parse_length(slice_of("000"), &length));
    assert_int_equal(length, 0);
}

static void test_hosts(void **state)
{
    (void)state;
    static const char *const good[] = {
        "", "x", "x.example", "x:3000", "x:", "[::1]", "[::1]:80", "127.0.0.1", "a_b-c~", "x%20y"};
    static const char *const bad[] = {"a b",  "x/y",    "u@x",     "x,y z", "x:http", "x:1:2",
                                      "[::1", "[::1]x", "[::1]80", "::1",   "x?",     "x#"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(http_is_host(slice_of(good[i])));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(http_is_host(slice_of(bad[i])));
    }
}

static const struct target_row {
    const char *target;
    bool is_good;
    size_t path_offset, plain_length, coded_length;
} target_rows[] = {
    {"/", true, 0, SIZE_MAX, 0},
    {"*", true, 0, SIZE_MAX, 0},
    {"/users?a=/%2F", true, 0, SIZE_MAX, 0},
    {"/users%2fa", true, 0, 6, 7},
    {"/%75sers%2Fa%2Fb?%2F", true, 0, 6, 9},
    {"/%2F", true, 0, 1, 2},
    {"http://x", true, 8, SIZE_MAX, 0},
    {"HTTPS://x:1/a%2Fb", true, 11, 2, 3},
    {"http://x?a", true, 8, SIZE_MAX, 0},
    {"http://", false, 0, 0, 0},
    {"http:///a", false, 0, 0, 0},
    {"http://u@x/a", false, 0, 0, 0},
    {"http://x%2Fy/a", false, 0, 0, 0},
    {"ftp://x/a", false, 0, 0, 0},
    {"users", false, 0, 0, 0},
    {"x:443", false, 0, 0, 0},
    {"**", false, 0, 0, 0},
    {"", false, 0, 0, 0},
    {"/a b", false, 0, 0, 0},
    {"/a\t", false, 0, 0, 0},
    {"/\x7f", false, 0, 0, 0},
    {"/\xc3\xa9", false, 0, 0, 0},
    {"/#a", false, 0, 0, 0},
    {"/%", false, 0, 0, 0},
    {"/%2", false, 0, 0, 0},
    {"/%2g", false, 0, 0, 0},
    {"/?a=%zz", false, 0, 0, 0},
    {"/a%00", false, 0, 0, 0},
};

static void test_targets(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(target_rows) / sizeof(target_rows[0]); i++) {
        const struct target_row *row = &target_rows[i];
        struct http_target checked = http_check_target(row->target);
        print_message("%s\n", row->target);
        assert_int_equal(checked.problem == NULL, row->is_good);
        assert_int_equal(checked.length, strlen(row->target));
        if (row->is_good) {
            assert_int_equal(checked.path_offset, row->path_offset);
            assert_int_equal(checked.plain_length, row->plain_length);
            assert_int_equal(checked.coded_length, row->coded_length);
        }
    }
}

/* `path` is what the library has decoded; NULL: the target has nothing encoded. `part` is what the
 * route's "{id}" stands for, NULL: the path is not the route's. */
static const struct path_row {
    const char *route_path, *target, *path, *part;
} path_rows[] = {
    {"/users", "/users", NULL, ""},
    {"/users", "/users/", NULL, ""},
    {"/users", "/users//", NULL, NULL},
    {"/users", "/user", NULL, NULL},
    {"/users", "/users%2F", "/users/", NULL},
    {"/users/save", "/users%2Fsave", "/users/save", NULL},
    {"/users/{id}", "/users/7", NULL, "7"},
    {"/users/{id}", "/users/", NULL, NULL},
    {"/users/{id}", "/users", NULL, NULL},
    {"/users/{id}", "/users/a/b/", NULL, "a/b/"},
    {"/users/{id}", "/users/%2F", "/users//", "/"},
    {"/users/{id}", "/users%2F7", "/users/7", NULL},
    {"/users/{id}", "/users/%7Bid%7D", "/users/{id}", "{id}"},
    {"/users/{id}/name", "/users/7/name", NULL, "7"},
    {"/users/{id}/name", "/users/7/name/", NULL, "7"},
    {"/users/{id}/name", "/users/7/n%61me", "/users/7/name", "7"},
    {"/users/{id}/name", "/users/a%2Fb/name", "/users/a/b/name", "a/b"},
    {"/users/{id}/name", "/users/a/b/name", NULL, "a/b"},
    {"/users/{id}/name", "/users/%2F/name", "/users///name", "/"},
    {"/users/{id}/name", "/users/name/name", NULL, "name"},
    {"/users/{id}/name", "/users/7%2Fname", "/users/7/name", NULL},
    {"/users/{id}/name", "/users/7/name%2F", "/users/7/name/", NULL},
    {"/users/{id}/name", "/users/7/name//", NULL, NULL},
    {"/users/{id}/name", "/users/7/names", NULL, NULL},
    {"/users/{id}/name", "/users/7", NULL, NULL},
    {"/users/{id}/name", "/users//name", NULL, NULL},
    {"/users/{id}/name", "/users//name/", NULL, NULL},
    {"/users/{id}/name", "/users/name", NULL, NULL},
    {"/users/{id}/name", "/users/", NULL, NULL},
};

static void test_paths(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(path_rows) / sizeof(path_rows[0]); i++) {
        const struct path_row *row = &path_rows[i];
        const char *path = row->path == NULL ? row->target : row->path;
        struct http_target target = http_check_target(row->target);
        struct slice part;
        print_message("%s %s\n", row->route_path, row->target);
        assert_int_equal(http_path_matches(row->route_path, path, &target, &part),
                         row->part != NULL);
        if (row->part != NULL) {
            assert_true(slice_equal(part, slice_of(row->part)));
        }
    }
    assert_true(http_path_lacks_part("/users/{id}", "/users/"));
    assert_true(http_path_lacks_part("/users/{id}/name", "/users/"));
    assert_false(http_path_lacks_part("/users/{id}", "/users"));
    assert_false(http_path_lacks_part("/users/{id}", "/users/7"));
    assert_false(http_path_lacks_part("/users/", "/users/"));
}

static void origins(void **state)
{
    (void)state;
    static const char *const good[] = {"https://a.example", "http://localhost:8080",
                                       "http://[::1]:1", "capacitor://localhost", "a+b-c.d://x"};
    static const char *const bad[] = {
        "",         "*",          "null",        "a.example",   "://a",        "https://",
        "https:/a", "https://a/", "https://a/b", "https://a?b", "https://a:x", "https://:80",
        "+a://b",   "https//a",   "ht tp://a",   "https://a b"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (!http_is_origin(slice_of(good[i]))) {
            fail_msg("%s", good[i]);
        }
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (http_is_origin(slice_of(bad[i]))) {
            fail_msg("%s", bad[i]);
        }
    }
}

static void the_origin_of_a_host(void **state)
{
    (void)state;
    static const struct {
        const char *origin, *host;
        bool is_own;
    } rows[] = {
        {"http://a.example", "a.example", true},
        {"https://A.example", "a.EXAMPLE", true},
        {"http://a.example:3000", "a.example:3000", true},
        {"http://a.example:80", "a.example", true},
        {"http://a.example", "a.example:80", true},
        {"https://a.example:443", "a.example", true},
        {"http://[::1]:3000", "[::1]:3000", true},
        {"http://a.example:443", "a.example", false},
        {"https://a.example", "a.example:80", false},
        {"http://a.example:3000", "a.example", false},
        {"http://a.example", "a.example:3000", false},
        {"http://a.example:8080", "a.example:80", false},
        {"http://evil.example", "a.example", false},
        {"http://a.example.evil", "a.example", false},
        {"http://evil.a.example", "a.example", false},
        {"null", "null", false},
        {"http://", "", false},
        {"", "", false},
        {"a.example", "a.example", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (http_is_origin_of(slice_of(rows[i].origin), slice_of(rows[i].host)) != rows[i].is_own) {
            fail_msg("%s of %s", rows[i].origin, rows[i].host);
        }
    }
}

static void request_ids(void **state)
{
    (void)state;
    char longest[HTTP_REQUEST_ID_BYTES_MAX + 1];
    memset(longest, '~', sizeof(longest));
    assert_true(http_is_request_id(slice_of("!a~")));
    assert_true(http_is_request_id((struct slice){longest, HTTP_REQUEST_ID_BYTES_MAX}));
    assert_false(http_is_request_id((struct slice){longest, HTTP_REQUEST_ID_BYTES_MAX + 1}));
    static const char *const bad[] = {"", "a b", "a\t", "a\x7f", "\xc3\xa4"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(http_is_request_id(slice_of(bad[i])));
    }
}

static void lists(void **state)
{
    (void)state;
    const char *list = " , a,\tb c ,,d\t, ";
    static const char *const items[] = {"a", "b c", "d"};
    struct slice item;
    for (size_t i = 0; i < 3; i++) {
        assert_true(http_next_item(&list, &item));
        assert_true(slice_equal(item, slice_of(items[i])));
    }
    assert_false(http_next_item(&list, &item));
    assert_false(http_next_item(&list, &item));
    list = NULL;
    assert_false(http_next_item(&list, &item));
    assert_true(http_list_has("x, /A ,y", slice_of("/a")));
    assert_false(http_list_has("x,/ab", slice_of("/a")));
    assert_false(http_list_has("", slice_of("")));
    assert_false(http_list_has(NULL, slice_of("a")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_field_values),
        cmocka_unit_test(test_trim_end),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(origins),
        cmocka_unit_test(the_origin_of_a_host),
        cmocka_unit_test(request_ids),
        cmocka_unit_test(lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
