/* Whether a text is JSON by the grammar of RFC 8259, and UTF-8. What the text holds does not
 * matter: a number of any size, a member that is there twice and any depth are JSON, although many
 * parsers refuse them. Pure; any thread. */
#pragma once

#include "common/base/error.h"
#include "common/base/slice.h"

/* INVALID: it is not, and *ret_position is the first byte that does not belong to JSON, or the
 * length of a text that ends too early. BUSY: no memory. Takes a byte of memory for each level that
 * is open, and time for each byte of the text. */
MUST_CHECK enum outcome json_syntax_check(struct slice text, size_t *ret_position);
