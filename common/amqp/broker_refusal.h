/* Why the broker has refused a request, in words for an operator. Pure.
 *
 * The broker's own text says which resource of which user it was (403), or which argument differs
 * (406), but not which right is missing. It is cut at 255 bytes, so that a long name of a queue may
 * leave nothing of what stands behind it. */
#pragma once

#include "common/amqp/message.h"
#include "common/base/error.h"

enum {
    REFUSED_ACCESS = 403,
    REFUSED_NOT_FOUND = 404,
    REFUSED_LOCKED = 405,
    REFUSED_PRECONDITION = 406
};

struct broker_refusal {
    int code;        /* 403; 0: none */
    uint32_t method; /* of the request: its class and, in the lower half, its number */
    size_t text_length;
    char text[SHORT_STRING_BYTES_MAX];
};

/* Copies the broker's text, whose last character it may have cut in two, without a part of one. */
void broker_refusal_set_text(struct broker_refusal *refusal, struct slice text);

/* INVALID where the broker says that the request itself is wrong or not allowed, else TRANSIENT. */
enum outcome broker_refusal_error(const struct broker_refusal *refusal, const char *what,
                                  struct error *ret_error);

/* Of a 403: which right on which resource the user lacks. False: it is about something else. */
bool broker_refusal_missing_right(const struct broker_refusal *refusal, struct error *ret_right);

/* The request is wrong or not allowed, or what it is about does not exist: it would be refused
 * again. */
bool broker_refusal_is_of_request(const struct broker_refusal *refusal);

/* True: there is no such queue or exchange. False also where a node that has it is down. */
bool broker_refusal_is_missing(const struct broker_refusal *refusal);

enum { BROKER_ARGUMENT_BYTES = 64, QUEUE_ARGUMENT_TYPE_BYTES = 24 };

struct queue_argument {
    char name[BROKER_ARGUMENT_BYTES];
    char type[QUEUE_ARGUMENT_TYPE_BYTES]; /* "signedint", "longstr", "bool" */
    char value[SHORT_STRING_BYTES_MAX + 1];
};

/* Of a 406 on a queue that exists: writes the argument that differs, and what it is there and what
 * was asked for ("x-message-ttl is 60000, and not none"). False: it is about something else. */
MUST_CHECK bool broker_refusal_difference(const struct broker_refusal *refusal,
                                          char ret_argument[BROKER_ARGUMENT_BYTES],
                                          struct error *ret_difference);

/* Of a 406 because of an argument that the queue has and the declaration has not: the argument.
 * False: it is about something else, or the text is cut off. */
MUST_CHECK bool broker_refusal_argument(const struct broker_refusal *refusal,
                                        struct queue_argument *ret_argument);
