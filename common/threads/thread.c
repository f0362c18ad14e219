/* pthread_create() with attributes. */
#include "common/threads/thread.h"

enum outcome thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *argument),
                          void *argument, struct error *ret_error)
{
    pthread_attr_t attributes;
    int status = pthread_attr_init(&attributes);
    if (status == 0) {
        status = pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
        if (status == 0) {
            status = pthread_create(ret_thread, &attributes, run, argument);
        }
        (void)pthread_attr_destroy(&attributes);
    }
    if (status != 0) {
        return error_set_errno(ret_error, OUTCOME_TRANSIENT, status, "start the thread '%s'", name);
    }
    (void)pthread_setname_np(*ret_thread, name); /* for tools; nothing depends on it */
    return OUTCOME_OK;
}
