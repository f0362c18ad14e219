/* Every character: the 22 digits have their value, and no other has one. */
#include "common/base/hex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <string.h>

static void values(void **state)
{
    (void)state;
    static const char digits[] = "0123456789abcdef";
    for (int c = -128; c < 256; c++) {
        const char *digit = (char)c == '\0' ? NULL : strchr(digits, tolower((unsigned char)c));
        assert_int_equal(hex_digit_value((char)c), digit == NULL ? -1 : (int)(digit - digits));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
