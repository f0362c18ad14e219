/* Digests, against the vectors of FIPS 180. */
#include "common/base/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
