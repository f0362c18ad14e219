/* What became of a transaction whose COMMIT was sent and not answered.
 *
 * The batch that comes next is compared with the one in doubt. If it is the same, the database is
 * asked: where the transaction has committed, its effects are those that were read before, so that
 * no message is told as a duplicate of itself, and no bare one counts twice.
 *
 * That it has committed is shown by a row of the inbox which only it can have written: an id that
 * was new to it, or for a batch without one an id made for this, with the time of its batch and the
 * number of the transaction. The id and the time alone may be of a copy of the message that another
 * session-service has handled. The status of the number does not show it, because a server that
 * comes back after a crash, or another one in its place, gives the same number to another
 * transaction. */
#pragma once

#include "session-service/store/store_postgres_batch.h"
#include "session-service/store/store_postgres_connection.h"

enum { DOUBT_ID_BYTES = 160, DOUBT_TRANSACTION_BYTES = 24 };

struct postgres_doubt {
    bool is_set;
    unsigned char batch[DIGEST_BYTES];
    struct store_effect *effects; /* owned */
    size_t count;
    int64_t now_ms;
    char transaction[DOUBT_TRANSACTION_BYTES], evidence[DOUBT_ID_BYTES];
};

void postgres_doubt_clear(struct postgres_doubt *doubt);

/* To be called before COMMIT is sent: the number of the transaction, and the id that shows it. */
void postgres_doubt_prepare(struct postgres_doubt *doubt, struct slice transaction,
                            struct slice evidence, int64_t now_ms);
/* To be called where COMMIT was not answered. Without memory there is no doubt: then the inbox
 * alone decides. */
void postgres_doubt_set(struct postgres_doubt *doubt, const struct postgres_batch *batch,
                        const struct store_effect effects[]);

/* Asks, where this batch is the one in doubt. *ret_committed: it is done, and `ret_effects` are its
 * effects. TRANSIENT: the transaction is still under way. */
MUST_CHECK enum outcome postgres_doubt_resolve(struct postgres_doubt *doubt,
                                               struct postgres *postgres,
                                               const struct postgres_batch *batch,
                                               struct store_effect ret_effects[],
                                               bool *ret_committed, struct error *ret_error);
