/* The connector makes connections to PostgreSQL in a thread of its own, because a look-up of a name
 * and a login may take long, and hands each over when it is set up. It tries again, with backoff,
 * while a connection is wanted.
 *
 *         postgres_connector_take      made
 *  idle ------------------------> wanted ----> ready
 *    ^                                           | postgres_connector_take
 *    +-------------------------------------------+
 */
#pragma once

#include "session-service/store/store_postgres_set_up.h"

struct postgres_connector;

struct postgres_connector_options {
    const char *url,
        *password_file; /* borrowed for the life of the process; the file may be NULL */
    enum postgres_use use;
    enum store_partitions partitions; /* as asked for */
    const char *thread_name;          /* a literal */
};

/* Starts nothing. */
MUST_CHECK enum outcome postgres_connector_create(const struct postgres_connector_options *options,
                                                  struct postgres_connector **ret_connector,
                                                  struct error *ret_error);
/* A thread that is held up in an attempt is left behind, and frees the rest. NULL is fine. */
void postgres_connector_free(struct postgres_connector *connector);

/* Returns a connection (owned), and waits for it until `deadline_ms` at most. Where the last
 * attempt has failed it does not wait, and says why. `show_life` is called meanwhile and may be
 * NULL. One thread at a time. */
MUST_CHECK enum outcome postgres_connector_take(struct postgres_connector *connector,
                                                uint64_t deadline_ms, postgres_show_life *show_life,
                                                void *context, struct postgres **ret_postgres,
                                                struct error *ret_error);

/* What is to be warned of while the connection is used, or "". Any thread. */
void postgres_connector_warn(struct postgres_connector *connector, const struct error *trouble);
/* That and what postgres_set_up() warned of last, or "". Any thread. */
void postgres_connector_warning(struct postgres_connector *connector, struct error *ret_warning);
