/* One accepted user on its way: HTTP thread -> publisher thread -> HTTP thread. Whoever has it owns
 * it alone; the hand-over is the only synchronization. */
#pragma once

#include "common/handover.h"
#include "common/slice.h"
#include "common/user_event.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/queue.h>

struct http_request;
struct key_entry;

/* What becomes of a save, and how a metric names it. */
#define SAVE_OUTCOMES_AND_NAMES(OUTCOME)                                                           \
    OUTCOME(SAVE_CONFIRMED, "confirmed")                                                           \
    OUTCOME(SAVE_DISCONNECTED, "disconnected") /* no broker: not sent */                           \
    OUTCOME(SAVE_BLOCKED, "blocked")           /* the broker takes no publishes: not sent */       \
    OUTCOME(SAVE_NACKED, "nacked")             /* the broker refused it */                         \
    OUTCOME(SAVE_UNROUTABLE, "unroutable")     /* the broker had no queue for it */                \
    OUTCOME(SAVE_OVERLOADED, "overloaded")     /* a limit is reached: not sent */                  \
    OUTCOME(SAVE_DRAINING, "draining")         /* the service is stopping: not sent */             \
    OUTCOME(SAVE_UNKNOWN, "unknown") /* sent or stored, and nobody knows whether it is safe */     \
    OUTCOME(SAVE_STORED, "stored")   /* committed to the outbox */                                 \
    OUTCOME(SAVE_OUTBOX_FULL, "outbox_full") /* not sent, and the outbox takes nothing */

#define SAVE_OUTCOME(outcome, name) outcome,
#define SAVE_OUTCOME_NAME(outcome, name) name,
enum save_outcome { SAVE_OUTCOMES_AND_NAMES(SAVE_OUTCOME) SAVE_OUTCOMES };

struct save {
    struct handover_node node;    /* first: see handover.h */
    TAILQ_ENTRY(save) in_order;   /* publisher: all it has, oldest first */
    TAILQ_ENTRY(save) waiting;    /* publisher: to be published, oldest first */
    TAILQ_ENTRY(save) parked;     /* HTTP thread only: not answered yet, oldest first */
    struct http_request *request; /* HTTP thread only; NULL: answered before its outcome came */
    struct key_entry *key;        /* HTTP thread only; NULL: without Idempotency-Key */
    char *body;                   /* owned: the user's JSON */
    size_t body_length;
    char message_id[USER_EVENT_ID_BYTES_MAX + 1];
    size_t message_id_length;
    char traceparent[USER_EVENT_TRACEPARENT_BYTES + 1]; /* "" where there was none */
    uint64_t saved_at_ms;                               /* wall clock */
    uint64_t accepted_us;                               /* monotonic */
    uint64_t deadline_ms;    /* monotonic; not of one that is forwarded from the outbox */
    uint64_t tag;            /* publisher: 0 while it is not in the window */
    bool published;          /* publisher: may have reached a broker */
    bool is_ambiguous;       /* publisher: a refusal may mean another publish of the same id */
    bool is_stored;          /* outbox: it is in the batch that is being committed */
    int64_t outbox_sequence; /* 0: a request's; else it is forwarded from the outbox */
    enum save_outcome outcome;
};

/* NULL is fine. */
static inline void save_free(struct save *save)
{
    if (save != NULL) {
        free(save->body);
        free(save);
    }
}

TAILQ_HEAD(save_queue, save);
