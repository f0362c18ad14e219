/* Batches of items from one thread to another. */
#include "common/threads/handover.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum outcome handover_init(struct handover *handover, struct error *ret_error)
{
    int descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (descriptor < 0) {
        return error_set_errno(ret_error, OUTCOME_TRANSIENT, errno, "cannot create an eventfd");
    }
    int failure = pthread_mutex_init(&handover->lock, NULL);
    if (failure != 0) {
        (void)close(descriptor);
        return error_set_errno(ret_error, OUTCOME_TRANSIENT, failure, "cannot create a mutex");
    }
    handover->list = (struct handover_list){NULL, NULL};
    handover->wake_descriptor = descriptor;
    return OUTCOME_OK;
}

void handover_done(struct handover *handover)
{
    (void)close(handover->wake_descriptor);
    handover->wake_descriptor = -1;
    (void)pthread_mutex_destroy(&handover->lock);
}

void handover_list_append(struct handover_list *list, struct handover_node *node)
{
    node->next = NULL;
    if (list->tail == NULL) {
        list->head = node;
    } else {
        list->tail->next = node;
    }
    list->tail = node;
}

struct handover_node *handover_list_take(struct handover_list *list)
{
    struct handover_node *node = list->head;
    if (node != NULL) {
        list->head = node->next;
        if (list->head == NULL) {
            list->tail = NULL;
        }
        node->next = NULL;
    }
    return node;
}

void handover_push(struct handover *handover, struct handover_list *batch)
{
    if (batch->head == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&handover->lock);
    bool was_empty = handover->list.head == NULL;
    if (was_empty) {
        handover->list = *batch;
    } else {
        handover->list.tail->next = batch->head;
        handover->list.tail = batch->tail;
    }
    (void)pthread_mutex_unlock(&handover->lock);
    *batch = (struct handover_list){NULL, NULL};
    /* After the lock, so that the other side does not wake only to wait for it. */
    if (was_empty) {
        handover_wake(handover);
    }
}

struct handover_list handover_take_all(struct handover *handover)
{
    /* Cleared before the list is taken: what is pushed in between is either taken now or finds an
     * empty list and wakes again. */
    uint64_t count;
    (void)!read(handover->wake_descriptor, &count, sizeof(count));
    (void)pthread_mutex_lock(&handover->lock);
    struct handover_list list = handover->list;
    handover->list = (struct handover_list){NULL, NULL};
    (void)pthread_mutex_unlock(&handover->lock);
    return list;
}

void handover_wake(struct handover *handover)
{
    /* Fails only where the counter is full, and then the descriptor is readable anyway. */
    const uint64_t one = 1;
    (void)!write(handover->wake_descriptor, &one, sizeof(one));
}
