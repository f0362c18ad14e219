/* A broker that sends any bytes: after a login that works, or (first byte 'H') as the login itself.
 * Events until an error, deliveries whose bytes can be read and copied, and an end in time. */
#include "common/amqp/broker.h"
#include "common/base/clock.h"
#include "tests/fuzz/fuzz_input.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS_MAX = 1000, TIME_MS_MAX = 3000, URL_BYTES = 64 };

/* connection.start, .tune (no heartbeat), .open-ok and channel.open-ok. */
static const unsigned char login[] =
    "\x01\x00\x00\x00\x00\x00\x1c\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x00"
    "\x00\x00\x00\x05PLAIN\x00\x00\x00\x05"
    "en_US\xce"
    "\x01\x00\x00\x00\x00\x00\x0c\x00\x0a\x00\x1e\x07\xff\x00\x02\x00\x00\x00\x00\xce"
    "\x01\x00\x00\x00\x00\x00\x05\x00\x0a\x00\x29\x00\xce"
    "\x01\x00\x01\x00\x00\x00\x08\x00\x14\x00\x0b\x00\x00\x00\x00\xce";

static int listener = -1;
static struct broker_address address;

/* Written by the one thread before it connects, read by the other between its accept and `served`.
 */
static struct slice login_bytes, input_bytes;
static bool knows_login;
static sem_t opened, served;

static void send_all(int client, struct slice bytes)
{
    while (bytes.length > 0) {
        ssize_t count = TEMP_FAILURE_RETRY(send(client, bytes.data, bytes.length, MSG_NOSIGNAL));
        if (count <= 0) {
            return;
        }
        bytes.data += count;
        bytes.length -= (size_t)count;
    }
}

static void *run_broker(void *argument)
{
    char scratch[65536];
    (void)argument;
    for (;;) {
        int client = (int)TEMP_FAILURE_RETRY(accept(listener, NULL, NULL));
        must(client >= 0);
        send_all(client, login_bytes);
        if (knows_login) {
            /* What comes together with the login is the library's, and lost. */
            must(TEMP_FAILURE_RETRY(sem_wait(&opened)) == 0);
        }
        send_all(client, input_bytes);
        (void)shutdown(client, SHUT_WR);
        while (TEMP_FAILURE_RETRY(recv(client, scratch, sizeof(scratch), 0)) > 0) {
        }
        must(close(client) == 0);
        must(sem_post(&served) == 0);
    }
    return NULL;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(own);
    char url[URL_BYTES];
    pthread_t thread;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(listener >= 0);
    must(bind(listener, (struct sockaddr *)&own, sizeof(own)) == 0);
    must(listen(listener, 16) == 0);
    must(getsockname(listener, (struct sockaddr *)&own, &length) == 0);
    (void)snprintf(url, sizeof(url), "amqp://guest:guest@127.0.0.1:%d/", ntohs(own.sin_port));
    must(broker_address_parse(slice_of(url), &address, NULL) == OUTCOME_OK);
    must(sem_init(&opened, 0, 0) == 0);
    must(sem_init(&served, 0, 0) == 0);
    must(pthread_create(&thread, NULL, run_broker, NULL) == 0);
    return 0;
}

static void use(struct slice slice)
{
    free_copy(copy_exactly(slice));
}

/* As the consumer does with an impossible one. */
static enum outcome use_delivery(struct broker *broker, const struct broker_delivery *delivery)
{
    const struct message *message = &delivery->message;
    const struct message_header reason = {.name = slice_of("reason"), .text = slice_of("not-json")};
    const struct broker_copy copy = {
        .queue = "session.dead", .headers = &reason, .header_count = 1, .dropped_prefix = "drop-"};
    use(message->body);
    use(message->message_id);
    use(message->content_type);
    use(message->type);
    use(message->app_id);
    must(message->header_count <= MESSAGE_HEADERS_MAX);
    for (size_t i = 0; i < message->header_count; i++) {
        use(message->headers[i].name);
        if (message->headers[i].type == MESSAGE_HEADER_TEXT) {
            use(message->headers[i].text);
        }
    }
    enum outcome outcome =
        broker_append_copy(broker, message->body, delivery->raw_properties, &copy, NULL);
    must(outcome == OUTCOME_OK || outcome == OUTCOME_INVALID);
    must(broker_append_ack(broker, delivery->tag, false, NULL) == OUTCOME_OK);
    return broker_flush(broker, NULL);
}

static enum outcome wait_for_bytes(struct broker *broker)
{
    struct pollfd poll_descriptor = {.fd = broker_descriptor(broker), .events = POLLIN};
    if (broker_unsent_bytes(broker) > 0) {
        poll_descriptor.events |= POLLOUT;
    }
    must(TEMP_FAILURE_RETRY(poll(&poll_descriptor, 1, TIME_MS_MAX)) == 1);
    return broker_flush(broker, NULL);
}

static void read_all(struct broker *broker)
{
    struct error error;
    enum outcome outcome = OUTCOME_OK;
    for (int i = 0; i < EVENTS_MAX && outcome == OUTCOME_OK; i++) {
        struct broker_event event;
        outcome = broker_read(broker, &event, &error);
        if (outcome != OUTCOME_OK) {
            must(outcome == OUTCOME_BROKEN && error.text[0] != '\0');
        } else if (event.type == BROKER_EVENT_NONE) {
            outcome = wait_for_bytes(broker);
        } else if (event.type == BROKER_EVENT_DELIVERY) {
            outcome = use_delivery(broker, &event.delivery);
        } else if (event.type == BROKER_EVENT_RETURN || event.type == BROKER_EVENT_BLOCKED) {
            use(event.text);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = fuzz_input_of(data, size);
    const struct broker_open_options options = {.connection_name = "fuzz", .heartbeat_s = 10};
    struct error error = {.text = ""};
    struct broker *broker = NULL;
    knows_login = take_byte(&input) != 'H';
    login_bytes = (struct slice){(const char *)login, knows_login ? sizeof(login) - 1 : 0};
    input_bytes = take_slice(&input, input.left);
    uint64_t begin_ms = clock_monotonic_ms();
    enum outcome outcome = broker_open(&address, &options, &broker, &error);
    must(outcome == OUTCOME_OK || (!knows_login && error.text[0] != '\0'));
    if (knows_login) {
        must(sem_post(&opened) == 0);
    }
    if (outcome == OUTCOME_OK) {
        read_all(broker);
        broker_free(broker);
    }
    must(TEMP_FAILURE_RETRY(sem_wait(&served)) == 0);
    must(clock_monotonic_ms() - begin_ms < TIME_MS_MAX);
    return 0;
}
