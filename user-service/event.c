/* The types of events, and the end of an event. */
#include "user-service/event.h"

#include <stdlib.h>

#define TYPE_NAME(type, name) {name, sizeof(name) - 1},
static const struct slice type_names[EVENT_TYPES] = {EVENT_TYPES_AND_NAMES(TYPE_NAME)};

struct slice event_type_name(enum event_type type)
{
    return type_names[type];
}

bool event_type_find(struct slice name, enum event_type *ret_type)
{
    for (size_t i = 0; i < EVENT_TYPES; i++) {
        if (slice_equal(name, type_names[i])) {
            *ret_type = (enum event_type)i;
            return true;
        }
    }
    return false;
}

void event_free(struct event *event)
{
    if (event != NULL) {
        free(event->body);
        free(event);
    }
}
