/* Messages of any bodies, properties and headers: a verdict and exactly one log line for each, and
 * an effect once. Each input is a few messages in one transaction, which is rolled back. */
#include "common/log/log.h"
#include "session-service/event_dispatcher.h"
#include "session-service/store/store_sqlite_internal.h"
#include "tests/fuzz/fuzz_folder.h"
#include "tests/fuzz/fuzz_input.h"

#include <fcntl.h>
#include <jansson.h>

enum { MESSAGES_MAX = 4, MESSAGE_BYTES_MAX = 64 * 1024, LINES_BYTES_MAX = 16 << 20 };

static struct fuzz_folder folder;
static struct store *store;
static struct event_dispatcher dispatchers[3];

/* The store's own, but for the transaction: that is the input's. */
static enum outcome take(struct store *base, const struct store_event events[], size_t count,
                         int64_t now_ms, struct store_effect ret_effects[], struct error *ret_error)
{
    enum outcome outcome = OUTCOME_OK;
    for (size_t i = 0; outcome == OUTCOME_OK && i < count; i++) {
        outcome = store_sqlite_apply(store_sqlite_of(base), &events[i], now_ms, &ret_effects[i],
                                     ret_error);
    }
    return outcome;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const struct user_rules strict = {.strict = true};
    static const struct user_rules relaxed = {.strict = false};
    (void)argc;
    (void)argv;
    fuzz_folder_make(&folder);
    const struct store_options options = {
        .directory = folder.path, .session_ttl_ms = 1000, .inbox_retention_ms = 60000};
    must(store_create(&options, &store, NULL) == OUTCOME_OK);
    static struct store_kind kind;
    kind = *store->kind;
    kind.take = take;
    store->kind = &kind;
    must(event_dispatcher_init(&dispatchers[0], &strict, MESSAGE_BYTES_MAX, LOG_PAYLOAD_REDACTED,
                               store, NULL) == OUTCOME_OK);
    must(event_dispatcher_init(&dispatchers[1], &relaxed, MESSAGE_BYTES_MAX, LOG_PAYLOAD_FULL,
                               store, NULL) == OUTCOME_OK);
    must(event_dispatcher_init(&dispatchers[2], &strict, MESSAGE_BYTES_MAX, LOG_PAYLOAD_NONE, store,
                               NULL) == OUTCOME_OK);
    log_init("session-service", LOG_FORMAT_JSON, LOG_LEVEL_INFO, STDERR_FILENO);
    return 0;
}

static void take_headers(struct fuzz_input *input, struct message *message)
{
    message->header_count = take_byte(input) % (MESSAGE_HEADERS_MAX + 1);
    for (size_t i = 0; i < message->header_count; i++) {
        struct message_header *header = &message->headers[i];
        unsigned kind = take_byte(input);
        header->name = kind & 2 ? slice_of("saved_at_ms") : take_short(input);
        header->type = kind & 1 ? MESSAGE_HEADER_INTEGER : MESSAGE_HEADER_TEXT;
        header->text = take_short(input);
        if (header->type == MESSAGE_HEADER_INTEGER) {
            size_t length = header->text.length < 8 ? header->text.length : 8;
            memcpy(&header->integer, header->text.data, length);
            header->text = (struct slice){0};
        }
    }
}

/* The properties, each with its length; then the body, with its length in two bytes. */
static struct message take_message(struct fuzz_input *input)
{
    struct message message = {.persistent = true};
    message.message_id = take_short(input);
    message.content_type = take_short(input);
    message.content_encoding = take_short(input);
    message.type = take_short(input);
    for (int i = 0; i < 8; i++) {
        message.timestamp_s = message.timestamp_s << 8 | take_byte(input);
    }
    take_headers(input, &message);
    size_t length = take_byte(input) << 8;
    length |= take_byte(input);
    message.body = take_slice(input, length);
    return message;
}

static void judge_line(const struct buffer *lines, size_t start, const struct handled *handled)
{
    must(lines->length > start + 1 && lines->data[lines->length - 1] == '\n');
    const char *line = lines->data + start;
    size_t length = lines->length - start - 1;
    must(memchr(line, '\n', length) == NULL);
    json_t *root = json_loadb(line, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    must(json_is_object(root));
    const char *outcome = json_string_value(json_object_get(root, "outcome"));
    const char *expected = handled->verdict == VERDICT_DEAD_LETTER ? "dead"
                           : handled->duplicate                    ? "duplicate"
                           : handled->bare                         ? "bare"
                                                                   : "handled";
    must(outcome != NULL && strcmp(outcome, expected) == 0);
    json_decref(root);
}

static struct handled handle(struct event_dispatcher *dispatcher, const struct message *message,
                             struct buffer *lines)
{
    struct handled handled;
    struct error error;
    size_t start = lines->length;
    struct message copy = *message;
    copy.body = copy_exactly(message->body);
    copy.message_id = copy_exactly(message->message_id);
    copy.content_type = copy_exactly(message->content_type);
    copy.content_encoding = copy_exactly(message->content_encoding);
    copy.type = copy_exactly(message->type);
    must(event_dispatcher_decode(dispatcher, &copy, false, (struct slice){0}, &handled, &error) ==
         OUTCOME_OK);
    must(event_dispatcher_take(dispatcher, 1000000, &error) == OUTCOME_OK);
    must(event_dispatcher_tell(dispatcher, lines, &error) == OUTCOME_OK);
    judge_line(lines, start, &handled);
    if (handled.verdict == VERDICT_DEAD_LETTER) {
        must(handled.reason != NULL && handled.detail[0] != '\0');
        json_t *text = json_string(handled.detail); /* NULL: not UTF-8 */
        must(text != NULL);
        json_decref(text);
    } else {
        must(handled.verdict == VERDICT_ACK);
        must(handled.bare == (message->message_id.length == 0));
    }
    char key[ATTEMPT_KEY_BYTES];
    must(event_attempt_key(&copy, key, &error) == OUTCOME_OK);
    must(memchr(key, '\0', sizeof(key)) != NULL);
    free_copy(copy.body);
    free_copy(copy.message_id);
    free_copy(copy.content_type);
    free_copy(copy.content_encoding);
    free_copy(copy.type);
    return handled;
}

/* Once more it has no effect, and with another body it is another message. */
static void repeat(struct event_dispatcher *dispatcher, const struct message *message,
                   struct buffer *lines)
{
    struct message other = *message;
    must(handle(dispatcher, message, lines).duplicate);
    other.body = slice_of("{\"name\":\"another\",\"id\":\"which no input has: 6d1f\"}");
    struct handled handled = handle(dispatcher, &other, lines);
    must(handled.verdict == VERDICT_DEAD_LETTER && strcmp(handled.reason, "id-conflict") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = fuzz_input_of(data, size);
    struct event_dispatcher *dispatcher = &dispatchers[take_byte(&input) % 3];
    struct buffer lines;
    struct error error;
    buffer_init(&lines, LINES_BYTES_MAX);
    must(store_sqlite_begin(store_sqlite_of(store), &error) == OUTCOME_OK);
    for (int i = 0; i < MESSAGES_MAX && input.left > 0; i++) {
        struct message message = take_message(&input);
        struct handled handled = handle(dispatcher, &message, &lines);
        if (handled.verdict == VERDICT_ACK && !handled.bare) {
            repeat(dispatcher, &message, &lines);
        }
    }
    /* Rolls back. */
    must(store_sqlite_end(store_sqlite_of(store), OUTCOME_BUSY, &error) == OUTCOME_BUSY);
    buffer_done(&lines);
    return 0;
}
