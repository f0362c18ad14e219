/* UUIDv7 by hand: 48 bits of milliseconds, version, 12 random bits, variant, 62 random bits. Within
 * a millisecond the last 62 grow by a random step (RFC 9562, 6.2, method 2). */
#include "common/base/message_id.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <uuid/uuid.h>

enum { RANDOM_BYTES = 10 };

static const uint64_t low_mask = (UINT64_C(1) << 62) - 1;

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

static void advance(struct message_id_generator *generator, uint64_t wall_ms, uint64_t low,
                    uint16_t high)
{
    if (wall_ms <= generator->last_ms) {
        uint64_t step = (low & UINT32_MAX) + 1;
        if (low_mask - generator->last_low >= step) {
            generator->last_low += step;
            return;
        }
        wall_ms = generator->last_ms + 1; /* so many in a millisecond: borrowed from the next */
    }
    generator->last_ms = wall_ms;
    generator->last_low = low & low_mask;
    generator->last_high = high & 0x0fff;
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
    uint64_t low;
    uint16_t high;
    generator->left_bytes -= RANDOM_BYTES;
    memcpy(&low, generator->pool + generator->left_bytes, sizeof(low));
    memcpy(&high, generator->pool + generator->left_bytes + sizeof(low), sizeof(high));
    advance(generator, wall_ms, low, high);
    uint64_t parts[2] = {htobe64(generator->last_ms << 16 | 0x7000 | generator->last_high),
                         htobe64(UINT64_C(1) << 63 | generator->last_low)};
    uuid_unparse_lower((const unsigned char *)parts, ret_text);
    return OUTCOME_OK;
}

bool message_id_pair(struct slice message_id, char ret_text[MESSAGE_ID_TEXT_BYTES])
{
    enum { VERSION_AT = 14, FLIPPED_AT = 15 };
    uuid_t id;
    if (message_id.length != MESSAGE_ID_TEXT_BYTES - 1) {
        return false;
    }
    memcpy(ret_text, message_id.data, message_id.length);
    ret_text[message_id.length] = '\0';
    if (ret_text[VERSION_AT] != '7' || uuid_parse(ret_text, id) != 0) {
        return false;
    }
    uuid_unparse_lower(id, ret_text);
    if (memcmp(ret_text, message_id.data, message_id.length) != 0) {
        return false; /* upper case: another id, and its pair would be the same */
    }
    id[FLIPPED_AT] ^= 0xff;
    uuid_unparse_lower(id, ret_text);
    return true;
}

bool message_id_is_of(struct slice message_id, uint64_t wall_ms)
{
    static const char digits[] = "0123456789abcdef";
    char begin[] = "xxxxxxxx-xxxx-7";
    size_t length = sizeof(begin) - 1;
    if (message_id.length != MESSAGE_ID_TEXT_BYTES - 1 || wall_ms >> 48 != 0) {
        return false;
    }
    for (size_t i = length; i-- > 0;) {
        if (begin[i] == 'x') {
            begin[i] = digits[wall_ms & 0xf];
            wall_ms >>= 4;
        }
    }
    return memcmp(message_id.data, begin, length) == 0;
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
