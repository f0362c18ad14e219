/* How many messages a second a store takes, without a broker: store_rate DIRECTORY URL WRITERS
 * BATCH SECONDS. Each message is of another user. Prints messages and CPU microseconds of a
 * message. Each writer is a process; the embedded store has one. */
#include "session-service/store/store.h"

#include "common/base/clock.h"
#include "common/base/digest.h"
#include "common/base/message_id.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BATCH_MAX = 1000, TEXT_BYTES = 160 };

static struct store_event events[BATCH_MAX];
static struct store_effect effects[BATCH_MAX];
static char texts[BATCH_MAX][3][TEXT_BYTES];
static struct message_id_generator ids;

static void fill(size_t count, int64_t now_ms)
{
    for (size_t i = 0; i < count; i++) {
        (void)!message_id_generate(&ids, (uint64_t)now_ms, texts[i][0], NULL);
        (void)!message_id_generate(&ids, (uint64_t)now_ms, texts[i][1], NULL);
        (void)snprintf(texts[i][2], TEXT_BYTES,
                       "{\"id\":\"%s\",\"name\":\"Ada Lovelace\",\"email\":\"ada@example.org\"}",
                       texts[i][1]);
        events[i] = (struct store_event){.change = STORE_SAVE,
                                         .message_id = slice_of(texts[i][0]),
                                         .payload = slice_of(texts[i][2]),
                                         .user_key = slice_of(texts[i][1]),
                                         .body = slice_of(texts[i][2]),
                                         .saved_at_ms = now_ms};
    }
}

static int write_for(const struct store_options *options, size_t batch, uint64_t ms, int results)
{
    struct store *store = NULL;
    struct error error = {.text = ""};
    uint64_t taken = 0;
    enum outcome outcome = store_create(options, &store, &error);
    outcome = outcome == OUTCOME_OK ? store_open(store, &error) : outcome;
    for (uint64_t end_ms = clock_monotonic_ms() + ms;
         outcome == OUTCOME_OK && clock_monotonic_ms() < end_ms; taken += batch) {
        int64_t now_ms = (int64_t)clock_wall_ms();
        fill(batch, now_ms);
        outcome = store_take(store, events, batch, now_ms, effects, &error);
    }
    store_free(store);
    if (outcome != OUTCOME_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    return write(results, &taken, sizeof(taken)) == (ssize_t)sizeof(taken) ? 0 : 1;
}

static uint64_t cpu_us(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_CHILDREN, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

int main(int argc, char **argv)
{
    int results[2];
    if (argc != 6 || pipe(results) != 0 || digest_init(NULL) != OUTCOME_OK) {
        fprintf(stderr, "usage: %s DIRECTORY URL WRITERS BATCH SECONDS\n", argv[0]);
        return 2;
    }
    const struct store_options options = {.directory = argv[1],
                                          .url = argv[2],
                                          .session_ttl_ms = 1800000,
                                          .inbox_retention_ms = 604800000,
                                          .clock_tolerance_ms = 5000};
    int writers = atoi(argv[3]);
    size_t batch = (size_t)atoi(argv[4]);
    if (batch < 1 || batch > BATCH_MAX) {
        return 2;
    }
    for (int i = 0; i < writers; i++) {
        if (fork() == 0) {
            _exit(write_for(&options, batch, (uint64_t)(1000 * atof(argv[5])), results[1]));
        }
    }
    uint64_t total = 0;
    for (int i = 0, status = 0; i < writers; i++) {
        uint64_t taken = 0;
        if (wait(&status) < 0 || status != 0 ||
            read(results[0], &taken, sizeof(taken)) != (ssize_t)sizeof(taken)) {
            return 1;
        }
        total += taken;
    }
    printf("%" PRIu64 " %.1f\n", total, total == 0 ? 0 : (double)cpu_us() / (double)total);
    return 0;
}
