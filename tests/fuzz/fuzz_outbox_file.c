/* A damaged outbox: refused and left as it is, or events in their order that can be forwarded. */
#include "common/base/traceparent.h"
#include "tests/fuzz/damaged_file.h"
#include "user-service/outbox_store.h"

enum { EVENTS = 40, ROWS_MAX = 1000 };

static struct damaged_file file = {.names = {"user-service.db", "user-service.db-wal"}};

static struct outbox_store *create_store(void)
{
    const struct outbox_store_options options = {.directory = file.folder.path,
                                                 .bytes_max = 1 << 30};
    struct outbox_store *store = NULL;
    must(outbox_store_create(&options, &store, NULL) == OUTCOME_OK);
    return store;
}

static enum outcome insert_some(struct outbox_store *store, int first, int count)
{
    char body[64];
    enum outcome outcome = outbox_store_begin(store, NULL);
    for (int i = first; outcome == OUTCOME_OK && i < first + count; i++) {
        struct event event = {.body = body, .occurred_at_ms = 1769860800123 + (uint64_t)i};
        event.body_length = (size_t)snprintf(body, sizeof(body), "{\"id\":%d,\"name\":\"Ada\"}", i);
        event.message_id_length =
            (size_t)snprintf(event.message_id, sizeof(event.message_id), "m-%d", i);
        outcome = outbox_store_insert(store, &event, NULL);
    }
    if (outcome == OUTCOME_OK) {
        outcome = outbox_store_commit(store, NULL);
    }
    if (outcome != OUTCOME_OK) {
        outbox_store_rollback(store, outcome);
    }
    return outcome;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    fuzz_folder_make(&file.folder);
    struct outbox_store *store = create_store();
    must(insert_some(store, 0, EVENTS / 2) == OUTCOME_OK);
    outbox_store_free(store);
    store =
        create_store(); /* writes the log back: the database has the first half, the log the rest */
    must(insert_some(store, EVENTS / 2, EVENTS / 2) == OUTCOME_OK);
    outbox_store_free(store);
    damaged_file_learn(&file);
    return 0;
}

static void judge_event(const struct event *event)
{
    must(memchr(event->message_id, '\0', sizeof(event->message_id)) != NULL);
    must(event->traceparent[0] == '\0' || traceparent_is_valid(slice_of(event->traceparent)));
    must(event->body_length > 0);
    must(user_event_id_is_valid((struct slice){event->message_id, event->message_id_length}));
    struct slice copy = copy_exactly((struct slice){event->body, event->body_length});
    free_copy(copy);
}

/* As the outbox forwards: from the first to the last. Ends with the first failure. */
static enum outcome read_all(struct outbox_store *store, int64_t sequences[ROWS_MAX],
                             size_t *ret_count)
{
    int64_t sequence = 0;
    for (;;) {
        struct outbox_store_row row;
        enum outcome outcome = outbox_store_next(store, sequence, &row, NULL);
        if (outcome != OUTCOME_OK || row.sequence == 0) {
            return outcome;
        }
        must(row.sequence > sequence && *ret_count < ROWS_MAX);
        sequence = row.sequence;
        if (row.event != NULL) {
            must(row.event->outbox_sequence == sequence);
            sequences[(*ret_count)++] = sequence;
            judge_event(row.event);
            event_free(row.event);
        }
    }
}

static void forward(struct outbox_store *store)
{
    int64_t sequences[ROWS_MAX];
    size_t count = 0;
    if (read_all(store, sequences, &count) != OUTCOME_OK) {
        return;
    }
    enum outcome outcome = outbox_store_begin(store, NULL);
    for (size_t i = 0; outcome == OUTCOME_OK && i < count; i++) {
        outcome = outbox_store_delete(store, sequences[i], NULL);
    }
    if (outcome == OUTCOME_OK) {
        outcome = outbox_store_commit(store, NULL);
    }
    if (outcome != OUTCOME_OK) {
        outbox_store_rollback(store, outcome);
        return;
    }
    (void)insert_some(store, 0, 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    damaged_file_make(&file, data, size);
    struct outbox_store *store = create_store();
    struct error error;
    enum outcome outcome = outbox_store_open(store, &error);
    if (outcome == OUTCOME_OK) {
        forward(store);
    } else if (outcome == OUTCOME_INVALID) {
        must(strstr(error.text, "left as it is") != NULL);
        damaged_file_must_be_untouched(&file);
    }
    outbox_store_free(store);
    damaged_file_done(&file);
    return 0;
}
