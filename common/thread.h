/* Starts a thread with a name, and with a stack that does not depend on `ulimit -s`. */
#pragma once

#include "common/error.h"

#include <pthread.h>

/* What needs the most is rabbitmq-c before 0.14: it decodes nested headers by recursion. A level is
 * at least 5 bytes of a frame, so one of BROKER_FRAME_BYTES_MAX (128 KiB) nests 26,212 levels, and
 * a level costs 96 bytes of stack on amd64: 2.4 MiB. Here is three times as much, for other
 * processors and compilers. Memory that is not used costs nothing. */
enum { THREAD_STACK_BYTES = 8 * 1024 * 1024 };

/* `name`: a literal of at most 15 characters. The thread is to be joined or detached. */
MUST_CHECK enum outcome thread_start(pthread_t *ret_thread, const char *name,
                                     void *(*run)(void *argument), void *argument,
                                     struct error *ret_error);
