/* Digests and base64, against the vectors of FIPS 180 and RFC 4648. */
#include "common/base/base64.h"
#include "common/base/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void check_digest(const char *text, const char *expected)
{
    unsigned char digest[DIGEST_BYTES];
    char digits[DIGEST_TEXT_BYTES];
    assert_int_equal(digest_of(slice_of(text), digest, NULL), OUTCOME_OK);
    digest_text(digest, digits);
    assert_string_equal(digits, expected);
}

static void test_digests(void **state)
{
    (void)state;
    check_digest("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_digest("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void check_base64(struct slice bytes, const char *expected)
{
    char *text = base64_text(bytes);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

static void test_base64(void **state)
{
    (void)state;
    check_base64(slice_of(""), "");
    check_base64(slice_of("f"), "Zg==");
    check_base64(slice_of("fo"), "Zm8=");
    check_base64(slice_of("foobar"), "Zm9vYmFy");
    check_base64((struct slice){"\xff\0", 2}, "/wA=");
    assert_null(base64_text((struct slice){"", (size_t)INT32_MAX}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digests),
        cmocka_unit_test(test_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
