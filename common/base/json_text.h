/* JSON as text: without its insignificant white space, and strings with their escapes. Pure. */
#pragma once

#include "common/base/buffer.h"

/* Appends `json`, which a parser has found valid, without the white space between its tokens.
 * Numbers, strings and escapes stay byte for byte. */
void json_text_append_compact(struct slice json, struct buffer *buffer);

/* Appends the inside of the quotes of a JSON string: `text` with '"', '\' and C0 escaped. */
void json_text_append_escaped(struct slice text, struct buffer *buffer);
