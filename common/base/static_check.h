/* A check of a C type inside an expression, for the macros that make the rows of tables. */
#pragma once

/* The value is 0 if the expression has the type. If not, the code does not compile. The message is
 * a literal. */
#define STATIC_CHECK_TYPE(expression, type, message)                                               \
    (0 * sizeof(struct {                                                                           \
         _Static_assert(_Generic((expression), __typeof__(type) : 1, default : 0), message);       \
         char unused;                                                                              \
     }))
