/* Handles one delivered message: has it decoded and applied to the store by the handler of its
 * type, and writes its log line. Knows nothing of AMQP. */
#pragma once

#include "session-service/store/store.h"

#include "common/service/common_settings.h"
#include "common/user/user_event.h"

struct event_dispatcher {
    struct user_rules rules;
    size_t message_bytes_max;
    enum log_payload payload;
    struct store *store;
    struct buffer scratch;
};

/* Borrows the store. */
void event_dispatcher_init(struct event_dispatcher *dispatcher, const struct user_rules *rules,
                           size_t message_bytes_max, enum log_payload payload, struct store *store);
void event_dispatcher_done(struct event_dispatcher *dispatcher);

/* What happens to a delivery. */
enum verdict {
    VERDICT_ACK,         /* its effect is complete: settle it */
    VERDICT_DEAD_LETTER, /* it can never be handled: settle it when its copy is confirmed */
};

struct handled {
    enum verdict verdict;
    bool bare;
    bool duplicate;
    bool outdated; /* what is known of the user is newer, and stays */
    bool session_opened;
    int64_t ahead_ms;   /* so far the named time is ahead, so that arrival decided; else 0 */
    const char *reason; /* DEAD_LETTER: a literal, for machines */
    char detail[256];   /* DEAD_LETTER: for a person; never a member's value */
};

/* Handles a message in a transaction of the store, and appends the delivery's one log line to
 * `lines`. A failure is the store's, or BUSY: no memory. The caller must then roll back the
 * transaction and cut `lines` to what it was. One thread at a time. */
MUST_CHECK enum outcome event_dispatch(struct event_dispatcher *dispatcher,
                                       const struct message *message, bool redelivered,
                                       int64_t now_ms, struct buffer *lines,
                                       struct handled *ret_handled, struct error *ret_error);

/* The same for a message that was handled before and is delivered once more: it is not looked into.
 * *ret_known is false where the inbox does not know it with this body; then nothing is done. */
MUST_CHECK enum outcome event_dispatch_known(struct event_dispatcher *dispatcher,
                                             const struct message *message, bool redelivered,
                                             struct buffer *lines, bool *ret_known,
                                             struct handled *ret_handled, struct error *ret_error);

/* The same for a message that has ended the process too often: it is not looked into. */
MUST_CHECK enum outcome event_give_up(const struct message *message, int64_t deaths,
                                      struct buffer *lines, struct handled *ret_handled,
                                      struct error *ret_error);

enum { ATTEMPT_KEY_BYTES = 160 };

/* Writes the key under which the deaths of a message are counted: its message id, or a digest
 * of its body if it has none. BUSY: no memory. */
MUST_CHECK enum outcome event_attempt_key(const struct message *message,
                                          char ret_key[ATTEMPT_KEY_BYTES], struct error *ret_error);
