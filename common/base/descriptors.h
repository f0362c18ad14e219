/* How many descriptors the process may have open. */
#pragma once

#include <stddef.h>

/* Raises the limit to `wanted` where the system allows it. Returns the limit, which may be lower.
 * Before other threads start. */
size_t descriptors_raise_limit(size_t wanted);
