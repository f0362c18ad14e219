/* JSON as text: without its insignificant white space, and strings with their escapes. Pure. */
#pragma once

#include "common/base/buffer.h"

/* Appends `json`, which a parser has found valid, without the white space between its tokens.
 * Numbers, strings and escapes stay byte for byte. */
void json_text_append_compact(struct slice json, struct buffer *buffer);

/* Returns where a string of valid JSON ends, behind its closing quote. `position` is behind its
 * opening one. */
size_t json_text_skip_string(struct slice json, size_t position);

/* Appends the inside of the quotes of a JSON string: `text` with '"', '\' and C0 escaped. */
void json_text_append_escaped(struct slice text, struct buffer *buffer);
