/* The one form of a traceparent that is taken. */
#include "common/base/traceparent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void traceparents(void **state)
{
    (void)state;
#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"
#define ZEROS16 "0000000000000000"
    static const struct trace_row {
        const char *text;
        bool valid;
    } rows[] = {
        {"00-" TRACE "-" SPAN "-01", true},
        {"00-" TRACE "-" SPAN "-00", true},
        {"00-" TRACE "-" SPAN "-ff", true},
        {"", false},
        {"00-" TRACE "-" SPAN "-0", false},
        {"00-" TRACE "-" SPAN "-011", false},
        {"01-" TRACE "-" SPAN "-01", false},
        {"00_" TRACE "-" SPAN "-01", false},
        {"00-" TRACE "_" SPAN "-01", false},
        {"00-" TRACE "-" SPAN "_01", false},
        {"00-" TRACE "-" SPAN "-0g", false},
        {"00-" TRACE "-" SPAN "-FF", false},
        {"00-0AF7651916cd43dd8448eb211c80319c-" SPAN "-01", false},
        {"00-:af7651916cd43dd8448eb211c80319c-" SPAN "-01", false},
        {"00-0af7651916cd43dd8448eb211c80319 -" SPAN "-01", false},
        {"00-" TRACE "-b7ad6b716920333`-01", false},
        {"00-" ZEROS16 ZEROS16 "-" SPAN "-01", false},
        {"00-" TRACE "-" ZEROS16 "-01", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (traceparent_is_valid(slice_of(rows[i].text)) != rows[i].valid) {
            fail_msg("%s", rows[i].text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(traceparents)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
