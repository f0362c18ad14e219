/* A delivery batch holds copies of deliveries that were read and are not finished. A batch can be
 * tried again as often as the store needs, without its messages being delivered again. Pure. */
#pragma once

#include "session-service/event_dispatcher.h"

#include "common/amqp/broker.h"

#include <sys/queue.h>

/* A batch may be one group. */
enum { BATCH_DELIVERIES_MAX = EVENT_GROUP_MAX, BATCH_BYTES_MAX = EVENT_GROUP_BYTES_MAX };

struct batch_item {
    struct broker_delivery delivery;
    struct handled handled;
    bool is_suspect;       /* it was delivered before, and may have ended a process then */
    bool is_asked_to_move; /* to the end of its queue; done where its tag is settled */
};

struct batch_chunk;
SLIST_HEAD(batch_chunks, batch_chunk);

struct delivery_batch {
    struct batch_item *items; /* BATCH_DELIVERIES_MAX */
    size_t count;
    size_t next;    /* those before it are finished */
    size_t retried; /* so many from there on were given to the store, which did not take them; 0:
                       none */
    size_t bytes;
    struct batch_chunks chunks; /* the newest first; one of the usual size is kept */
};

/* BUSY: no memory. */
MUST_CHECK enum outcome delivery_batch_init(struct delivery_batch *batch, struct error *ret_error);
void delivery_batch_done(struct delivery_batch *batch);

/* Copies the delivery. BUSY: no memory, and the batch is as it was. */
MUST_CHECK enum outcome delivery_batch_add(struct delivery_batch *batch,
                                           const struct broker_delivery *delivery,
                                           struct error *ret_error);

/* True when nothing more should be added: BATCH_DELIVERIES_MAX or BATCH_BYTES_MAX is reached. */
bool delivery_batch_is_full(const struct delivery_batch *batch);

void delivery_batch_clear(struct delivery_batch *batch);
