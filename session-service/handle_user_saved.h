/* Handles one delivered user: judges it, applies it to the store, and writes its log line. Knows
 * nothing of AMQP. */
#pragma once

#include "common/common_settings.h"
#include "session-service/store.h"
#include "session-service/verdict.h"

struct user_saved_handler {
    struct user_rules rules;
    size_t message_bytes_max;
    enum log_payload payload;
    struct store *store;
    struct buffer user_json; /* scratch */
};

/* Borrows the store. */
void user_saved_handler_init(struct user_saved_handler *handler, const struct user_rules *rules,
                             size_t message_bytes_max, enum log_payload payload,
                             struct store *store);
void user_saved_handler_done(struct user_saved_handler *handler);

struct handled {
    enum verdict verdict;
    bool bare;
    bool duplicate;
    bool session_opened;
    const char *reason; /* DEAD_LETTER: a literal, for machines */
    char detail[256];   /* DEAD_LETTER: for a person; never a member's value */
};

/* In a transaction of the store. Appends the delivery's one log line to `lines`. A failure is the
 * store's, or BUSY: no memory; then the transaction must be rolled back and `lines` be cut to what
 * it was. One thread at a time. */
MUST_CHECK enum outcome user_saved_handle(struct user_saved_handler *handler,
                                          const struct message *message, bool redelivered,
                                          int64_t now_ms, struct buffer *lines,
                                          struct handled *ret_handled, struct error *ret_error);

/* The same for a message that was attempted too often: it is not looked into. */
MUST_CHECK enum outcome user_saved_give_up(const struct message *message, int64_t attempts,
                                           struct buffer *lines, struct handled *ret_handled,
                                           struct error *ret_error);

enum { ATTEMPT_KEY_BYTES = 160 };

/* What attempts at a message are counted by: its id, or a digest of its body. BUSY: no memory. */
MUST_CHECK enum outcome user_saved_attempt_key(const struct message *message,
                                               char ret_key[ATTEMPT_KEY_BYTES],
                                               struct error *ret_error);
