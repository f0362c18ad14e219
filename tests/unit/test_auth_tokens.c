/* Token files: what is accepted, what is refused in which words, and who is allowed. */
#include "common/http/auth_tokens.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/test-auth-tokens-XXXXXX";

static enum outcome read_text(const char *text, struct auth_tokens **ret_tokens,
                              struct error *ret_error)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
    return auth_tokens_read(path, ret_tokens, ret_error);
}

static bool allows(const struct auth_tokens *tokens, const char *header)
{
    return auth_tokens_allow(tokens, slice_of(header));
}

static void tokens_of_a_file(void **state)
{
    (void)state;
    struct auth_tokens *tokens = NULL;
    struct error error;
    assert_int_equal(read_text("\xef\xbb\xbf# who\n first-token-00000 \t\r\n \r\nsecond-token-1111",
                               &tokens, &error),
                     OUTCOME_OK);
    assert_int_equal(auth_tokens_count(tokens), 2);
    assert_true(allows(tokens, "Bearer first-token-00000"));
    assert_true(allows(tokens, "bearer  second-token-1111"));
    static const char *const refused[] = {
        "",
        "Bearer",
        "Bearer ",
        "Bearer first-token-0000",
        "Bearer first-token-000000",
        "Bearer # who",
        "Basic first-token-00000",
        "first-token-00000",
        "Bearer first-token-00000 ",
        "Bearer first-token-00000,second-token-1111",
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        assert_false(allows(tokens, refused[i]));
    }
    auth_tokens_free(tokens);
}

static void bad_files_are_named_and_not_shown(void **state)
{
    (void)state;
    static const struct {
        const char *text, *named;
    } rows[] = {
        {"", "holds no token"},
        {"# nobody\n\n", "holds no token"},
        {"too-short-s3cret\ns3cret", "line 2"},
        {"a-token-with a blank s3cret", "line 1"},
        {"a-token-with-a-\x01-s3cret", "line 1"},
        {"a-token-that-is-no-ascii-s3cret\xc3\xa4", "line 1"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct auth_tokens *tokens = NULL;
        struct error error;
        assert_int_equal(read_text(rows[i].text, &tokens, &error), OUTCOME_INVALID);
        assert_non_null(strstr(error.text, rows[i].named));
        assert_non_null(strstr(error.text, path));
        assert_null(strstr(error.text, "s3cret"));
        assert_null(tokens);
    }
    struct auth_tokens *tokens = NULL;
    struct error error;
    assert_int_equal(auth_tokens_read("/nonexistent/tokens", &tokens, &error), OUTCOME_INVALID);
    assert_int_equal(auth_tokens_read("/", &tokens, &error), OUTCOME_INVALID);
}

static void the_same_tokens(void **state)
{
    (void)state;
    struct error error;
    static const char *const texts[] = {
        "first-token-00000\nsecond-token-1111\n",
        "# in another order, and twice\nsecond-token-1111\nfirst-token-00000\nfirst-token-00000\n",
        "first-token-00000\n",
        "first-token-00000\nthird-token-22222\n",
    };
    struct auth_tokens *tokens[4];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(read_text(texts[i], &tokens[i], &error), OUTCOME_OK);
    }
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) {
            bool are_same = i == j || i + j == 1;
            assert_int_equal(auth_tokens_equal(tokens[i], tokens[j]), are_same);
        }
        assert_false(auth_tokens_equal(tokens[i], NULL));
        assert_false(auth_tokens_equal(NULL, tokens[i]));
        struct auth_tokens *copy = auth_tokens_copy(tokens[i]);
        assert_true(auth_tokens_equal(copy, tokens[i]));
        auth_tokens_free(copy);
    }
    assert_true(auth_tokens_equal(NULL, NULL));
    for (int i = 0; i < 4; i++) {
        auth_tokens_free(tokens[i]);
    }
}

static void lengths_and_numbers(void **state)
{
    (void)state;
    struct error error;
    struct auth_tokens *tokens = NULL;
    char text[(AUTH_TOKEN_BYTES_MIN + 1) * (AUTH_TOKENS_MAX + 1) + AUTH_TOKEN_BYTES_MAX + 8];
    memset(text, 'x', AUTH_TOKEN_BYTES_MAX + 1);
    text[AUTH_TOKEN_BYTES_MAX + 1] = '\0';
    assert_int_equal(read_text(text, &tokens, &error), OUTCOME_INVALID);
    assert_int_equal(read_text(text + 1, &tokens, &error), OUTCOME_OK);
    auth_tokens_free(tokens);

    char *end = text;
    for (int i = 0; i < AUTH_TOKENS_MAX; i++) {
        end += sprintf(end, "token-%010d\n", i);
    }
    assert_int_equal(read_text(text, &tokens, &error), OUTCOME_OK);
    assert_int_equal(auth_tokens_count(tokens), AUTH_TOKENS_MAX);
    assert_true(allows(tokens, "Bearer token-0000000063"));
    auth_tokens_free(tokens);
    sprintf(end, "token-one-too-many\n");
    assert_int_equal(read_text(text, &tokens, &error), OUTCOME_INVALID);
    assert_non_null(strstr(error.text, "more than"));
}

/* The end of a long line is no line of its own, and so no token. */
static void long_lines(void **state)
{
    (void)state;
    enum { LENGTH = 2 * AUTH_TOKEN_BYTES_MAX };
    static const char token[] = "\nthe-only-token-of-the-file\n";
    struct error error;
    struct auth_tokens *tokens = NULL;
    char text[LENGTH + sizeof(token)];
    memset(text, 'x', LENGTH);
    strcpy(text + LENGTH, token);
    text[0] = '#';
    assert_int_equal(read_text(text, &tokens, &error), OUTCOME_OK);
    assert_int_equal(auth_tokens_count(tokens), 1);
    assert_true(allows(tokens, "Bearer the-only-token-of-the-file"));
    auth_tokens_free(tokens);

    text[0] = 'x';
    assert_int_equal(read_text(text, &tokens, &error), OUTCOME_INVALID);
    assert_non_null(strstr(error.text, "line 1 "));
    memset(text + AUTH_TOKEN_BYTES_MAX, ' ', LENGTH - AUTH_TOKEN_BYTES_MAX - 1);
    assert_int_equal(read_text(text, &tokens, &error), OUTCOME_INVALID);
    assert_non_null(strstr(error.text, "line 1 "));
}

static int make_file(void **state)
{
    (void)state;
    int descriptor = mkstemp(path);
    return descriptor < 0 || close(descriptor) != 0;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_of_a_file), cmocka_unit_test(bad_files_are_named_and_not_shown),
        cmocka_unit_test(the_same_tokens),  cmocka_unit_test(lengths_and_numbers),
        cmocka_unit_test(long_lines),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
