/* Starts a thread with a name, and with a stack that does not depend on `ulimit -s`. */
#pragma once

#include "common/base/error.h"

#include <pthread.h>

/* What needs the most is jansson: it reads nested JSON by recursion, 2,048 levels deep before it
 * refuses. Memory that is not used costs nothing. */
enum { THREAD_STACK_BYTES = 8 * 1024 * 1024 };

/* `name`: a literal of at most 15 characters. The thread is to be joined or detached. */
MUST_CHECK enum outcome thread_start(pthread_t *ret_thread, const char *name,
                                     void *(*run)(void *argument), void *argument,
                                     struct error *ret_error);
