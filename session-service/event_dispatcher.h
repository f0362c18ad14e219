/* Handles delivered messages in groups: has each decoded by the handler of its type, all taken by
 * the store in one call, and each told in a log line. Knows nothing of AMQP.
 *
 *          event_dispatcher_decode       event_dispatcher_take        event_dispatcher_tell
 *    empty -----------------> decoded ----------------------> taken ----------------------> empty
 *      ^                         |   ^ any number                |  ^ no memory: again
 *      +-------------------------+   +--+                        +--+
 *       a failure, or event_dispatcher_clear
 *
 * What is taken is durable and must be told, so it stays until that has succeeded. One thread at a
 * time. */
#pragma once

#include "session-service/event_line.h"

enum {
    EVENT_GROUP_MAX = 256,
    EVENT_GROUP_BYTES_MAX = 1024 * 1024, /* before the last message, which may be beyond it */
};

struct event_group;

struct event_dispatcher {
    struct user_rules rules;
    size_t message_bytes_max;
    enum log_payload payload;
    struct store *store;
    struct event_group *group; /* owned */
    struct buffer texts;       /* of the group: keys, and payloads that are no bodies */
    struct buffer scratch;
};

/* Borrows the store. BUSY: no memory. */
MUST_CHECK enum outcome event_dispatcher_init(struct event_dispatcher *dispatcher,
                                              const struct user_rules *rules,
                                              size_t message_bytes_max, enum log_payload payload,
                                              struct store *store, struct error *ret_error);
/* It is safe on a zeroed struct. */
void event_dispatcher_done(struct event_dispatcher *dispatcher);

/* Adds a message to the group, which has fewer than EVENT_GROUP_MAX. Borrows the message, the key
 * and ret_handled until the group is told or cleared; only event_dispatcher_tell() writes the
 * latter. `attempt_key` is that of store_event. A failure clears the group. BUSY: no memory. */
MUST_CHECK enum outcome event_dispatcher_decode(struct event_dispatcher *dispatcher,
                                                const struct message *message, bool redelivered,
                                                struct slice attempt_key,
                                                struct handled *ret_handled,
                                                struct error *ret_error);

/* Gives the store what can be handled, also if that is nothing: then too it says whether the store
 * works. A failure is the store's, and clears the group. */
MUST_CHECK enum outcome event_dispatcher_take(struct event_dispatcher *dispatcher, int64_t now_ms,
                                              struct error *ret_error);

/* Says what became of each message, appends a log line for each to `lines`, and clears the group.
 * BUSY: no memory, and `lines` is as it was; try again. */
MUST_CHECK enum outcome event_dispatcher_tell(struct event_dispatcher *dispatcher,
                                              struct buffer *lines, struct error *ret_error);

/* How many messages were taken and are not told; 0 also where nothing was taken. */
size_t event_dispatcher_untold(const struct event_dispatcher *dispatcher);
/* Forgets the group. */
void event_dispatcher_clear(struct event_dispatcher *dispatcher);

/* A message that was handled before and is delivered once more is acked and told, and not looked
 * into. *ret_known is false where the inbox does not know it with this body; then nothing is done.
 */
MUST_CHECK enum outcome event_dispatch_known(struct event_dispatcher *dispatcher,
                                             const struct message *message, bool redelivered,
                                             struct buffer *lines, bool *ret_known,
                                             struct handled *ret_handled, struct error *ret_error);

/* A message that has ended the process too often becomes a dead letter, and is not looked into. */
MUST_CHECK enum outcome event_give_up(const struct message *message, int64_t deaths,
                                      struct buffer *lines, struct handled *ret_handled,
                                      struct error *ret_error);

enum { ATTEMPT_KEY_BYTES = 160 };

/* Writes the key under which the deaths of a message are counted: its message id, or a digest
 * of its body if it has none. BUSY: no memory. */
MUST_CHECK enum outcome event_attempt_key(const struct message *message,
                                          char ret_key[ATTEMPT_KEY_BYTES], struct error *ret_error);
