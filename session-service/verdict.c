/* The one table from what a message is to what is done with it. */
#include "session-service/verdict.h"

enum verdict verdict_of(enum user_event_kind kind)
{
    switch (kind) {
    case USER_EVENT_IDENTIFIED:
    case USER_EVENT_BARE:
        return VERDICT_ACK;
    case USER_EVENT_IMPOSSIBLE:
        return VERDICT_DEAD_LETTER;
    case USER_EVENT_NO_MEMORY:
        return VERDICT_PAUSE;
    }
    return VERDICT_PAUSE;
}
