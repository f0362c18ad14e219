/* An event is what a request asks the service to send. It goes from the HTTP thread to the
 * publisher's thread, perhaps to the outbox's thread, and back. With an Idempotency-Key it goes
 * first to the thread that writes the keys. Whoever has it owns it alone; the
 * hand-over is the only synchronization. */
#pragma once

#include "common/base/slice.h"
#include "common/base/traceparent.h"
#include "common/threads/worker.h"
#include "common/user/user_event.h"

#include <stdint.h>
#include <sys/queue.h>

struct endpoint;
struct http_request;
struct key_entry;

/* The request that waits for the outcome of the event. Only the HTTP thread reads or writes it. */
struct asker {
    struct http_request *request;    /* borrowed; NULL: it was answered before the outcome came */
    const struct endpoint *endpoint; /* borrowed: how its replies are worded and counted */
};

/* The outcomes of an event, and the name of each in metrics. */
#define EVENT_OUTCOMES_AND_NAMES(OUTCOME)                                                          \
    OUTCOME(EVENT_CONFIRMED, "confirmed")                                                          \
    OUTCOME(EVENT_DISCONNECTED, "disconnected") /* no broker: not sent */                          \
    OUTCOME(EVENT_BLOCKED, "blocked")           /* the broker takes no publishes: not sent */      \
    OUTCOME(EVENT_NACKED, "nacked")             /* the broker refused it */                        \
    OUTCOME(EVENT_UNROUTABLE, "unroutable")     /* the broker had no queue for it */               \
    OUTCOME(EVENT_OVERLOADED, "overloaded")     /* a limit is reached: not sent */                 \
    OUTCOME(EVENT_DRAINING, "draining")         /* the service is stopping: not sent */            \
    OUTCOME(EVENT_UNKNOWN, "unknown") /* sent or stored, and it is unknown whether it is safe */   \
    OUTCOME(EVENT_STORED, "stored")   /* committed to the outbox */                                \
    OUTCOME(EVENT_OUTBOX_FULL, "outbox_full") /* not sent, and a limit of the outbox is reached */ \
    OUTCOME(EVENT_OUTBOX_DISPLACED, "outbox_displaced")     /* not sent; its files are gone */     \
    OUTCOME(EVENT_OUTBOX_UNAVAILABLE, "outbox_unavailable") /* not sent, and its file fails */     \
    OUTCOME(EVENT_KEYS_UNAVAILABLE, "keys_unavailable") /* its key cannot be written: not sent */  \
    OUTCOME(EVENT_NO_MEMORY, "out_of_memory")           /* not sent */                             \
    OUTCOME(EVENT_NO_ID, "no_id") /* not sent: the system gives no random bytes for its id */

#define EVENT_OUTCOME(outcome, name) outcome,
#define EVENT_OUTCOME_NAME(outcome, name) name,
enum event_outcome { EVENT_OUTCOMES_AND_NAMES(EVENT_OUTCOME) EVENT_OUTCOMES };

struct event {
    struct work_item item;       /* first: see worker.h */
    TAILQ_ENTRY(event) in_order; /* publisher: all events that it has, oldest first */
    TAILQ_ENTRY(event) waiting;  /* publisher: events that are to be published, oldest first */
    TAILQ_ENTRY(event) parked;   /* HTTP thread only: events not answered yet, oldest first */
    TAILQ_ENTRY(event) unsynced; /* HTTP thread only: completed, and its key is not on disk yet */
    struct asker asker;          /* HTTP thread only: where its answer goes */
    bool has_key;                /* HTTP thread only: its id is the request's Idempotency-Key */
    struct key_entry *key;       /* HTTP thread only: its entry in the key window; else NULL */
    enum event_type type;
    uint8_t shard; /* where the queue has any: which one its user belongs to */
    char *body;    /* owned: the message's body, compact JSON */
    size_t body_length;
    char message_id[USER_EVENT_ID_BYTES_MAX + 1]; /* ends with a NUL */
    size_t message_id_length;
    char traceparent[TRACEPARENT_BYTES + 1]; /* "" where the request had none */
    uint64_t occurred_at_ms;                 /* wall clock: when it was accepted */
    uint64_t accepted_us;       /* monotonic: when it was accepted, its key was written, or it was
                                   read from the outbox */
    uint64_t deadline_ms;       /* monotonic; not of one that is forwarded from the outbox */
    uint64_t tag;               /* publisher: its delivery tag; 0: not sent on this connection */
    bool published;             /* publisher: it may have reached a broker */
    bool published_before;      /* publisher: and over a connection before this one */
    bool is_stored;             /* outbox: it is in the batch that is being committed */
    bool is_beyond_limit;       /* outbox: a limit of the outbox leaves no room for it */
    int64_t outbox_sequence;    /* its row's, where the outbox forwards it; 0: it is a request's */
    enum event_outcome outcome; /* written by whoever completes it */
    enum event_outcome at_broker; /* outbox: what the outcome was when it came there */
};

/* Returns the name in metrics and in the log, a literal. */
const char *event_outcome_name(enum event_outcome outcome);

/* NULL is fine. */
void event_free(struct event *event);

TAILQ_HEAD(event_queue, event);
