/* SHA-256 digests of data that is compared or looked up later. They do not protect data that must
 * stay secret for long. */
#pragma once

#include "common/base/error.h"
#include "common/base/slice.h"

enum { DIGEST_BYTES = 32 };

/* Initializes OpenSSL for the whole process. A service must call it before it starts its first
 * thread: if memory is short when OpenSSL 3 is first used, it crashes later. BUSY: not now, or
 * never. */
MUST_CHECK enum outcome digest_init(struct error *ret_error);

/* BUSY: no memory. Any thread. */
MUST_CHECK enum outcome digest_of(struct slice bytes, unsigned char ret_digest[DIGEST_BYTES],
                                  struct error *ret_error);

enum { DIGEST_TEXT_BYTES = 2 * DIGEST_BYTES + 1 };

/* Lower-case hexadecimal digits and a NUL. */
void digest_text(const unsigned char digest[DIGEST_BYTES], char ret_text[DIGEST_TEXT_BYTES]);
