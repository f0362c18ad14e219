/* Prints dead letters on standard output: as a table, or as one JSON object on a line. A letter may
 * hold anything, so what could disturb a terminal is escaped. One thread. */
#pragma once

#include "common/amqp/message.h"
#include "common/base/error.h"

/* What is printed about a letter. All texts are borrowed. */
struct dead_letter_view {
    uint64_t position; /* in the queue, from 1 */
    const char *id;    /* event_attempt_key() */
    const struct message *message;
    struct slice reason, detail;     /* empty: not said */
    int64_t first_at_ms, last_at_ms; /* 0: not said */
    int64_t count;                   /* 0: not said */
};

/* Takes what the letter's headers say. */
void dead_letter_view_init(struct dead_letter_view *ret_view, const struct message *message,
                           uint64_t position, const char *id);

/* False: there is no memory, or standard output does not take the text. errno says which. */
MUST_CHECK bool dead_letter_print_heading(void);
MUST_CHECK bool dead_letter_print_row(const struct dead_letter_view *view, bool json);
/* Prints the letter with its body, and with all of its headers that are text or numbers. */
MUST_CHECK bool dead_letter_print_whole(const struct dead_letter_view *view, bool json);
/* Prints what was done with a letter, or why nothing was: `done` is a word, `why` a sentence or
 * "". */
MUST_CHECK bool dead_letter_print_done(const struct dead_letter_view *view, bool json,
                                       const char *done, const char *why);
