/* The outbox stores the events that the publisher could not have confirmed, and forwards them when
 * the publisher is connected. One thread alone owns the file, and every batch is one transaction.
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
 * When the files of the outbox were removed or replaced under the process, nothing more is stored.
 * What is in them is still forwarded, and is written to a new file where that is possible.
 *
 * A row that is not an event (damaged, or written by another program) is logged and counted once,
 * and stays where it is. An event is forwarded with its own message id. An event that is forwarded
 * twice is a duplicate to the session-service. */
#pragma once

#include "common/metrics/metrics.h"
#include "common/service/state_directory.h"
#include "common/threads/worker.h"
#include "user-service/settings.h"

struct outbox;
struct publisher;

enum { OUTBOX_FORWARDED_MAX = 512 };

/* Borrows the settings and the directory, which this process must hold. Opens the file. INVALID:
 * the file needs an operator. A failure that may pass is only logged, and opening is retried. */
MUST_CHECK enum outcome outbox_create(const struct settings *settings,
                                      const struct state_directory *directory,
                                      struct outbox **ret_outbox, struct error *ret_error);

/* Logs how many events an earlier process has left in the directory. A process without an outbox
 * calls it, because nobody forwards them. Holds the directory during the call only. */
void outbox_log_left_behind(struct state_directory *directory);

/* Starts the thread. Events of requests go on to publisher_completed() when they have been stored
 * or refused. Borrows the publisher. */
MUST_CHECK enum outcome outbox_start(struct outbox *outbox, struct publisher *publisher,
                                     struct error *ret_error);

/* Returns the worker to which the publisher hands over two kinds of events: those that it could not
 * have confirmed, and those of the outbox that are settled. Stop it after outbox_end_forwarding()
 * and after the end of the publisher's worker. It then still stores what has arrived. */
struct worker *outbox_worker(struct outbox *outbox);

/* Makes the outbox forward nothing more. Any thread. */
void outbox_end_forwarding(struct outbox *outbox);

/* Is called after the worker has ended. NULL is fine. */
void outbox_free(struct outbox *outbox);

/* Returns whether the outbox would take an event now, and if not, why. Any thread. */
MUST_CHECK bool outbox_has_room(struct outbox *outbox, struct error *ret_reason);

/* Returns false while the files of the outbox were removed or replaced, and why. What it promises
 * is not true then of a save that the broker does not confirm, and of what it held. Any thread. */
MUST_CHECK bool outbox_is_in_place(struct outbox *outbox, struct error *ret_reason);

/* Appends its metrics for GET /metrics, and gathers their values first. Any thread. */
void outbox_append_metrics(struct outbox *outbox, struct buffer *text);
