/* Which charset parameters name another encoding than UTF-8. */
#include "common/base/charset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void charsets(void **state)
{
    (void)state;
    static const struct {
        const char *media_type;
        bool is_utf8;
    } rows[] = {
        {"", true},
        {"application/json", true},
        {"application/json;", true},
        {"application/json; charset=utf-8", true},
        {"application/json ;x=y;CHARSET=\"UTF-8\" ; z", true},
        {"text/plain;charset=us-ascii", true},
        {"text/plain; xcharset=utf-16", true},
        {"charset=utf-16", true},
        {"application/json; charset=utf-16", false},
        {"application/json;charset=utf-16le;charset=utf-8", false},
        {"application/json; charset=\"iso-8859-1\"", false},
        {"application/json; charset=", false},
        {"application/json; charset=utf-8x", false},
        {"application/json; charset=\"", false},
        {";;; ;charset=latin1", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (charset_is_utf8(slice_of(rows[i].media_type)) != rows[i].is_utf8) {
            fail_msg("%s", rows[i].media_type);
        }
    }
    assert_true(charset_is_utf8((struct slice){0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(charsets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
