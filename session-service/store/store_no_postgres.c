/* In place of the store in PostgreSQL and of the import into it, where this is built without libpq.
 */
#include "session-service/store/store_import.h"
#include "session-service/store/store_kind_internal.h"

static enum outcome refuse(struct error *ret_error)
{
    return error_set(ret_error, OUTCOME_INVALID,
                     "store: this session-service was built without libpq, and knows no store but "
                     "the embedded one, --store " STORE_EMBEDDED);
}

static enum outcome check(const struct store_options *options, struct error *ret_error)
{
    (void)options;
    return refuse(ret_error);
}

enum outcome store_import_check(const struct store_import_options *options, struct error *ret_error)
{
    (void)options;
    return refuse(ret_error);
}

enum outcome store_import(const struct store_import_options *options,
                          struct store_import_result *ret_result, struct error *ret_error)
{
    (void)options;
    (void)ret_result;
    return refuse(ret_error);
}

static enum outcome create(const struct store_options *options, struct store **ret_store,
                           struct error *ret_error)
{
    (void)ret_store;
    return check(options, ret_error);
}

const struct store_kind store_kind_postgres = {.check = check, .create = create};
