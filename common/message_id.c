/* UUIDv7 by hand: 48 bits of milliseconds, version, variant, 74 random bits. */
#include "common/message_id.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <uuid/uuid.h>

enum { TIME_BYTES = 6, RANDOM_BYTES = 10 };

static enum outcome refill(struct message_id_generator *generator, struct error *ret_error)
{
    size_t filled = 0;
    while (filled < sizeof(generator->pool)) {
        /* More than 256 bytes at once may come in parts, or be interrupted. */
        ssize_t count = getrandom(generator->pool + filled, sizeof(generator->pool) - filled, 0);
        if (count < 0 && errno != EINTR) {
            return error_set_errno(ret_error, OUTCOME_TRANSIENT, errno, "cannot get random bytes");
        }
        if (count > 0) {
            filled += (size_t)count;
        }
    }
    generator->left_bytes = filled;
    return OUTCOME_OK;
}

enum outcome message_id_generate(struct message_id_generator *generator, uint64_t wall_ms,
                                 char ret_text[MESSAGE_ID_TEXT_BYTES], struct error *ret_error)
{
    if (generator->left_bytes < RANDOM_BYTES) {
        enum outcome outcome = refill(generator, ret_error);
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
    }
    uuid_t id;
    for (int i = 0; i < TIME_BYTES; i++) {
        id[i] = (unsigned char)(wall_ms >> (8 * (TIME_BYTES - 1 - i)));
    }
    generator->left_bytes -= RANDOM_BYTES;
    memcpy(id + TIME_BYTES, generator->pool + generator->left_bytes, RANDOM_BYTES);
    id[6] = (unsigned char)(0x70 | (id[6] & 0x0f));
    id[8] = (unsigned char)(0x80 | (id[8] & 0x3f));
    uuid_unparse_lower(id, ret_text);
    return OUTCOME_OK;
}

void message_id_derive(struct slice key, struct slice text, char ret_text[MESSAGE_ID_TEXT_BYTES])
{
    /* A name space of this project's own. */
    static const uuid_t space = {0x6f, 0x0b, 0x6c, 0x9e, 0x5d, 0x0f, 0x4c, 0x55,
                                 0x9b, 0x1e, 0x2a, 0x53, 0x0d, 0x7b, 0x84, 0x31};
    uuid_t of_text, id;
    uuid_generate_sha1(of_text, space, text.data, text.length);
    uuid_generate_sha1(id, of_text, key.data, key.length);
    uuid_unparse_lower(id, ret_text);
}
