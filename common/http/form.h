/* application/x-www-form-urlencoded to the text of a JSON object whose members are all strings.
 * Pure. Source: https://url.spec.whatwg.org/#urlencoded-parsing */
#pragma once

#include "common/base/buffer.h"

/* More than a user may have members; bounds the search for repeated names. */
enum { FORM_PAIRS_MAX = 256 };

/* Appends the object to `json`. A pair without '=' is a member with an empty string; empty pairs
 * are skipped; '+' is a space, and CR LF a newline. OUTCOME_INVALID: a '%' without two hexadecimal
 * digits, a byte that is not UTF-8 or is NUL, the same name twice, or more than FORM_PAIRS_MAX
 * pairs. OUTCOME_BUSY: no memory. On failure `json` has the length it had. */
MUST_CHECK enum outcome form_to_json(struct slice form, struct buffer *json,
                                     struct error *ret_error);
