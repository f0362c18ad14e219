/* application/x-www-form-urlencoded to the text of a JSON object whose members are all strings.
 * Pure. Source: https://url.spec.whatwg.org/#urlencoded-parsing */
#pragma once

#include "common/buffer.h"

/* Appends the object to `json`. A pair without '=' is a member with an empty string; empty pairs
 * are skipped; '+' is a space. OUTCOME_INVALID: a '%' without two hexadecimal digits, a byte that
 * is not UTF-8 or is NUL, or the same name twice. OUTCOME_BUSY: no memory. */
MUST_CHECK enum outcome form_to_json(struct slice form, struct buffer *json,
                                     struct error *ret_error);
