/* The bearer tokens that may use the HTTP routes: a set that is read from a file.
 *
 * Only digests are kept. A check compares with every token in the same time, whatever is given. */
#pragma once

#include "common/base/error.h"
#include "common/base/slice.h"

#include <stdbool.h>

enum { AUTH_TOKENS_MAX = 64, AUTH_TOKEN_BYTES_MIN = 16, AUTH_TOKEN_BYTES_MAX = 512 };

struct auth_tokens;

/* One token on a line, of visible ASCII; blank lines and those that begin with '#' are skipped, and
 * so are a byte order mark and the blanks around a token.
 * INVALID names the file and what is wrong with it, never what it holds. Any thread. */
MUST_CHECK enum outcome auth_tokens_read(const char *path, struct auth_tokens **ret_tokens,
                                         struct error *ret_error);

size_t auth_tokens_count(const struct auth_tokens *tokens);

/* Returns owned; NULL: no memory. */
MUST_CHECK struct auth_tokens *auth_tokens_copy(const struct auth_tokens *tokens);

/* Whether both have the same tokens, in whatever order. NULL has none. */
bool auth_tokens_equal(const struct auth_tokens *one, const struct auth_tokens *other);

/* Whether the value of an Authorization header is "Bearer " and one of the tokens. */
bool auth_tokens_allow(const struct auth_tokens *tokens, struct slice authorization);

/* NULL is fine. */
void auth_tokens_free(struct auth_tokens *tokens);
