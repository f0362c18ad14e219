/* A damaged store: refused and left as it is, or one that takes messages. */
#include "session-service/store/store.h"
#include "tests/fuzz/damaged_file.h"

enum { USERS = 30 };

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
    enum outcome outcome = store_begin(store, NULL);
    for (int i = first; outcome == OUTCOME_OK && i < first + count; i++) {
        bool deletes = i % 7 == 3;
        char id[32];
        char key[32];
        (void)snprintf(id, sizeof(id), "m-%d", i);
        (void)snprintf(key, sizeof(key), "u-%d", i % 20);
        const struct store_event event = {.message_id = slice_of(id),
                                          .user_key = slice_of(key),
                                          .body = slice_of("{\"name\":\"Ada\"}"),
                                          .saved_at_ms = now_ms};
        struct store_effect effect;
        outcome = deletes ? store_delete_user(store, &event, now_ms, &effect, NULL)
                          : store_save_user(store, &event, now_ms, &effect, NULL);
    }
    return store_end(store, outcome, NULL);
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
        outcome = apply_some(store, 0, USERS + 10, 3000);
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
