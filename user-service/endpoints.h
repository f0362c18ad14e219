/* The endpoints that have events accepted. HTTP thread.
 *
 * How to add one: add a row to the list, and define `<name>_handle` in <name>.c. The row says what
 * requests the endpoint serves, what its replies say is not done ("not saved"), what they say of a
 * user who breaks the rules, and by which metric they are counted (then docs/monitoring.md). What
 * endpoints share is declared below and in acceptor.h and reply.h. */
#pragma once

#include "user-service/acceptor.h"

#define ENDPOINTS(ENDPOINT, ARGUMENT)                                                              \
    ENDPOINT(ARGUMENT, save_user, "POST", "/users/save", "saved",                                  \
             "this is not a user: see errors", "user_service_saves_total",                         \
             "Save requests by what became of them.")                                              \
    ENDPOINT(ARGUMENT, delete_user, "DELETE", "/users/{id}", "deleted",                            \
             "this can be no user's id: see errors", "user_service_deletions_total",               \
             "Deletion requests by what became of them.")

/* Replies, or has an event accepted whose reply comes later. There is room for one of the size of
 * the request's body. */
#define ENDPOINT_DECLARE(argument, name, ...)                                                      \
    void name##_handle(struct acceptor *acceptor, const struct asker *asker);
ENDPOINTS(ENDPOINT_DECLARE, )

/* How to add a metric is said in common/metrics/metrics.h. */
#define ENDPOINT_METRIC(METRIC, name, method, path, done, invalid, metric, help)                   \
    METRIC(name, COUNTERS("outcome", EVENT_OUTCOMES_AND_NAMES(EVENT_OUTCOME_NAME) "invalid"),      \
           metric, help)
#define ENDPOINT_METRICS(METRIC) ENDPOINTS(ENDPOINT_METRIC, METRIC)

struct endpoint_metrics {
    ENDPOINT_METRICS(METRIC_MEMBER)
};

/* What a request says that its body is. OTHER also where the body is encoded. */
enum media_type { MEDIA_JSON, MEDIA_FORM, MEDIA_OTHER };
enum media_type endpoint_media_type(const struct http_request *request);

/* On success the user is owned. False: the request has its reply. */
MUST_CHECK bool endpoint_parse_user(const struct asker *asker, struct slice json,
                                    const struct user_rules *rules, struct user *ret_user);

/* Replies, or has an event of that type accepted about the user whom the "{id}" of the path names.
 * It may be any id that a saved user can have, and is always sent as a string: to the
 * session-service the id 7 and the id "7" are one user. The event's body is that id, and what
 * `members` has: JSON text that begins with a comma, or nothing. It must be a valid user. */
void endpoint_accept_for_path(struct acceptor *acceptor, const struct asker *asker,
                              enum event_type type, struct slice members);
