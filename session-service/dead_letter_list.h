/* A queue of copied deliveries, each owned by the list it is in. Pure. */
#pragma once

#include "common/amqp/broker.h"

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
    struct dead_letter *next;
    uint64_t delivery_tag;
    uint64_t publish_tag;
    bool returned; /* no queue took it: the ack that follows says nothing */
    const char *reason;
    char detail[DEAD_LETTER_DETAIL_BYTES];
    int64_t first_at_ms, last_at_ms;
    int64_t count; /* how often it was put aside, this time included */
    struct slice message_id, raw_properties, body; /* in `bytes` */
    size_t size_bytes;
    char bytes[];
};

/* Copies everything. A message that was a dead letter before keeps its first time, and is
 * counted on. NULL: no memory. */
MUST_CHECK struct dead_letter *dead_letter_create(const struct broker_delivery *delivery,
                                                  const char *reason, const char *detail,
                                                  int64_t now_wall_ms);

/* The headers that are added to the copy; borrows the letter. */
void dead_letter_headers(const struct dead_letter *letter, const char *queue,
                         struct message_header headers[DEAD_LETTER_HEADERS]);

enum { DEAD_LETTER_QUEUE_BYTES = SHORT_STRING_BYTES_MAX + 1 };

/* Writes the name of the queue beside `queue`, whose length common_settings_check() has judged. */
void dead_letter_queue_name(const char *queue, char ret_name[DEAD_LETTER_QUEUE_BYTES]);

struct dead_letter_list {
    struct dead_letter *head, *tail;
};

void dead_letter_list_append(struct dead_letter_list *list, struct dead_letter *letter);
/* NULL when empty; the caller owns it. */
struct dead_letter *dead_letter_list_take(struct dead_letter_list *list);
/* Puts all of `front` before what is in `list`; `front` is empty afterwards. */
void dead_letter_list_prepend_all(struct dead_letter_list *list, struct dead_letter_list *front);
/* Returns the letters that a confirm is about, in their order. */
struct dead_letter_list dead_letter_list_take_confirmed(struct dead_letter_list *list,
                                                        uint64_t publish_tag, bool multiple);
/* Marks those with this message id as returned: a return carries no tag. */
void dead_letter_list_mark_returned(struct dead_letter_list *list, struct slice message_id);
