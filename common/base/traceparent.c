/* Whether a traceparent has the form of version 00. */
#include "common/base/traceparent.h"

/* The standard allows lower case only, and calls all zeros invalid where there is an id. */
static bool is_hex_field(struct slice text, size_t start, size_t length, bool zero_is_valid)
{
    bool zero = true;
    for (size_t i = start; i < start + length; i++) {
        char digit = text.data[i];
        if (!((digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f'))) {
            return false;
        }
        zero = zero && digit == '0';
    }
    return zero_is_valid || !zero;
}

bool traceparent_is_valid(struct slice text)
{
    return text.length == TRACEPARENT_BYTES && memcmp(text.data, "00-", 3) == 0 &&
           is_hex_field(text, 3, 32, false) && text.data[35] == '-' &&
           is_hex_field(text, 36, 16, false) && text.data[52] == '-' &&
           is_hex_field(text, 53, 2, true);
}
