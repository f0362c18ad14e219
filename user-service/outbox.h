/* The outbox: takes the events that the publisher could not have confirmed, and forwards them when
 * it can. One thread that alone owns the file; every batch is one transaction.
 *
 *               arrives                commit                       connected, in order
 *   publisher ----------> at hand ----------------> stored, 202 --------------------------+
 *       ^                    | no room, no disk         ^                                 |
 *       |                    v                          | not confirmed: all from the     |
 *       |                 503, 504                      | oldest on again                 v
 *       +---------------------------------------------- forwarded <-----------------------+
 *                                                            | confirmed
 *                                                            v
 *                                                         deleted
 *
 * A row that is not an event (damaged, or put there by another program) is logged and counted once,
 * and left where it is. An event is forwarded with its own message id; one that is forwarded twice
 * is a duplicate to the session-service. */
#pragma once

#include "common/metrics/metrics.h"
#include "common/service/state_directory.h"
#include "common/threads/worker.h"
#include "user-service/settings.h"

struct outbox;
struct publisher;

enum { OUTBOX_FORWARDED_MAX = 512 };

/* Borrows the settings, and the directory, which this process holds. Opens the file: INVALID is
 * what only a person can mend; what may pass is only logged. */
MUST_CHECK enum outcome outbox_create(const struct settings *settings, const char *directory,
                                      struct outbox **ret_outbox, struct error *ret_error);

/* Of a process without an outbox: logs how many events an earlier one has left in the directory,
 * where nobody forwards them. The directory is the process's for the call only. */
void outbox_tell_left_behind(struct state_directory *directory);

/* What comes from requests goes on to publisher_completed(). Borrows the publisher. */
MUST_CHECK enum outcome outbox_start(struct outbox *outbox, struct publisher *publisher,
                                     struct error *ret_error);

/* Is handed the events that the publisher could not have confirmed, and those of the outbox when
 * they are settled. It is stopped after outbox_end_forwarding() and the end of the publisher's
 * worker, and stores what has arrived. */
struct worker *outbox_worker(struct outbox *outbox);

/* Forwards nothing more. Any thread. */
void outbox_end_forwarding(struct outbox *outbox);

/* After the worker's end. NULL is fine. */
void outbox_free(struct outbox *outbox);

/* Whether an event would be taken now, else why not. Any thread. */
MUST_CHECK bool outbox_has_room(struct outbox *outbox, struct error *ret_reason);

/* Appends its metrics for GET /metrics, and gathers their values first. Any thread. */
void outbox_append_metrics(struct outbox *outbox, struct buffer *text);
