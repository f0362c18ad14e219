/* A connection to PostgreSQL: statements go out in pipelines, and every wait has an end.
 *
 *     postgres_begin      postgres_send ...   postgres_sync     postgres_next ...   postgres_end
 *  idle ----------> open ---------------> filled ----------> waiting -----------------> idle
 *
 * A pipeline that fails anywhere does nothing from there on. postgres_abandon() then leads back to
 * idle, or finds that the connection is of no use any more. All names of statements are those of
 * store_postgres_statements.h. One thread at a time. */
#pragma once

#include "session-service/store/store_postgres_array.h"
#include "session-service/store/store_postgres_statements.h"

#include <libpq-fe.h>

enum { POSTGRES_VALUES_MAX = 12, POSTGRES_LIFE_EVERY_MS = 250, POSTGRES_LAST_MS = 3000 };

/* Is called every POSTGRES_LIFE_EVERY_MS while something is waited for. False: not for longer than
 * POSTGRES_LAST_MS. */
typedef bool postgres_show_life(void *context);

enum postgres_inbox {
    POSTGRES_INBOX_WHOLE = 0,    /* one table */
    POSTGRES_INBOX_OURS = 1,     /* has partitions, which this role makes and drops */
    POSTGRES_INBOX_OF_OTHERS = 2 /* has partitions */
};

struct postgres {
    PGconn *handle; /* owned */
    uint64_t deadline_ms;
    postgres_show_life *show_life; /* NULL: nobody asks */
    void *context;
    uint64_t limits_ms; /* the call that the server's limits were set for; 0: by the set-up */
    int ends;           /* of pipelines, that were sent and did not come back */
    enum postgres_inbox inbox;
    char code[6]; /* SQLSTATE of the last failure, "" where it has none */
};

/* Parameters of a statement, in binary. Borrows texts and arrays. */
struct postgres_values {
    struct slice items[POSTGRES_VALUES_MAX];
    char integers[POSTGRES_VALUES_MAX][POSTGRES_INTEGER_BYTES];
    int count;
};
void postgres_add_text(struct postgres_values *values, struct slice text);
void postgres_add_integer(struct postgres_values *values, int64_t number);

/* Takes the handle of a connection that was made. BUSY: no memory. */
MUST_CHECK enum outcome postgres_create(PGconn *handle, struct postgres **ret_postgres,
                                        struct error *ret_error);
/* Closes the connection, without a wait. NULL is fine. */
void postgres_free(struct postgres *postgres);

/* Between pipelines: NULL, and frees it, where the server has closed the connection meanwhile. NULL
 * is fine. */
MUST_CHECK struct postgres *postgres_keep_or_free(struct postgres *postgres);

/* Sets when what follows must be finished. */
void postgres_begin(struct postgres *postgres, uint64_t wait_ms);

/* Adds to the pipeline; `values` may be NULL. */
MUST_CHECK enum outcome postgres_send(struct postgres *postgres, enum postgres_statement name,
                                      const struct postgres_values *values,
                                      struct error *ret_error);
MUST_CHECK enum outcome postgres_send_prepare(struct postgres *postgres, const char *name,
                                              const char *text, struct error *ret_error);
/* Ends the pipeline, so that the server begins to answer. */
MUST_CHECK enum outcome postgres_sync(struct postgres *postgres, struct error *ret_error);
/* Waits for the result of the next statement. `ret_result` is owned (PQclear()); it may be NULL
 * for a statement whose rows do not matter. */
MUST_CHECK enum outcome postgres_next(struct postgres *postgres, PGresult **ret_result,
                                      struct error *ret_error);
/* Waits for the end of the pipeline, whose results were all taken. */
MUST_CHECK enum outcome postgres_end(struct postgres *postgres, struct error *ret_error);

/* After a failure: drops the other results and rolls back. False: the connection is to be freed. */
MUST_CHECK bool postgres_abandon(struct postgres *postgres);

/* One statement in a pipeline of its own: send, sync, next, end; abandoned where it fails. */
MUST_CHECK enum outcome postgres_run(struct postgres *postgres, enum postgres_statement name,
                                     const struct postgres_values *values, PGresult **ret_result,
                                     struct error *ret_error);

/* The same of one statement that is not prepared and has no values. */
MUST_CHECK enum outcome postgres_run_text(struct postgres *postgres, const char *text,
                                          struct error *ret_error);

/* Runs a script, outside of a pipeline: of several statements, that are not prepared. Returns the
 * last result, in text. */
MUST_CHECK enum outcome postgres_run_script(struct postgres *postgres, const char *script,
                                            PGresult **ret_result, struct error *ret_error);

/* Borrow from the result; an empty slice for NULL. */
struct slice postgres_field(const PGresult *result, int row, int column);
int64_t postgres_field_integer(const PGresult *result, int row, int column);
