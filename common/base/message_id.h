/* UUIDv7 (RFC 9562) message and user ids from a pool of random bytes: one getrandom() for many ids.
 */
#pragma once

#include "common/base/error.h"
#include "common/base/slice.h"

#include <stddef.h>
#include <stdint.h>

enum { MESSAGE_ID_TEXT_BYTES = 37, MESSAGE_ID_POOL_BYTES = 4096 };

/* One thread's generator; zero it to begin. */
struct message_id_generator {
    unsigned char pool[MESSAGE_ID_POOL_BYTES];
    size_t left_bytes;
    uint64_t last_ms, last_low; /* of the last id: its time, and its last 8 bytes */
    uint16_t last_high;         /* the 12 bits between them */
};

/* Writes an id that the same key and text always give, and others not (UUIDv5, twice). What is sent
 * again must be the same to the byte, the assigned id included. */
void message_id_derive(struct slice key, struct slice text, char ret_text[MESSAGE_ID_TEXT_BYTES]);

/* Writes 36 lower-case characters and a NUL. Each sorts after the one before of the same
 * generator, also when the clock stands or is set back. Fails (transient) only where getrandom()
 * does. */
MUST_CHECK enum outcome message_id_generate(struct message_id_generator *generator,
                                            uint64_t wall_ms, char ret_text[MESSAGE_ID_TEXT_BYTES],
                                            struct error *ret_error);
