/* A dead letter: the copy of a delivery that is put aside, and the headers that say why. Pure. */
#pragma once

#include "common/amqp/broker.h"

#include <sys/queue.h>

enum { DEAD_LETTER_DETAIL_BYTES = 256, DEAD_LETTER_HEADERS = 6 };

/* The headers of a copy. Operators' tools know them: add, never rename. */
#define DEAD_LETTER_HEADER_PREFIX "dead-letter-"
#define DEAD_LETTER_REASON "dead-letter-reason"
#define DEAD_LETTER_DETAIL "dead-letter-detail"
#define DEAD_LETTER_FIRST_AT "dead-letter-first-at-ms"
#define DEAD_LETTER_LAST_AT "dead-letter-last-at-ms"
#define DEAD_LETTER_COUNT "dead-letter-count"
#define DEAD_LETTER_QUEUE "dead-letter-queue"

struct dead_letter {
    TAILQ_ENTRY(dead_letter) in_order;
    uint64_t delivery_tag;
    uint64_t publish_tag; /* 0: not published on this connection */
    const char *reason;   /* NULL: no dead letter, but one that moves to the end of its own queue */
    char detail[DEAD_LETTER_DETAIL_BYTES];
    int64_t first_at_ms, last_at_ms;
    int64_t count; /* how often it was put aside, this time included */
    int64_t earlier_deliveries;
    uint8_t consumer; /* the number of the queue that it came from (common/amqp/shards.h) */
    struct slice message_id, raw_properties, body; /* in `bytes` */
    size_t size_bytes;
    char bytes[];
};

TAILQ_HEAD(dead_letter_queue, dead_letter);

/* Returns a letter that the caller owns and frees with free(). Copies everything. A message that
 * was a dead letter before keeps its first time, and its count goes on. Without a reason the letter
 * is a message that moves. NULL: no memory. */
MUST_CHECK struct dead_letter *dead_letter_create(const struct broker_delivery *delivery,
                                                  const char *reason, const char *detail,
                                                  int64_t now_wall_ms);

/* Of a message that was moved to the end of its queue: how often it was delivered before that. It
 * is treated as one that was delivered before. */
#define EARLIER_DELIVERIES "earlier-deliveries"

/* How often a message was delivered before without an ack, as far as the broker counts, and also
 * before it was moved. */
int64_t dead_letter_earlier_deliveries(const struct message *message);
/* Only what the broker has counted since it was moved. */
int64_t dead_letter_counted_deliveries(const struct message *message);

enum {
    /* RabbitMQ 4 drops a message of a quorum queue after 20 deliveries without an ack. Who is
     * killed moves nothing, so that some deliveries are left for that. */
    DEAD_LETTER_DELIVERIES_MAX = 8,
};

/* Whether the message is to be moved to the end of its queue, where the broker counts anew. */
bool dead_letter_is_worn(const struct message *message);

/* Writes the headers that are added to the copy. They borrow the letter. */
void dead_letter_headers(const struct dead_letter *letter, const char *queue,
                         struct message_header headers[DEAD_LETTER_HEADERS]);

enum { DEAD_LETTER_QUEUE_BYTES = SHORT_STRING_BYTES_MAX + 1 };

/* Writes the name of the queue for the dead letters of `queue`, whose length
 * common_settings_check() has checked. */
void dead_letter_queue_name(const char *queue, char ret_name[DEAD_LETTER_QUEUE_BYTES]);
