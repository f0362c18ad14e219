/* The rows of a page are the elements of arrays. */
#include "session-service/store/store_postgres_import_page.h"

#include <stdlib.h>

enum {
    PAGE_ROWS = 2000,
    PAGE_BYTES = 8 * 1024 * 1024, /* a page ends with the row that goes beyond it */
};

static const enum postgres_statement inserts[STORE_IMPORT_TABLES] = {
    [STORE_IMPORT_INBOX] = POSTGRES_IMPORT_INBOX,
    [STORE_IMPORT_USERS] = POSTGRES_IMPORT_USERS,
    [STORE_IMPORT_TOMBSTONES] = POSTGRES_IMPORT_TOMBSTONES,
    [STORE_IMPORT_ATTEMPTS] = POSTGRES_IMPORT_ATTEMPTS,
};

void import_show(const struct import *import, enum store_import_phase phase)
{
    import->options->show(import->options->context, phase, import->copied, import->total);
}

static size_t add_row(struct import *import, struct statement *row, const char *types)
{
    size_t bytes = 0;
    for (int i = 0; types[i] != '\0'; i++) {
        struct postgres_array *column = &import->columns.arrays[i];
        if (statement_is_null(row, i)) {
            postgres_array_add_null(column);
        } else if (types[i] == 'i') {
            postgres_array_add_integer(column, statement_integer(row, i));
        } else {
            struct slice value = statement_text(row, i);
            postgres_array_add(column, value);
            bytes += value.length;
        }
    }
    return bytes;
}

/* Fills the columns, and leaves the key of the last row in `next_key`. */
static enum outcome read_page(struct import *import, enum store_import_table table,
                              int64_t *ret_rows, struct error *ret_error)
{
    const char *types = export_kinds[table].types;
    struct statement *row =
        export_next(import->database, table, buffer_slice(&import->last_key), PAGE_ROWS);
    size_t bytes = 0;
    bool is_row = true;
    enum outcome outcome = OUTCOME_OK;
    postgres_columns_begin(&import->columns, types);
    *ret_rows = 0;
    while (outcome == OUTCOME_OK && is_row && bytes < PAGE_BYTES) {
        outcome = statement_step(row, &is_row, ret_error);
        if (outcome == OUTCOME_OK && is_row) {
            bytes += add_row(import, row, types);
            buffer_clear(&import->next_key);
            buffer_append_slice(&import->next_key, statement_text(row, 0));
            ++*ret_rows;
        }
    }
    statement_reset(row);
    return outcome;
}

/* In a transaction that postgres_free() rolls back where it fails. */
static enum outcome insert_page(struct import *import, enum store_import_table table, int64_t rows,
                                struct error *ret_error)
{
    PGresult *result = NULL;
    struct postgres *postgres = import->postgres;
    enum outcome outcome = postgres_send(postgres, POSTGRES_BEGIN, NULL, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome =
            postgres_columns_send(&import->columns, postgres, inserts[table], NULL, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = postgres_sync(postgres, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = postgres_next(postgres, NULL, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = postgres_next(postgres, &result, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = postgres_end(postgres, ret_error);
    }
    if (outcome == OUTCOME_OK && strtoll(PQcmdTuples(result), NULL, 10) != rows) {
        outcome = error_set(ret_error, OUTCOME_INVALID,
                            "--to has rows in %s that are not of this import: begin anew with an "
                            "empty target (docs/postgresql.md)",
                            export_kinds[table].name);
    }
    PQclear(result);
    return outcome;
}

/* Writes the place, and commits. */
static enum outcome end_page(struct import *import, int64_t step, struct slice last_key,
                             int64_t copied, struct error *ret_error)
{
    struct postgres_values values = {.count = 0};
    struct postgres *postgres = import->postgres;
    postgres_add_integer(&values, step);
    postgres_add_text(&values, last_key);
    postgres_add_integer(&values, copied);
    enum outcome outcome = postgres_send(postgres, POSTGRES_ADVANCE_IMPORT, &values, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = postgres_send(postgres, POSTGRES_COMMIT, NULL, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        outcome = postgres_sync(postgres, ret_error);
    }
    for (int i = 0; outcome == OUTCOME_OK && i < 2; i++) {
        outcome = postgres_next(postgres, NULL, ret_error);
    }
    return outcome == OUTCOME_OK ? postgres_end(postgres, ret_error) : outcome;
}

enum outcome import_copy_page(struct import *import, struct error *ret_error)
{
    enum store_import_table table = (enum store_import_table)import->step;
    int64_t rows = 0;
    enum outcome outcome = read_page(import, table, &rows, ret_error);
    if (outcome == OUTCOME_OK && rows == 0) {
        import->step++;
        buffer_clear(&import->last_key);
    }
    if (outcome != OUTCOME_OK || rows == 0) {
        return outcome;
    }
    if (import->next_key.failed) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the import");
    }
    postgres_begin(import->postgres, IMPORT_PAGE_MS);
    outcome = insert_page(import, table, rows, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = end_page(import, import->step, buffer_slice(&import->next_key),
                           import->copied + rows, ret_error);
    }
    if (outcome == OUTCOME_OK) {
        struct buffer done = import->last_key;
        import->last_key = import->next_key;
        import->next_key = done;
        import->copied += rows;
        import_show(import, STORE_IMPORT_COPIES);
    }
    return outcome;
}
