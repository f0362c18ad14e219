/* Hexadecimal digits. Pure; any thread. */
#pragma once

/* Returns the value of a digit in either case, -1 for any other character. */
static inline int hex_digit_value(char c)
{
    char lower = (char)(c | 0x20);
    return c >= '0' && c <= '9' ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}
