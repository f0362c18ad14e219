/* Goes once over the dead letters that are there, and lets its caller judge each of them.
 *
 *            get             judge        send back              confirm
 *  in queue ------> at hand --------+-------------------> published ---------> acked: gone
 *                                   | remove
 *                                   +-------------------------------------> acked: gone
 *                                   | leave
 *                                   +--> in the queue again when the walk ends
 *
 * Ended at any instruction it loses nothing: an original is acked only after the confirm of what
 * was published. At worst a message is in both queues; sent back again it is a duplicate. What a
 * killed command held is in the queue again once the broker has noticed that it is gone.
 *
 * Quorum queues count how often a message was handed out, and RabbitMQ 4 drops it after 20 times:
 * a letter that is looked at so often is moved to the queue's end in the same way. */
#pragma once

#include "session-service/settings.h"

#include "common/amqp/broker.h"

#include <signal.h>

enum { DEAD_LETTER_WALK_PATIENCE_MS = 30000 };

enum dead_letter_action { DEAD_LETTER_LEAVE, DEAD_LETTER_REMOVE, DEAD_LETTER_SEND_BACK };

struct dead_letter_walk_options {
    const struct settings *settings;
    uint64_t letters_max;                  /* go no further than so many; 0: to the end */
    uint64_t rate;                         /* letters sent back in a second at the most; 0: any */
    const volatile sig_atomic_t *stop;     /* counts the signals: end in good order */
    const sigset_t *signals_while_waiting; /* the mask in which those signals are not blocked */
    /* `position` counts from 1. The delivery is borrowed for the call. */
    enum dead_letter_action (*judge)(void *context, const struct message *message,
                                     uint64_t position);
    /* From time to time; may be NULL. */
    void (*tell_progress)(void *context, uint64_t seen, uint64_t total);
    void *context;
};

struct dead_letter_walk_result {
    bool queue_exists;
    uint64_t total; /* ready letters at the start; those that another holds are not in it */
    uint64_t seen;
    uint64_t removed, sent_back;
};

/* Blocks until everything is done, the broker has taken the acks, and what was left is ready again.
 * *ret_result is true also after a failure. INVALID: the configuration; TRANSIENT and BROKEN: the
 * broker, its text says what. */
MUST_CHECK enum outcome dead_letter_walk(const struct dead_letter_walk_options *options,
                                         struct dead_letter_walk_result *ret_result,
                                         struct error *ret_error);
