/* The key writer is the thread that alone writes the file of the Idempotency-Keys, so that a key
 * stands for its event after a restart too.
 *
 *                 written: handed over to the publisher         synced
 *   HTTP loop --------------------------------------------> ... ------> key_writer_synced()
 *       ^          | cannot be written: never published          | cannot be synced
 *       +----------+                                             v
 *          503                                          key_writer_tried(): 504
 *
 * A key is in the file before its event can reach the broker, so it outlives the process. The sync
 * goes on while the broker confirms, and what came meanwhile shares the next one. The HTTP loop
 * waits for both before it says what became of the event, so what a client was told outlives the
 * machine. The outcome is written later, and not synced: without it the event is tried again.
 *
 * After a failure events with a new key are refused for a while (backoff). The next one is the
 * attempt to write again. While the file or the lock of the directory is not in its place, nothing
 * is written, and events with a new key are refused (503). */
#pragma once

#include "common/metrics/metrics.h"
#include "common/service/state_directory.h"
#include "common/threads/worker.h"
#include "user-service/key_progress.h"
#include "user-service/key_window.h"
#include "user-service/publisher.h"

/* How to add a metric is said in common/metrics/metrics.h. */
#define KEY_WRITER_METRICS(METRIC)                                                                 \
    METRIC(sync_duration, HISTOGRAM, "user_service_key_sync_seconds",                              \
           "How long a batch of Idempotency-Keys took until it was on disk.")

struct key_writer_metrics {
    KEY_WRITER_METRICS(METRIC_MEMBER)
};

struct key_writer;

/* Borrows the directory, which this process must hold. */
MUST_CHECK enum outcome key_writer_create(const struct state_directory *directory,
                                          struct key_writer **ret_writer, struct error *ret_error);
/* Opens the file if there is one, and restores what it holds in the window. The first key creates
 * it. INVALID: the file needs an operator. A
 * failure that may pass is only logged. To be called before any thread is started. */
MUST_CHECK enum outcome key_writer_open(struct key_writer *writer, struct key_window *window,
                                        struct error *ret_error);
/* Starts the thread. Borrows the publisher. */
MUST_CHECK enum outcome key_writer_start(struct key_writer *writer, struct publisher *publisher,
                                         struct error *ret_error);

/* Adds to a batch what the file is to hold. `event` is published when that is written, and is owned
 * by the batch from then on. It is completed with EVENT_KEYS_UNAVAILABLE if it cannot be written.
 * NULL: nobody waits for the change. BUSY: no memory; the event is the caller's. */
MUST_CHECK enum outcome key_writer_add(struct key_writer *writer, struct work_list *batch,
                                       const struct key_change *change, struct event *event,
                                       struct error *ret_error);
/* Hands over a batch. If the thread has ended, its events are completed as draining. To be called
 * by the thread that gets the completed events. */
void key_writer_submit(struct key_writer *writer, struct work_list *batch);

/* Whether the key with this order outlives the machine. When that changes, the thread that gets the
 * completed events is woken. Any thread. */
enum key_sync key_writer_sync_of(const struct key_writer *writer, uint64_t order);
/* How many events were added whose keys have not been tried, and the bytes of their bodies. */
size_t key_writer_pending(const struct key_writer *writer);
size_t key_writer_pending_bytes(const struct key_writer *writer);
/* Returns false while the next process would not find the file, or another one may use the
 * directory, and why. It is looked at once a second at least. Any thread. */
MUST_CHECK bool key_writer_is_in_place(struct key_writer *writer, struct error *ret_reason);

/* Stop it before the publisher's worker. It then still writes what has arrived. What it hands on
 * after the publisher's end is completed by publisher_submit(). */
struct worker *key_writer_worker(struct key_writer *writer);

/* Is called after the worker has ended. NULL is fine. */
void key_writer_free(struct key_writer *writer);

/* Appends its metrics for GET /metrics. Any thread. */
void key_writer_append_metrics(struct key_writer *writer, struct buffer *text);
