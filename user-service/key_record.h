/* What is remembered of an Idempotency-Key, in memory and in the file of the keys. */
#pragma once

#include "common/base/digest.h"

#include <stdint.h>

enum key_outcome {
    KEY_OUTCOME_UNKNOWN, /* under way, or nobody knows: a repeated request is tried again */
    KEY_OUTCOME_CONFIRMED,
    KEY_OUTCOME_STORED,
    KEY_OUTCOMES,
};

struct key_record {
    unsigned char key[DIGEST_BYTES];   /* of the key: a client may have put an address into it */
    unsigned char value[DIGEST_BYTES]; /* of the key, the type and the value of the body */
    uint64_t order;                    /* a later key has a greater one; 0: no record */
    uint64_t at_ms;                    /* wall clock: when the key came first */
    enum key_outcome outcome;
};

/* A record in its place of the file: it becomes what the place holds. With the order 0 the place
 * becomes empty. */
struct key_change {
    uint32_t place;
    struct key_record record;
};
