/* A fixed amount of work on the two hot paths, to be counted by callgrind: no network, and no clock
 * that decides anything.
 *
 * Usage: instructions save|delivery COUNT DIRECTORY
 * save: parse, validate, serialize, choose an id, encode as frames, settle. delivery: decode,
 * judge, apply to the store (in DIRECTORY), format the log line, ack; in batches. */
#include "common/amqp/broker_internal.h"
#include "common/amqp/confirm_window.h"
#include "common/base/message_id.h"
#include "session-service/ack_window.h"
#include "session-service/event_dispatcher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 50, MESSAGE_BYTES_MAX = 65536, WINDOW = 1024 };

static const int64_t SAVED_AT_MS = INT64_C(1795466420711);
static const char json[] = "{\"name\": \"Ada Lovelace\", \"email\": \"ada@example.org\",\n"
                           " \"address\": {\"city\": \"London\", \"born\": 1815}}";
static const struct user_rules rules = {.strict = true,
                                        .refused_members = USER_REFUSED_MEMBERS_DEFAULT};

static const struct broker_route to_queue = {"", "session"};

static void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "instructions: %s failed\n", what);
        exit(1);
    }
}

static void ignore(void *item, enum confirm_result result, void *context)
{
    (void)item;
    (void)result;
    (void)context;
}

static void append_save(struct broker *broker, struct message_id_generator *ids,
                        struct confirm_window *window)
{
    struct error error;
    struct user user;
    struct user_problems problems;
    must(user_parse(slice_of(json), &rules, &user, &problems) == USER_OK, "user_parse");
    char message_id[MESSAGE_ID_TEXT_BYTES], user_id[MESSAGE_ID_TEXT_BYTES];
    must(message_id_generate(ids, (uint64_t)SAVED_AT_MS, message_id, &error) == OUTCOME_OK, "id");
    must(message_id_generate(ids, (uint64_t)SAVED_AT_MS, user_id, &error) == OUTCOME_OK, "id");
    struct buffer text;
    buffer_init(&text, MESSAGE_BYTES_MAX);
    user_append_text(&user, user_id, &text);
    must(!text.failed, "user_append_text");
    struct message message;
    user_event_encode(event_type_name(EVENT_USER_SAVED), buffer_slice(&text), slice_of(message_id),
                      (uint64_t)SAVED_AT_MS, (struct slice){0}, &message);
    must(broker_append_publish(broker, &to_queue, &message, &error) == OUTCOME_OK, "publish");
    (void)confirm_window_add(window, broker, message.message_id, 0);
    buffer_done(&text);
    user_done(&user);
}

static void run_saves(uint64_t count)
{
    struct broker broker = {.frame_max = BROKER_FRAME_BYTES_MAX};
    struct message_id_generator ids = {.left_bytes = 0};
    struct confirm_window window;
    struct error error;
    buffer_init(&broker.out, BROKER_UNSENT_BYTES_MAX);
    must(confirm_window_init(&window, WINDOW, ignore, NULL, &error) == OUTCOME_OK, "window");
    for (uint64_t i = 1; i <= count; i++) {
        append_save(&broker, &ids, &window);
        if (i % BATCH == 0 || i == count) {
            buffer_clear(&broker.out);
            must(confirm_window_settle(&window, i, true, true, &error) == OUTCOME_OK, "settle");
        }
    }
    confirm_window_done(&window);
    buffer_done(&broker.out);
}

struct delivery {
    char message_id[64], body[256];
    struct message message;
    struct handled handled;
};

static void decode_delivery(struct event_dispatcher *dispatcher, struct ack_window *window,
                            uint64_t number, struct delivery *delivery)
{
    struct error error;
    char *body = delivery->body;
    int id_length = snprintf(delivery->message_id, sizeof(delivery->message_id),
                             "01a20a23-61e7-7652-a769-%012llx", (unsigned long long)number);
    int body_length = snprintf(body, sizeof(delivery->body),
                               "{\"id\":\"01a20a23-61e7-7cb6-bab1-%012llx\",\"name\":\"Ada\","
                               "\"email\":\"ada@example.org\",\"city\":\"London\"}",
                               (unsigned long long)number);
    user_event_encode(event_type_name(EVENT_USER_SAVED), (struct slice){body, (size_t)body_length},
                      (struct slice){delivery->message_id, (size_t)id_length},
                      (uint64_t)SAVED_AT_MS, (struct slice){0}, &delivery->message);
    const struct ack_window_entry entry = {.tag = number};
    must(ack_window_add(window, &entry, &error) == OUTCOME_OK, "ack_window_add");
    must(event_dispatcher_decode(dispatcher, &delivery->message, false, (struct slice){0},
                                 &delivery->handled, &error) == OUTCOME_OK,
         "decode");
}

/* Those that end with this number. */
static void finish_deliveries(struct event_dispatcher *dispatcher, struct ack_window *window,
                              uint64_t last, struct delivery deliveries[], struct buffer *lines)
{
    struct error error;
    must(event_dispatcher_take(dispatcher, SAVED_AT_MS, &error) == OUTCOME_OK, "take");
    size_t count = event_dispatcher_untold(dispatcher);
    must(event_dispatcher_tell(dispatcher, lines, &error) == OUTCOME_OK, "tell");
    for (size_t i = 0; i < count; i++) {
        const struct handled *handled = &deliveries[i].handled;
        must(handled->verdict == VERDICT_ACK && !handled->duplicate, "the delivery");
        ack_window_settle(window, last - count + i + 1);
    }
}

static void run_deliveries(uint64_t count, const char *directory)
{
    const struct store_options options = {
        .directory = directory, .session_ttl_ms = 1800000, .inbox_retention_ms = 86400000};
    struct broker broker = {.frame_max = BROKER_FRAME_BYTES_MAX};
    static struct delivery deliveries[BATCH];
    struct event_dispatcher dispatcher;
    struct ack_window window;
    struct buffer lines;
    struct store *store = NULL;
    struct error error;
    buffer_init(&broker.out, BROKER_UNSENT_BYTES_MAX);
    buffer_init(&lines, BATCH * MESSAGE_BYTES_MAX);
    must(store_create(&options, &store, &error) == OUTCOME_OK, "store_create");
    must(ack_window_init(&window, WINDOW, &error) == OUTCOME_OK, "ack_window_init");
    must(event_dispatcher_init(&dispatcher, &rules, MESSAGE_BYTES_MAX, LOG_PAYLOAD_REDACTED, store,
                               &error) == OUTCOME_OK,
         "event_dispatcher_init");
    for (uint64_t i = 1; i <= count; i++) {
        decode_delivery(&dispatcher, &window, i, &deliveries[(i - 1) % BATCH]);
        if (i % BATCH == 0 || i == count) {
            finish_deliveries(&dispatcher, &window, i, deliveries, &lines);
            struct ack_batch acks = ack_window_take_acks(&window);
            must(acks.ack_count == 1 &&
                     broker_append_ack(&broker, acks.acks[0].tag, true, &error) == OUTCOME_OK,
                 "ack");
            buffer_clear(&broker.out);
            buffer_clear(&lines);
        }
    }
    event_dispatcher_done(&dispatcher);
    ack_window_done(&window);
    store_free(store);
    buffer_done(&lines);
    buffer_done(&broker.out);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fputs("usage: instructions save|delivery COUNT DIRECTORY\n", stderr);
        return 2;
    }
    uint64_t count = strtoull(argv[2], NULL, 10);
    if (strcmp(argv[1], "save") == 0) {
        run_saves(count);
    } else {
        run_deliveries(count, argv[3]);
    }
    return 0;
}
