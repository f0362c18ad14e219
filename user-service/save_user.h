/* POST /users/save: from a request to a save at the publisher, and back to a reply. HTTP thread. */
#pragma once

#include "common/http_server.h"
#include "common/message_id.h"
#include "user-service/publisher.h"
#include "user-service/reply.h"

struct save_user {
    const struct settings *settings;
    struct publisher *publisher;
    struct user_rules rules;
    struct message_id_generator ids;
    struct handover_list outgoing; /* accepted in this turn of the loop */
    size_t in_flight, in_flight_bytes;
    struct reply_metrics metrics;
};

/* Borrows everything. `server` is set once it exists. */
void save_user_init(struct save_user *save_user, const struct settings *settings,
                    struct publisher *publisher);

/* The route. */
void save_user_handle(struct http_request *request, struct save_user *save_user);

/* After each turn of the loop: hands over what was accepted in it. */
void save_user_submit(struct save_user *save_user);

/* When the publisher has completed some: replies to them. */
void save_user_take_completed(struct save_user *save_user);
