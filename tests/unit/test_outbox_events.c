/* What the outbox forwards at once. The publisher's thread and the HTTP loop are the test's. */
#include "user-service/outbox_internal.h"
#include "user-service/publisher_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { BODY_BYTES = 1000, EVENTS = 8, IN_FLIGHT_BYTES_MAX = 4 * 2500, MIB = 1024 * 1024 };

static char folder[] = "/tmp/test_outbox_events_XXXXXX";

static struct event *event_of(int number)
{
    struct event *event = calloc(1, sizeof(*event));
    assert_non_null(event);
    event->body = calloc(1, BODY_BYTES);
    assert_non_null(event->body);
    event->body_length = BODY_BYTES;
    event->message_id_length =
        (size_t)snprintf(event->message_id, sizeof(event->message_id), "%d", number);
    return event;
}

/* Returns how many events the worker was handed, which are freed, but for the first. */
static size_t take(struct worker *worker, struct event **ret_first)
{
    struct work_list list;
    struct work_item *item = NULL;
    size_t count = 0;
    *ret_first = NULL;
    worker_take_all(worker, &list);
    while ((item = work_list_take(&list)) != NULL) {
        if (count++ == 0) {
            *ret_first = (struct event *)item;
        } else {
            event_free((struct event *)item);
        }
    }
    return count;
}

static void settle(struct outbox *outbox, struct event *event)
{
    struct work_list list = STAILQ_HEAD_INITIALIZER(list);
    event->outcome = EVENT_CONFIRMED;
    STAILQ_INSERT_TAIL(&list, &event->item, next);
    worker_push(&outbox->worker, &list);
    outbox_take_arriving(outbox);
    outbox_store_batch(outbox);
}

static void forwarded_events_are_bounded_by_their_bytes(void **state)
{
    static char url[] = "amqp://127.0.0.1:1/";
    static char queue[] = "session";
    struct settings settings = {.common = {.amqp_url = url, .queue = queue},
                                .max_in_flight = 4 * EVENTS,
                                .max_in_flight_bytes = IN_FLIGHT_BYTES_MAX,
                                .outbox_max_bytes = MIB,
                                .outbox_min_free_bytes = MIB};
    struct outbox *outbox = NULL;
    struct publisher *publisher = NULL;
    struct worker http;
    struct event *first = NULL;
    (void)state;
    assert_int_equal(worker_init(&http, NULL), OUTCOME_OK);
    struct state_directory directory = {.lock_descriptor = -1};
    (void)snprintf(directory.path, sizeof(directory.path), "%s", folder);
    assert_int_equal(outbox_create(&settings, &directory, &outbox, NULL), OUTCOME_OK);
    assert_int_equal(publisher_create(&settings, &outbox->worker, &publisher, NULL), OUTCOME_OK);
    outbox->publisher = publisher;
    publisher->completed = &http;
    publisher_set_state(publisher, PUBLISHER_CONNECTED, "");
    for (int i = 0; i < EVENTS; i++) {
        struct event *event = event_of(i);
        STAILQ_INSERT_TAIL(&outbox->at_hand, &event->item, next);
    }
    outbox_store_batch(outbox);
    assert_int_equal(take(&http, &first), EVENTS);
    assert_int_equal(first->outcome, EVENT_STORED);
    event_free(first);

    outbox_forward(outbox);
    assert_int_equal(take(&publisher->worker, &first), 3); /* 2,500 bytes, and what is begun */
    settle(outbox, first);
    outbox_forward(outbox);
    assert_int_equal(take(&publisher->worker, &first), 1);
    settle(outbox, first);
    settings.max_in_flight_bytes = 1; /* one event goes always */
    outbox->forwarded = outbox->forwarded_bytes = 0;
    outbox_forward(outbox);
    assert_int_equal(take(&publisher->worker, &first), 1);
    event_free(first);
    outbox_free(outbox);
    publisher_free(publisher);
    worker_done(&http);
}

int main(void)
{
    static const char *const names[] = {"user-service.db", "user-service.db-wal",
                                        "user-service.db-shm"};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forwarded_events_are_bounded_by_their_bytes),
    };
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    return rmdir(folder) == 0 ? failed : 1;
}
