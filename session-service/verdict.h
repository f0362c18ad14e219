/* What becomes of a delivery once it was judged. Pure. */
#pragma once

#include "common/user/user_event.h"

enum verdict {
    VERDICT_ACK,         /* its effect is complete: settle it */
    VERDICT_DEAD_LETTER, /* it can never be handled: settle it when its copy is confirmed */
    VERDICT_PAUSE,       /* not now, and not its fault: settle nothing, try again later */
};

MUST_CHECK enum verdict verdict_of(enum user_event_kind kind);
