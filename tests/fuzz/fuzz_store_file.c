/* A damaged store: refused and left as it is, or one that takes messages. */
#include "session-service/store/store.h"
#include "tests/fuzz/damaged_file.h"

enum { USERS = 30, EVENTS_MAX = USERS + 10 };

static struct damaged_file file = {.names = {"session-service.db", "session-service.db-wal"}};

static struct store *create_store(void)
{
    const struct store_options options = {
        .directory = file.folder.path, .session_ttl_ms = 1000, .inbox_retention_ms = 60000};
    struct store *store = NULL;
    must(store_create(&options, &store, NULL) == OUTCOME_OK);
    return store;
}

static enum outcome apply_some(struct store *store, int first, int count, int64_t now_ms)
{
    static char ids[EVENTS_MAX][32];
    static char keys[EVENTS_MAX][32];
    static struct store_event events[EVENTS_MAX];
    static struct store_effect effects[EVENTS_MAX];
    for (int i = 0; i < count; i++) {
        int number = first + i;
        (void)snprintf(ids[i], sizeof(ids[i]), "m-%d", number);
        (void)snprintf(keys[i], sizeof(keys[i]), "u-%d", number % 20);
        events[i] = (struct store_event){.change = number % 7 == 3 ? STORE_DELETE : STORE_SAVE,
                                         .message_id = slice_of(ids[i]),
                                         .user_key = slice_of(keys[i]),
                                         .body = slice_of("{\"name\":\"Ada\"}"),
                                         .saved_at_ms = now_ms};
    }
    return store_take(store, events, (size_t)count, now_ms, effects, NULL);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    fuzz_folder_make(&file.folder);
    struct store *store = create_store();
    must(apply_some(store, 0, USERS / 2, 1000) == OUTCOME_OK);
    store_free(store);
    store =
        create_store(); /* writes the log back: the database has the first half, the log the rest */
    must(apply_some(store, USERS / 2, USERS / 2, 2000) == OUTCOME_OK);
    must(store_accuse(store, slice_of("a"), true, 1000, NULL) == OUTCOME_OK);
    store_free(store);
    damaged_file_learn(&file);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    damaged_file_make(&file, data, size);
    struct store *store = create_store();
    struct error error;
    enum outcome outcome = store_open(store, &error);
    if (outcome == OUTCOME_INVALID) {
        must(strstr(error.text, "left as it is") != NULL);
        damaged_file_must_be_untouched(&file);
    } else if (outcome == OUTCOME_OK) {
        outcome = apply_some(store, 0, EVENTS_MAX, 3000);
        if (outcome == OUTCOME_OK) {
            outcome = store_accuse(store, slice_of("a"), true, 3000, &error);
        }
        if (outcome == OUTCOME_OK) {
            outcome = store_prune(store, 100000, &error);
        }
    }
    store_free(store);
    damaged_file_done(&file);
    return 0;
}
