/* One batch of events in one transaction, in two waits for the server:
 *
 *   1. begin, the inbox takes the ids, the users are locked, what is there of them is read;
 *   2. what the events make of it is written, commit.
 *
 * Where the inbox knows an id there is one wait more, for the hash that it is known with. Every
 * batch first takes the ids and then the users, both in their order, so that no two batches wait
 * for each other. */
#pragma once

#include "common/base/error.h"

struct postgres_take;

MUST_CHECK enum outcome postgres_take_create(struct postgres_take **ret_take,
                                             struct error *ret_error);
/* NULL is fine. */
void postgres_take_free(struct postgres_take *take);
