/* The end of an event. */
#include "user-service/event.h"

#include <stdlib.h>

void event_free(struct event *event)
{
    if (event != NULL) {
        free(event->body);
        free(event);
    }
}
