/* A publisher without its thread, whose broker is only a buffer: nothing is connected. */
#pragma once

#include "common/amqp/broker_internal.h"
#include "user-service/publisher_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { IN_FLIGHT_MAX = 4, NOW_MS = 100000, DEADLINE_MS = NOW_MS + 5000, OUT_BYTES = 1 << 20 };

struct fixture {
    struct settings settings;
    struct publisher *publisher;
    struct broker broker;
    struct worker outbox;
};

static inline void open_fixture(struct fixture *fixture, bool with_outbox)
{
    static char url[] = "amqp://127.0.0.1:1/";
    static char queue[] = "session";
    struct error error;
    *fixture = (struct fixture){.settings = {.common = {.amqp_url = url, .queue = queue},
                                             .max_in_flight = IN_FLIGHT_MAX,
                                             .confirm_timeout_ms = 5000}};
    assert_int_equal(worker_init(&fixture->outbox, &error), OUTCOME_OK);
    assert_int_equal(publisher_create(&fixture->settings, with_outbox ? &fixture->outbox : NULL,
                                      &fixture->publisher, &error),
                     OUTCOME_OK);
    fixture->broker.frame_max = BROKER_FRAME_BYTES_MAX;
    buffer_init(&fixture->broker.out, OUT_BYTES);
    fixture->publisher->confirms.broker = &fixture->broker;
    fixture->publisher->now_ms = NOW_MS;
    publisher_set_state(fixture->publisher, PUBLISHER_CONNECTED, "");
}

static inline void free_events(struct work_list *list)
{
    struct work_item *item = NULL;
    while ((item = work_list_take(list)) != NULL) {
        event_free((struct event *)item);
    }
}

static inline void close_fixture(struct fixture *fixture)
{
    publisher_complete_all(fixture->publisher);
    free_events(&fixture->publisher->done);
    free_events(&fixture->publisher->to_outbox);
    fixture->publisher->confirms.broker = NULL;
    buffer_done(&fixture->broker.out);
    publisher_free(fixture->publisher);
    worker_done(&fixture->outbox);
}

static inline struct event *accept(struct fixture *fixture, const char *message_id)
{
    struct event *event = calloc(1, sizeof(*event));
    assert_non_null(event);
    event->body = strdup("{\"name\":\"Ada\"}");
    event->body_length = strlen(event->body);
    event->message_id_length = strlen(message_id);
    memcpy(event->message_id, message_id, event->message_id_length + 1);
    event->deadline_ms = DEADLINE_MS;
    publisher_accept(fixture->publisher, event);
    return event;
}

static inline void send_waiting(struct fixture *fixture)
{
    struct error error;
    assert_int_equal(publisher_send_waiting(fixture->publisher, &error), OUTCOME_OK);
}

static inline struct event *publish(struct fixture *fixture, const char *message_id)
{
    struct event *event = accept(fixture, message_id);
    send_waiting(fixture);
    assert_true(event->published && event->tag != 0);
    return event;
}

static inline void take(struct fixture *fixture, const struct broker_event *event)
{
    struct error error;
    struct publisher *publisher = fixture->publisher;
    assert_true(publisher_hear(publisher, event));
    assert_int_equal(
        confirming_publisher_take(&publisher->confirms, event, publisher->now_ms, &error),
        OUTCOME_OK);
}

static inline void settle(struct fixture *fixture, enum broker_event_type type, uint64_t tag)
{
    const struct broker_event event = {.type = type, .tag = tag};
    take(fixture, &event);
}

static inline void take_return(struct fixture *fixture, const char *message_id)
{
    const struct broker_event event = {.type = BROKER_EVENT_RETURN, .text = slice_of(message_id)};
    take(fixture, &event);
}

static inline void lose(struct fixture *fixture)
{
    confirm_window_drain(&fixture->publisher->confirms.window);
    publisher_keep_for_next_connection(fixture->publisher);
}

/* Nothing else was completed, and `event` was with this outcome. */
static inline void expect_one(struct work_list *list, const struct event *event,
                              enum event_outcome outcome)
{
    assert_ptr_equal(STAILQ_FIRST(list), event);
    assert_int_equal(event->outcome, outcome);
    event_free((struct event *)work_list_take(list));
    assert_null(STAILQ_FIRST(list));
}

static inline void expect_done(struct fixture *fixture, const struct event *event,
                               enum event_outcome outcome)
{
    assert_null(STAILQ_FIRST(&fixture->publisher->to_outbox));
    expect_one(&fixture->publisher->done, event, outcome);
}

static inline void expect_outbox(struct fixture *fixture, const struct event *event,
                                 enum event_outcome outcome)
{
    assert_null(STAILQ_FIRST(&fixture->publisher->done));
    expect_one(&fixture->publisher->to_outbox, event, outcome);
}

static inline void expect_nothing_done(const struct fixture *fixture)
{
    assert_null(STAILQ_FIRST(&fixture->publisher->done));
    assert_null(STAILQ_FIRST(&fixture->publisher->to_outbox));
}

static inline enum outcome check(struct fixture *fixture, uint64_t after_ms,
                                 struct error *ret_error)
{
    fixture->publisher->now_ms = NOW_MS + after_ms;
    return publisher_check_confirms(fixture->publisher, ret_error);
}
