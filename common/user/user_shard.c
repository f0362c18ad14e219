/* See user_shard.h. */
#include "common/user/user_shard.h"

#include "common/base/digest.h"

enum { HASH_BYTES = 8, INTEGER_TEXT_BYTES = 24 };

enum outcome user_shard_of_key(struct slice key, size_t shards, size_t *ret_shard,
                               struct error *ret_error)
{
    unsigned char digest[DIGEST_BYTES];
    enum outcome outcome = digest_of(key, digest, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    uint64_t hash = 0;
    for (size_t i = 0; i < HASH_BYTES; i++) {
        hash = hash << 8 | digest[i];
    }
    *ret_shard = (size_t)(hash % shards);
    return OUTCOME_OK;
}

enum outcome user_shard_of(const struct user *user, const char *assigned_id, struct slice body,
                           size_t shards, size_t *ret_shard, struct error *ret_error)
{
    char scratch[INTEGER_TEXT_BYTES];
    struct slice key = body;
    *ret_shard = 0;
    if (shards < 2) {
        return OUTCOME_OK;
    }
    if (!user->has_id && assigned_id != NULL) {
        key = slice_of(assigned_id);
    } else if (!user_id_text(user, scratch, &key) || key.length == 0) {
        key = body;
        (void)user_email_text(user, &key);
    }
    return user_shard_of_key(key, shards, ret_shard, ret_error);
}

enum outcome user_shard_of_body(struct slice body, size_t shards, size_t *ret_shard,
                                struct error *ret_error)
{
    struct user_problems problems __attribute__((uninitialized));
    struct user user = {0};
    *ret_shard = 0;
    if (shards < 2) {
        return OUTCOME_OK;
    }
    problems.count = 0;
    switch (user_parse_any_object(body, &user, &problems)) {
    case USER_OK:
        break;
    case USER_NO_MEMORY:
        return error_set(ret_error, OUTCOME_BUSY, "no memory to read a message of %zu bytes",
                         body.length);
    case USER_MALFORMED:
    case USER_NOT_PORTABLE:
    case USER_NOT_AN_OBJECT:
    case USER_NUMBER_OUT_OF_RANGE:
    case USER_INVALID:
        return user_shard_of_key(body, shards, ret_shard, ret_error);
    }
    enum outcome outcome = user_shard_of(&user, NULL, body, shards, ret_shard, ret_error);
    user_done(&user);
    return outcome;
}
