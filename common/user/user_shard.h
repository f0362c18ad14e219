/* Which shard a message about a user goes to. Pure.
 *
 * Any publisher can compute it: the first 8 bytes of the SHA-256 of what the user is known by, read
 * as a number whose first byte is the most significant, modulo the number of shards. A user is
 * known by the text of the `id`, as in /users/{id}: a string as it is in UTF-8, an integer in
 * decimal, so that 7 and "7" are one. Without a usable id it is the `email`, and without that the
 * whole body. tests/unit/test_user_shard.c has values to check a program of your own against. To
 * change the rule would send the messages about one user to two queues. */
#pragma once

#include "common/amqp/shards.h"
#include "common/user/user.h"

/* Of a key that is known: an id's text. BUSY: no memory. */
MUST_CHECK enum outcome user_shard_of_key(struct slice key, size_t shards, size_t *ret_shard,
                                          struct error *ret_error);

/* Of the body of a message, JSON. What is no JSON object has a shard too: that of all its bytes.
 * With fewer than two shards it is 0, and nothing is read. BUSY: no memory. */
MUST_CHECK enum outcome user_shard_of_body(struct slice body, size_t shards, size_t *ret_shard,
                                           struct error *ret_error);

/* The same of a user that is parsed already. `assigned_id` is the id of one that has none; NULL:
 * none was assigned. */
MUST_CHECK enum outcome user_shard_of(const struct user *user, const char *assigned_id,
                                      struct slice body, size_t shards, size_t *ret_shard,
                                      struct error *ret_error);
