/* UUIDv7 (RFC 9562) message and user ids from a pool of random bytes: one getrandom() for many ids.
 */
#pragma once

#include "common/base/error.h"
#include "common/base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MESSAGE_ID_TEXT_BYTES = 37, MESSAGE_ID_POOL_BYTES = 4096 };

/* The generator of one thread. Zero it to begin. */
struct message_id_generator {
    unsigned char pool[MESSAGE_ID_POOL_BYTES];
    size_t left_bytes;
    uint64_t last_ms, last_low; /* of the last id: its time, and its last 8 bytes */
    uint16_t last_high;         /* the 12 bits between them */
};

/* Derives an id from `key` and `text` (UUIDv5, applied twice). The same input always gives the same
 * id, and other input gives another id. A repeated request must produce the same message to the
 * byte, including the id that was assigned to the user. */
void message_id_derive(struct slice key, struct slice text, char ret_text[MESSAGE_ID_TEXT_BYTES]);

/* Writes 36 lower-case characters and a NUL. Each id sorts after the one before of the same
 * generator, also when the clock stands still or is set back. TRANSIENT: getrandom() failed. */
MUST_CHECK enum outcome message_id_generate(struct message_id_generator *generator,
                                            uint64_t wall_ms, char ret_text[MESSAGE_ID_TEXT_BYTES],
                                            struct error *ret_error);

/* Writes the id that goes with an id of message_id_generate(): always the same one, of the same
 * time, and of no other id. False: `message_id` is not of that form. */
MUST_CHECK bool message_id_pair(struct slice message_id, char ret_text[MESSAGE_ID_TEXT_BYTES]);

/* Whether message_id_generate() may have written it at that time: a UUIDv7 of that millisecond. */
MUST_CHECK bool message_id_is_of(struct slice message_id, uint64_t wall_ms);
