/* Arrays as parameters. */
#include "session-service/store/store_postgres_columns.h"

void postgres_columns_init(struct postgres_columns *columns)
{
    for (int i = 0; i < COLUMNS_MAX; i++) {
        postgres_array_init(&columns->arrays[i]);
    }
}

void postgres_columns_done(struct postgres_columns *columns)
{
    for (int i = 0; i < COLUMNS_MAX; i++) {
        buffer_done(&columns->arrays[i].bytes);
    }
}

static enum postgres_type type_of(char letter)
{
    return letter == 't' ? POSTGRES_TEXT : letter == 'i' ? POSTGRES_INT8 : POSTGRES_BYTEA;
}

void postgres_columns_begin(struct postgres_columns *columns, const char *types)
{
    columns->count = 0;
    for (; *types != '\0'; types++) {
        postgres_array_begin(&columns->arrays[columns->count++], type_of(*types));
    }
}

enum outcome postgres_columns_send(struct postgres_columns *columns, struct postgres *postgres,
                                   enum postgres_statement name, const int64_t *integer,
                                   struct error *ret_error)
{
    struct postgres_values values = {.count = 0};
    for (int i = 0; i < columns->count; i++) {
        postgres_add_text(&values, postgres_array_end(&columns->arrays[i]));
        if (columns->arrays[i].bytes.failed) {
            return error_set(ret_error, OUTCOME_BUSY, "no memory for what PostgreSQL is given");
        }
    }
    if (integer != NULL) {
        postgres_add_integer(&values, *integer);
    }
    columns->sent++;
    return postgres_send(postgres, name, &values, ret_error);
}
