/* The end of an event, and the names of its outcomes. */
#include "user-service/event.h"

#include <stdlib.h>

static const char *const names[EVENT_OUTCOMES] = {EVENT_OUTCOMES_AND_NAMES(EVENT_OUTCOME_NAME)};

const char *event_outcome_name(enum event_outcome outcome)
{
    return names[outcome];
}

void event_free(struct event *event)
{
    if (event != NULL) {
        free(event->body);
        free(event);
    }
}
