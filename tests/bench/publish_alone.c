/* Publishes alone, with confirms and a number in flight: the ceiling of what a service can reach.
 *
 * Usage: publish_alone URL QUEUE each|batch IN_FLIGHT SECONDS BODY_BYTES
 * each: the library's own publish, one call for a message; batch: frames of a batch in one send.
 * Prints how many were confirmed, in how many seconds, and the CPU seconds that this process used.
 */
#include "common/amqp/broker_internal.h"
#include "common/amqp/confirm_window.h"
#include "common/base/clock.h"
#include "common/user/user_event.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* The window is wider than what is in flight: one late confirm must not hold up the others. */
enum { HEARTBEAT_S = 10, STALL_MS = 10000, WINDOW_FACTOR = 16 };

struct run {
    struct broker *broker;
    const char *queue;
    bool in_batches;
    uint64_t published, confirmed, max_in_flight;
    struct confirm_window window;
    struct message message;
    struct error error;
};

static void die(const char *what, const struct error *error)
{
    fprintf(stderr, "publish_alone: %s: %s\n", what, error->text);
    exit(1);
}

static void connect_to(struct run *run, const char *url)
{
    struct broker_address address;
    struct broker_queue_finding finding;
    const struct broker_queue queue = {.name = run->queue, .type = BROKER_QUEUE_QUORUM};
    const struct broker_open_options options = {.connection_name = "publish_alone",
                                                .heartbeat_s = HEARTBEAT_S};
    if (broker_address_parse(slice_of(url), &address, &run->error) != OUTCOME_OK ||
        broker_open(&address, &options, &run->broker, &run->error) != OUTCOME_OK ||
        broker_declare_and_wait(run->broker, &queue, &finding, &run->error) != OUTCOME_OK ||
        broker_enable_confirms(run->broker, &run->error) != OUTCOME_OK) {
        die("connect", &run->error);
    }
    broker_address_done(&address);
}

static enum outcome publish_with_library(struct run *run)
{
    amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_CONTENT_TYPE_FLAG |
                  AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_TYPE_FLAG | AMQP_BASIC_APP_ID_FLAG |
                  AMQP_BASIC_TIMESTAMP_FLAG,
        .delivery_mode = AMQP_DELIVERY_PERSISTENT,
        .content_type = broker_bytes(run->message.content_type),
        .message_id = broker_bytes(run->message.message_id),
        .type = broker_bytes(run->message.type),
        .app_id = broker_bytes(run->message.app_id),
        .timestamp = run->message.timestamp_s,
    };
    int status = amqp_basic_publish(run->broker->connection, BROKER_CHANNEL, amqp_empty_bytes,
                                    amqp_cstring_bytes(run->queue), 1, 0, &properties,
                                    broker_bytes(run->message.body));
    return status == AMQP_STATUS_OK
               ? OUTCOME_OK
               : error_set(&run->error, OUTCOME_BROKEN, "publish: %s", amqp_error_string2(status));
}

static void fill_window(struct run *run)
{
    const struct broker_route route = {"", run->queue};
    while (run->published - run->confirmed < run->max_in_flight &&
           !confirm_window_is_full(&run->window)) {
        enum outcome outcome =
            run->in_batches ? broker_append_publish(run->broker, &route, &run->message, &run->error)
                            : publish_with_library(run);
        if (outcome != OUTCOME_OK) {
            die("publish", &run->error);
        }
        (void)confirm_window_add(&run->window, run, run->message.message_id, 0);
        run->published++;
    }
    if (broker_flush(run->broker, &run->error) != OUTCOME_OK) {
        die("send", &run->error);
    }
}

static void count(void *item, enum confirm_result result, void *context)
{
    struct run *run = context;
    (void)item;
    (void)result;
    run->confirmed++;
}

static void read_confirms(struct run *run)
{
    struct broker_event event;
    do {
        if (broker_read(run->broker, &event, &run->error) != OUTCOME_OK) {
            die("read", &run->error);
        }
        enum outcome outcome = OUTCOME_OK;
        if (event.type == BROKER_EVENT_ACK) {
            outcome =
                confirm_window_settle(&run->window, event.tag, event.multiple, true, &run->error);
        } else if (event.type == BROKER_EVENT_NACK || event.type == BROKER_EVENT_RETURN) {
            outcome = error_set(&run->error, OUTCOME_BROKEN, "a message was not taken");
        }
        if (outcome != OUTCOME_OK) {
            die("confirm", &run->error);
        }
    } while (event.type != BROKER_EVENT_NONE);
}

static double cpu_seconds(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) {
        return 0;
    }
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void wait_for_confirms(struct run *run)
{
    struct pollfd polled = {
        .fd = broker_descriptor(run->broker),
        .events = broker_unsent_bytes(run->broker) > 0 ? POLLIN | POLLOUT : POLLIN,
    };
    if (poll(&polled, 1, STALL_MS) <= 0) {
        error_set(&run->error, OUTCOME_BROKEN, "the broker says nothing for %d ms", (int)STALL_MS);
        die("wait", &run->error);
    }
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fputs("usage: publish_alone URL QUEUE each|batch IN_FLIGHT SECONDS BODY_BYTES\n", stderr);
        return 2;
    }
    struct run run = {.queue = argv[2],
                      .in_batches = strcmp(argv[3], "batch") == 0,
                      .max_in_flight = strtoull(argv[4], NULL, 10)};
    double seconds = strtod(argv[5], NULL);
    size_t body_bytes = strtoull(argv[6], NULL, 10);
    char *body = malloc(body_bytes + 1);
    if (body == NULL || run.max_in_flight == 0) {
        return 2;
    }
    memset(body, 'x', body_bytes);
    user_event_encode(event_type_name(EVENT_USER_SAVED), (struct slice){body, body_bytes},
                      slice_of("01a20a23-61e7-7652-a769-82b0ad3193d0"), clock_wall_ms(),
                      (struct slice){0}, &run.message);
    if (confirm_window_init(&run.window, run.max_in_flight * WINDOW_FACTOR, count, &run,
                            &run.error) != OUTCOME_OK) {
        die("window", &run.error);
    }
    connect_to(&run, argv[1]);
    uint64_t begin_us = clock_monotonic_us();
    double begin_cpu = cpu_seconds();
    uint64_t end_us = begin_us + (uint64_t)(seconds * 1e6);
    while (clock_monotonic_us() < end_us) {
        fill_window(&run);
        wait_for_confirms(&run);
        read_confirms(&run);
    }
    double elapsed = (double)(clock_monotonic_us() - begin_us) / 1e6;
    printf("{\"confirmed\": %llu, \"seconds\": %.6f, \"cpu_seconds\": %.6f}\n",
           (unsigned long long)run.confirmed, elapsed, cpu_seconds() - begin_cpu);
    broker_free(run.broker);
    confirm_window_done(&run.window);
    free(body);
    return 0;
}
