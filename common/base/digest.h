/* SHA-256 of what is compared or looked up later, and never of what must stay secret for long. */
#pragma once

#include "common/base/error.h"
#include "common/base/slice.h"

enum { DIGEST_BYTES = 32 };

/* Makes OpenSSL ready, for everybody in this process. A service calls it before its first thread:
 * OpenSSL 3 crashes later where memory was short when it was first used. BUSY: not now, or not at
 * all. */
MUST_CHECK enum outcome digest_init(struct error *ret_error);

/* BUSY: no memory. Any thread. */
MUST_CHECK enum outcome digest_of(struct slice bytes, unsigned char ret_digest[DIGEST_BYTES],
                                  struct error *ret_error);

enum { DIGEST_TEXT_BYTES = 2 * DIGEST_BYTES + 1 };

/* Lower-case hexadecimal digits and a NUL. */
void digest_text(const unsigned char digest[DIGEST_BYTES], char ret_text[DIGEST_TEXT_BYTES]);
