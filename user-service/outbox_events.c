/* What becomes of each event: stored and answered, forwarded, deleted. */
#include "user-service/outbox_internal.h"

#include "user-service/log_events.h"

#include "common/base/clock.h"
#include "common/user/user_shard.h"

#include <assert.h>

static uint32_t wait_ms(struct backoff *backoff)
{
    return backoff_next_ms(backoff) + 1;
}

static void take_forwarded(struct outbox *outbox, struct event *event)
{
    assert(outbox->forwarded > 0 && outbox->settled_count < OUTBOX_FORWARDED_MAX);
    outbox->forwarded--;
    outbox->forwarded_bytes -= event->body_length;
    if (event->outcome == EVENT_CONFIRMED) {
        outbox->settled[outbox->settled_count++] = event->outbox_sequence;
        metric_add(&outbox->metrics.forwarded, 1);
        backoff_reset(&outbox->forward_backoff);
    } else {
        outbox->forward_again = true;
    }
    event_free(event);
}

void outbox_take_arriving(struct outbox *outbox)
{
    struct work_list batch;
    struct work_item *item = NULL;
    worker_take_all(&outbox->worker, &batch);
    while ((item = work_list_take(&batch)) != NULL) {
        struct event *event = (struct event *)item;
        if (event->outbox_sequence != 0) {
            take_forwarded(outbox, event);
        } else {
            STAILQ_INSERT_TAIL(&outbox->at_hand, item, next);
        }
    }
}

/* What the broker itself has said, or not said, of an event stays true; the others have nowhere to
 * go, because the outbox is full, its file fails, or is not where the next start looks for it. */
static enum event_outcome refusal(const struct outbox *outbox, const struct event *event)
{
    switch (event->outcome) {
    case EVENT_NACKED:
    case EVENT_UNROUTABLE:
    case EVENT_UNKNOWN:
        return event->outcome;
    case EVENT_CONFIRMED:
    case EVENT_DISCONNECTED:
    case EVENT_BLOCKED:
    case EVENT_OVERLOADED:
    case EVENT_DRAINING:
    case EVENT_STORED:
    case EVENT_OUTBOX_FULL:
    case EVENT_OUTBOX_DISPLACED:
    case EVENT_KEYS_UNAVAILABLE:
    case EVENT_OUTBOX_UNAVAILABLE:
    case EVENT_NO_MEMORY:
    case EVENT_NO_ID:
    case EVENT_OUTCOMES:
        break;
    }
    if (event->published) {
        return EVENT_UNKNOWN;
    }
    if (outbox->is_displaced) {
        return EVENT_OUTBOX_DISPLACED;
    }
    return event->is_beyond_limit ? EVENT_OUTBOX_FULL : EVENT_OUTBOX_UNAVAILABLE;
}

static int64_t bytes_at_hand(const struct outbox *outbox)
{
    int64_t bytes = 0;
    const struct work_item *item = NULL;
    STAILQ_FOREACH(item, &outbox->at_hand, next)
    {
        bytes += outbox_store_bytes_of((const struct event *)item);
    }
    return bytes;
}

/* Those for which there is room; what is marked here holds only after the commit. */
static enum outcome insert_at_hand(struct outbox *outbox, struct error *ret_error)
{
    enum outcome room = outbox_store_check_room(outbox->store, bytes_at_hand(outbox), NULL);
    bool has_room_for_all = room == OUTCOME_OK;
    struct work_item *item = NULL;
    STAILQ_FOREACH(item, &outbox->at_hand, next)
    {
        struct event *event = (struct event *)item;
        if (!has_room_for_all) {
            room = outbox_store_check_room(outbox->store, outbox_store_bytes_of(event), NULL);
        }
        event->is_beyond_limit = room == OUTCOME_BUSY;
        if (room != OUTCOME_OK) {
            continue;
        }
        enum outcome outcome = outbox_store_insert(outbox->store, event, ret_error);
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
        event->is_stored = true;
    }
    return OUTCOME_OK;
}

/* COMMIT_DISPLACED: to files that the next process would not find. */
enum commit { COMMITTED, COMMIT_DISPLACED, NOT_COMMITTED, COMMIT_IN_DOUBT };

static enum commit commit_of(enum outcome outcome)
{
    switch (outcome) {
    case OUTCOME_OK:
        return COMMITTED;
    case OUTCOME_TRANSIENT:
        return COMMIT_DISPLACED;
    case OUTCOME_BUSY:
        return NOT_COMMITTED;
    case OUTCOME_INVALID:
    case OUTCOME_BROKEN:
        break;
    }
    return COMMIT_IN_DOUBT;
}

/* Into displaced files nothing more is stored. What the broker has confirmed is deleted there all
 * the same, so that the rest can be forwarded. */
static enum commit commit_batch(struct outbox *outbox, struct error *ret_error)
{
    bool is_in_place = outbox_store_in_place(outbox->store, ret_error) == OUTCOME_OK;
    outbox->looked_at_ms = outbox->now_ms;
    enum outcome outcome = outbox_store_begin(outbox->store, ret_error);
    for (size_t i = 0; outcome == OUTCOME_OK && i < outbox->settled_count; i++) {
        outcome = outbox_store_delete(outbox->store, outbox->settled[i], ret_error);
    }
    if (outcome == OUTCOME_OK && is_in_place) {
        outcome = insert_at_hand(outbox, ret_error);
    }
    enum commit commit = NOT_COMMITTED;
    if (outcome == OUTCOME_OK) {
        outcome = outbox_store_commit(outbox->store, ret_error);
        commit = commit_of(outcome);
    }
    if (outcome != OUTCOME_OK) {
        outbox_store_rollback(outbox->store, outcome);
    }
    return commit;
}

/* What was stored in displaced files may still be forwarded. */
static enum event_outcome outcome_of(const struct outbox *outbox, const struct event *event,
                                     enum commit commit)
{
    if (!event->is_stored || commit == NOT_COMMITTED) {
        return refusal(outbox, event);
    }
    return commit == COMMITTED ? EVENT_STORED : EVENT_UNKNOWN;
}

static void answer_at_hand(struct outbox *outbox, enum commit commit)
{
    struct work_item *item = NULL;
    STAILQ_FOREACH(item, &outbox->at_hand, next)
    {
        struct event *event = (struct event *)item;
        event->at_broker = event->outcome;
        event->outcome = outcome_of(outbox, event, commit);
        metric_add(
            event->outcome == EVENT_STORED ? &outbox->metrics.stored : &outbox->metrics.refused, 1);
    }
    worker_push(publisher_completed(outbox->publisher), &outbox->at_hand);
}

/* After a failure of the file. A file that cannot be used may be one that was removed. */
static void wait_after(struct outbox *outbox, const struct error *failure)
{
    struct error error;
    outbox->store_at_ms = outbox->now_ms + wait_ms(&outbox->store_backoff);
    if (outbox_store_in_place(outbox->store, &error) == OUTCOME_OK) {
        outbox_record_trouble(outbox, failure);
    } else {
        outbox_record_displaced(outbox, &error);
    }
}

void outbox_store_batch(struct outbox *outbox)
{
    if (STAILQ_EMPTY(&outbox->at_hand) && outbox->settled_count == 0) {
        return;
    }
    struct error error = {.text = ""};
    bool is_due = outbox->now_ms >= outbox->store_at_ms;
    enum commit commit = is_due ? commit_batch(outbox, &error) : NOT_COMMITTED;
    if (commit == COMMITTED || commit == COMMIT_DISPLACED) {
        outbox->settled_count = 0;
        backoff_reset(&outbox->store_backoff);
    }
    if (commit == COMMIT_DISPLACED) {
        outbox_record_displaced(outbox, &error);
    } else if (commit != COMMITTED && is_due) {
        wait_after(outbox, &error);
    }
    answer_at_hand(outbox, commit);
}

static bool may_forward(struct outbox *outbox)
{
    struct error reason;
    if (outbox->forwarding_ended || outbox->now_ms < outbox->store_at_ms ||
        outbox_store_is_contested(outbox->store)) {
        return false;
    }
    enum publisher_state state = publisher_get_state(outbox->publisher, &reason);
    if (state != PUBLISHER_CONNECTED && state != PUBLISHER_REFUSED) {
        return false;
    }
    if (outbox->forward_again) {
        if (outbox->forwarded > 0) {
            return false;
        }
        outbox->forward_again = false;
        outbox->cursor = 0;
        outbox->forward_at_ms = outbox->now_ms + wait_ms(&outbox->forward_backoff);
    }
    return outbox->now_ms >= outbox->forward_at_ms;
}

enum { DELETE_BYTES_MAX = 16 * 1024 /* of the log, for one event: a few pages */ };

/* So many at once that the publisher is kept busy, and so few that requests' events are not behind
 * all of them, and that they can be deleted in one batch however little is free. */
static size_t forwarded_max(const struct outbox *outbox)
{
    int64_t share = outbox->settings->max_in_flight / 4;
    int64_t deletable = outbox->settings->outbox_min_free_bytes / DELETE_BYTES_MAX;
    share = deletable < share ? deletable : share;
    return share < 1 ? 1 : share > OUTBOX_FORWARDED_MAX ? OUTBOX_FORWARDED_MAX : (size_t)share;
}

/* As a share of the bytes too: what is forwarded is counted by none of the requests' limits. One
 * event goes always. */
static bool has_room_to_forward(const struct outbox *outbox)
{
    size_t bytes_max = (size_t)outbox->settings->max_in_flight_bytes / 4;
    return outbox->forwarded + outbox->settled_count < forwarded_max(outbox) &&
           (outbox->forwarded == 0 || outbox->forwarded_bytes < bytes_max);
}

/* Rows are met in their order, and again after each one that came back. */
static void pass_over(struct outbox *outbox, int64_t sequence, const struct error *why)
{
    if (sequence > outbox->unreadable_up_to) {
        outbox->unreadable_up_to = sequence;
        metric_set(&outbox->metrics.unreadable, ++outbox->unreadable_rows);
        log_at(&event_outbox_unreadable, log_string("error", why->text));
    }
}

/* The shard is not stored: it is what the number of shards makes of the user now. */
static enum outcome read_next(struct outbox *outbox, struct outbox_store_row *ret_row,
                              struct error *ret_error)
{
    size_t shard = 0;
    enum outcome outcome = outbox_store_next(outbox->store, outbox->cursor, ret_row, ret_error);
    struct event *event = ret_row->event;
    if (outcome != OUTCOME_OK || event == NULL) {
        return outcome;
    }
    outcome = user_shard_of_body((struct slice){event->body, event->body_length},
                                 (size_t)outbox->settings->common.shards, &shard, ret_error);
    event->shard = (uint8_t)shard;
    if (outcome != OUTCOME_OK) {
        event_free(event);
    }
    return outcome;
}

void outbox_forward(struct outbox *outbox)
{
    struct work_list batch = STAILQ_HEAD_INITIALIZER(batch);
    struct outbox_store_content content;
    outbox_store_content(outbox->store, &content);
    struct error error = {.text = ""};
    while (content.events > 0 && may_forward(outbox) && has_room_to_forward(outbox)) {
        struct outbox_store_row row;
        enum outcome outcome = read_next(outbox, &row, &error);
        if (outcome != OUTCOME_OK) {
            outbox_store_rollback(outbox->store, outcome);
            wait_after(outbox, &error);
            break;
        }
        if (row.sequence == 0) {
            break;
        }
        outbox->cursor = row.sequence;
        if (row.event == NULL) {
            pass_over(outbox, row.sequence, &error);
            continue;
        }
        outbox->forwarded++;
        outbox->forwarded_bytes += row.event->body_length;
        row.event->accepted_us = clock_monotonic_us();
        STAILQ_INSERT_TAIL(&batch, &row.event->item, next);
    }
    worker_push(publisher_worker(outbox->publisher), &batch);
}
