/* One table, rows in the order in which they were stored. */
#include "user-service/outbox_store.h"

#include "common/base/traceparent.h"
#include "common/database/database.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/statvfs.h>

enum {
    APPLICATION_ID = 0x55535231, /* "USR1" */
    ROW_BYTES = 64,              /* of what a row has beside its texts */
};

/* AUTOINCREMENT: the number of a row that was forwarded and deleted is never another's. The steps
 * of a change are said in common/database/database.h. */
static const char *const migrations[] = {
    "CREATE TABLE outbox ("
    " sequence INTEGER PRIMARY KEY AUTOINCREMENT,"
    " message_id TEXT NOT NULL,"
    " body TEXT NOT NULL,"
    " traceparent TEXT NOT NULL," /* '' where the request had none */
    " saved_at_ms INTEGER NOT NULL);",
    /* What was stored before there were types is a save. */
    "ALTER TABLE outbox ADD COLUMN type TEXT NOT NULL DEFAULT 'user.saved';",
};

#define BYTES_OF_ROW "length(CAST(body AS BLOB)) + length(message_id) + length(traceparent) + 64"

enum statement_name {
    INSERT_EVENT,
    DELETE_EVENT,
    NEXT_EVENT,
    COUNT_EVENTS,
    OLDEST_EVENT,
    STATEMENTS
};

static const char *const statements[STATEMENTS] = {
    [INSERT_EVENT] = "INSERT INTO outbox (message_id, body, traceparent, saved_at_ms, type)"
                     " VALUES (?1, ?2, ?3, ?4, ?5)",
    [DELETE_EVENT] = "DELETE FROM outbox WHERE sequence = ?1 RETURNING " BYTES_OF_ROW,
    [NEXT_EVENT] = "SELECT sequence, message_id, body, traceparent, saved_at_ms, type FROM outbox"
                   " WHERE sequence > ?1 ORDER BY sequence LIMIT 1",
    [COUNT_EVENTS] = "SELECT count(*), coalesce(sum(" BYTES_OF_ROW "), 0) FROM outbox",
    [OLDEST_EVENT] = "SELECT saved_at_ms FROM outbox ORDER BY sequence LIMIT 1",
};

struct outbox_store {
    struct outbox_store_options options;
    struct database *database; /* owned */
    int64_t inserted_bytes;    /* in this transaction: the file system does not know of them yet */
    struct outbox_store_content content, committed; /* with this transaction, and without it */
};

enum outcome outbox_store_create(const struct outbox_store_options *options,
                                 struct outbox_store **ret_store, struct error *ret_error)
{
    const struct database_options file = {
        .directory = options->directory,
        .file_name = "user-service.db",
        .application_id = APPLICATION_ID,
        .migrations = migrations,
        .version = sizeof(migrations) / sizeof(migrations[0]),
        .statements = statements,
        .statement_count = STATEMENTS,
        .lock = options->lock,
        /* What the reserve must hold when nothing more is taken: the log's growth while what was
         * forwarded is deleted, and the file's when the log is written back. */
        .journal_bytes_max = options->free_bytes_min / 2,
    };
    struct outbox_store *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the outbox");
    }
    store->options = *options;
    enum outcome outcome = database_create(&file, &store->database, ret_error);
    if (outcome != OUTCOME_OK) {
        outbox_store_free(store);
        return outcome;
    }
    *ret_store = store;
    return OUTCOME_OK;
}

bool outbox_store_exists(const struct outbox_store *store)
{
    return database_exists(store->database);
}

void outbox_store_free(struct outbox_store *store)
{
    if (store != NULL) {
        database_free(store->database);
    }
    free(store);
}

static enum outcome read_oldest(struct outbox_store *store, struct error *ret_error)
{
    struct statement *oldest = database_statement(store->database, OLDEST_EVENT);
    bool row = false;
    enum outcome outcome = statement_step(oldest, &row, ret_error);
    if (outcome == OUTCOME_OK) {
        store->content.oldest_ms = row ? statement_integer(oldest, 0) : 0;
        statement_reset(oldest);
    }
    return outcome;
}

static enum outcome read_content(struct outbox_store *store, struct error *ret_error)
{
    struct statement *count = database_statement(store->database, COUNT_EVENTS);
    bool row = false;
    enum outcome outcome = statement_step(count, &row, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    store->content.events = statement_integer(count, 0);
    store->content.bytes = statement_integer(count, 1);
    statement_reset(count);
    outcome = read_oldest(store, ret_error);
    store->committed = store->content;
    return outcome;
}

enum outcome outbox_store_open(struct outbox_store *store, struct error *ret_error)
{
    if (database_is_open(store->database)) {
        return OUTCOME_OK;
    }
    enum outcome outcome = database_open(store->database, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = read_content(store, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        database_close(store->database);
    }
    return outcome;
}

enum outcome outbox_store_begin(struct outbox_store *store, struct error *ret_error)
{
    enum outcome outcome = outbox_store_open(store, ret_error);
    store->inserted_bytes = 0;
    return outcome == OUTCOME_OK ? database_begin(store->database, ret_error) : outcome;
}

enum outcome outbox_store_commit(struct outbox_store *store, struct error *ret_error)
{
    enum outcome outcome = read_oldest(store, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = database_commit(store->database, ret_error);
    }
    if (outcome == OUTCOME_OK || outcome == OUTCOME_TRANSIENT) {
        store->inserted_bytes = 0;
        store->committed = store->content;
    }
    return outcome;
}

enum outcome outbox_store_in_place(struct outbox_store *store, struct error *ret_error)
{
    return database_in_place(store->database, ret_error);
}

bool outbox_store_is_out_of_reach(const struct outbox_store *store)
{
    return database_is_out_of_reach(store->database);
}

bool outbox_store_is_contested(const struct outbox_store *store)
{
    return database_is_contested(store->database);
}

bool outbox_store_has_directory(const struct outbox_store *store)
{
    return database_has_directory(store->database);
}

enum outcome outbox_store_write_out(struct outbox_store *store, int64_t now_ms,
                                    struct database_progress *progress, struct error *ret_path)
{
    return database_write_out(store->database, now_ms, progress, ret_path);
}

void outbox_store_rollback(struct outbox_store *store, enum outcome why)
{
    store->content = store->committed;
    store->inserted_bytes = 0;
    database_rollback(store->database, why);
}

int64_t outbox_store_bytes_of(const struct event *event)
{
    return (int64_t)(event->body_length + event->message_id_length + strlen(event->traceparent) +
                     ROW_BYTES);
}

enum outcome outbox_store_check_room(struct outbox_store *store, int64_t bytes,
                                     struct error *ret_error)
{
    if (store->content.bytes + bytes > store->options.bytes_max) {
        return error_set(ret_error, OUTCOME_BUSY, "the outbox is full: --outbox-max-bytes");
    }
    struct statvfs system;
    if (statvfs(store->options.directory, &system) != 0) {
        return error_set_errno(ret_error, OUTCOME_TRANSIENT, errno, "ask for the free space of %s",
                               store->options.directory);
    }
    uint64_t free_bytes = (uint64_t)system.f_bavail * system.f_frsize;
    /* Once for the log, once for the file. */
    int64_t wanted_bytes = store->options.free_bytes_min + 2 * (store->inserted_bytes + bytes);
    if (free_bytes < (uint64_t)wanted_bytes) {
        return error_set(ret_error, OUTCOME_BUSY,
                         "the disk of the state directory is nearly full: --outbox-min-free");
    }
    return OUTCOME_OK;
}

enum outcome outbox_store_insert(struct outbox_store *store, const struct event *event,
                                 struct error *ret_error)
{
    struct statement *insert = database_statement(store->database, INSERT_EVENT);
    statement_bind_text(insert, 1, (struct slice){event->message_id, event->message_id_length});
    statement_bind_text(insert, 2, (struct slice){event->body, event->body_length});
    statement_bind_text(insert, 3, slice_of(event->traceparent));
    statement_bind_integer(insert, 4, (int64_t)event->occurred_at_ms);
    statement_bind_text(insert, 5, event_type_name(event->type));
    enum outcome outcome = statement_run(insert, ret_error);
    if (outcome == OUTCOME_OK) {
        store->content.events++;
        store->content.bytes += outbox_store_bytes_of(event);
        store->inserted_bytes += outbox_store_bytes_of(event);
    }
    return outcome;
}

enum outcome outbox_store_delete(struct outbox_store *store, int64_t sequence,
                                 struct error *ret_error)
{
    struct statement *delete = database_statement(store->database, DELETE_EVENT);
    statement_bind_integer(delete, 1, sequence);
    bool row = false;
    enum outcome outcome = statement_step(delete, &row, ret_error);
    if (outcome == OUTCOME_OK && row) {
        store->content.events--;
        store->content.bytes -= statement_integer(delete, 0);
        statement_reset(delete);
    }
    return outcome;
}

/* What is borrowed from a row. */
struct row_texts {
    struct slice message_id, body, traceparent, type;
    int64_t occurred_at_ms;
};

/* Why the row is no event; NULL where it is one, and then the type is set. */
static const char *fault_of(const struct row_texts *texts, enum event_type *ret_type)
{
    if (!event_type_find(texts->type, ret_type)) {
        return "its type is not known";
    }
    if (!user_event_id_is_valid(texts->message_id)) {
        return "its message id is not valid";
    }
    if (texts->body.length == 0) {
        return "it has no body";
    }
    if (texts->traceparent.length > 0 && !traceparent_is_valid(texts->traceparent)) {
        return "its traceparent is not valid";
    }
    return texts->occurred_at_ms < 0 ? "its time is not valid" : NULL;
}

static struct event *copy_event(const struct row_texts *texts, enum event_type type)
{
    struct event *event = calloc(1, sizeof(*event));
    if (event == NULL) {
        return NULL;
    }
    event->type = type;
    event->body = malloc(texts->body.length);
    if (event->body == NULL) {
        free(event);
        return NULL;
    }
    memcpy(event->body, texts->body.data, texts->body.length);
    event->body_length = texts->body.length;
    memcpy(event->message_id, texts->message_id.data, texts->message_id.length);
    event->message_id_length = texts->message_id.length;
    if (texts->traceparent.length > 0) {
        memcpy(event->traceparent, texts->traceparent.data, texts->traceparent.length);
    }
    event->occurred_at_ms = (uint64_t)texts->occurred_at_ms;
    return event;
}

static enum outcome read_row(struct statement *row, struct outbox_store_row *ret_row,
                             struct error *ret_error)
{
    const struct row_texts texts = {
        .message_id = statement_text(row, 1),
        .body = statement_text(row, 2),
        .traceparent = statement_text(row, 3),
        .occurred_at_ms = statement_integer(row, 4),
        .type = statement_text(row, 5),
    };
    int64_t sequence = statement_integer(row, 0);
    enum event_type type = EVENT_TYPES;
    const char *fault = fault_of(&texts, &type);
    if (fault != NULL) {
        *ret_row = (struct outbox_store_row){.sequence = sequence};
        error_set(ret_error, OUTCOME_OK, "row %lld is not a save, and stays: %s",
                  (long long)sequence, fault);
        return OUTCOME_OK;
    }
    struct event *event = copy_event(&texts, type);
    if (event == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory to forward a save");
    }
    event->outbox_sequence = sequence;
    *ret_row = (struct outbox_store_row){.sequence = sequence, .event = event};
    return OUTCOME_OK;
}

enum outcome outbox_store_next(struct outbox_store *store, int64_t sequence,
                               struct outbox_store_row *ret_row, struct error *ret_error)
{
    *ret_row = (struct outbox_store_row){.sequence = 0};
    enum outcome outcome = outbox_store_open(store, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    struct statement *next = database_statement(store->database, NEXT_EVENT);
    statement_bind_integer(next, 1, sequence);
    bool is_row = false;
    outcome = statement_step(next, &is_row, ret_error);
    if (outcome == OUTCOME_OK && is_row) {
        outcome = read_row(next, ret_row, ret_error);
        statement_reset(next);
    }
    return outcome;
}

void outbox_store_content(const struct outbox_store *store,
                          struct outbox_store_content *ret_content)
{
    *ret_content = store->committed;
}
