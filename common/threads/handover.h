/* Hands batches of items from one thread to another: a list under a lock and one eventfd write for
 * a batch that finds the list empty. Items embed a handover_node as their first member. */
#pragma once

#include "common/base/error.h"

#include <pthread.h>
#include <stdbool.h>

struct handover_node {
    struct handover_node *next;
};

/* A batch under construction, of one thread. */
struct handover_list {
    struct handover_node *head, *tail;
};

struct handover {
    pthread_mutex_t lock;
    struct handover_list list;
    int wake_descriptor; /* owned eventfd */
};

MUST_CHECK enum outcome handover_init(struct handover *handover, struct error *ret_error);
void handover_done(struct handover *handover);

void handover_list_append(struct handover_list *list, struct handover_node *node);
/* Removes and returns the first, NULL when empty. */
struct handover_node *handover_list_take(struct handover_list *list);

/* Moves the whole batch over and wakes the other side; `batch` is empty afterwards. */
void handover_push(struct handover *handover, struct handover_list *batch);

/* Takes everything that was pushed, and clears the eventfd. */
struct handover_list handover_take_all(struct handover *handover);

/* Wakes the other side without an item. */
void handover_wake(struct handover *handover);
