/* Replies to requests for events: the only place that maps an outcome to an HTTP status and
 * body. */
#pragma once

#include "common/http/http_server.h"
#include "common/metrics/metrics.h"
#include "user-service/event.h"

enum {
    REPLY_RETRY_AFTER_S = 1,
    REPLY_INVALID = EVENT_OUTCOMES, /* what becomes of a request that never became an event */
};

/* What the replies of one endpoint say, and where they are counted. */
struct endpoint {
    const char *done;        /* what its requests ask for, as in "not saved": a literal */
    const char *invalid;     /* what is wrong where the rules for users are broken: a literal */
    metric_counter *replies; /* borrowed; by enum event_outcome, and REPLY_INVALID */
};

/* Every function here replies to the asker's request and counts the reply. HTTP thread. */

/* Replies with what became of an event. Borrows it. */
void reply_to_event(const struct event *event);

/* Replies as if the outcome were EVENT_UNKNOWN. Another thread may own the event, so this reads no
 * member that another thread may write. */
void reply_to_unknown_event(const struct event *event);

/* These refuse a request that never became an event. */
void reply_refused(const struct asker *asker, enum event_outcome outcome);
/* As EVENT_OVERLOADED, where the limit is one of bytes. */
void reply_too_many_bytes(const struct asker *asker);
void reply_malformed(const struct asker *asker, const char *name, const char *detail);
void reply_key_reused(const struct asker *asker);
void reply_json_as_form(const struct asker *asker);
/* `wanted` says which media types the endpoint takes: a literal. */
void reply_wrong_media_type(const struct asker *asker, const char *wanted);
void reply_large_user(const struct asker *asker, size_t bytes, size_t bytes_max);
/* `name` says which kind of problems they are: a literal. */
void reply_invalid(const struct asker *asker, const char *name,
                   const struct user_problems *problems);
