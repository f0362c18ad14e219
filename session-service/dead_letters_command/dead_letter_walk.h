/* Goes once over the dead letters that are there, and has its caller decide about each of them.
 *
 *            get             decide       send back              confirm
 *  in queue ------> at hand --------+-------------------> published ---------> acked: gone
 *                                   | remove
 *                                   +-------------------------------------> acked: gone
 *                                   | leave
 *                                   +--> in the queue again when the walk ends
 *
 * The walk may be killed at any instruction and loses nothing: an original is acknowledged only
 * after its copy is confirmed. At worst a message is in both queues, and sending it back again
 * makes a duplicate without effect. The letters that a killed command held are in the queue again
 * once the broker has noticed.
 *
 * A quorum queue counts how often a message was delivered, and RabbitMQ 4 drops a message after 20
 * deliveries. A letter that has been read that often is therefore moved to the end of the queue, in
 * the same way. */
#pragma once

#include "session-service/settings.h"

#include "common/amqp/broker.h"

#include <signal.h>

enum { DEAD_LETTER_WALK_PATIENCE_MS = 30000 };

enum dead_letter_action { DEAD_LETTER_LEAVE, DEAD_LETTER_REMOVE, DEAD_LETTER_SEND_BACK };

struct dead_letter_walk_options {
    const struct settings *settings;
    uint64_t letters_max;                  /* the walk ends after these many; 0: at the end */
    uint64_t rate;                         /* letters sent back in a second at the most; 0: any */
    const volatile sig_atomic_t *stop;     /* counts the signals: end in good order */
    const sigset_t *signals_while_waiting; /* the mask in which those signals are not blocked */
    /* Is called by the walk's thread before it asks for the first letter: until then nothing is at
     * risk. From then on the signals must be blocked in this thread, and be counted. */
    void (*defer_signals)(void *context);
    /* Decides about a letter. `position` counts from 1. The delivery is borrowed for the call. */
    enum dead_letter_action (*decide)(void *context, const struct message *message,
                                      uint64_t position);
    /* Is called from time to time. May be NULL. */
    void (*report_progress)(void *context, uint64_t seen, uint64_t total);
    void *context;
};

struct dead_letter_walk_result {
    bool queue_exists;
    uint64_t total; /* ready letters at the start, without those that another consumer holds */
    uint64_t seen;
    uint64_t removed, sent_back;
};

/* Blocks until everything is done, the broker has taken the acks, and the letters that stay are
 * ready again. *ret_result is correct also after a failure. INVALID: the configuration is wrong.
 * TRANSIENT and BROKEN: the broker failed, and the text says how. */
MUST_CHECK enum outcome dead_letter_walk(const struct dead_letter_walk_options *options,
                                         struct dead_letter_walk_result *ret_result,
                                         struct error *ret_error);
