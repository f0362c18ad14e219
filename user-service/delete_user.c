/* DELETE /users/{id}: this user is deleted. A body of the request is not looked at. */
#include "user-service/endpoints.h"

void delete_user_handle(struct acceptor *acceptor, const struct asker *asker)
{
    endpoint_accept_for_path(acceptor, asker, EVENT_USER_DELETED, (struct slice){0});
}
