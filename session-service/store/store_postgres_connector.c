/* The thread, and what it shares with who waits for it. */
#include "session-service/store/store_postgres_connector.h"

#include "session-service/store/store_postgres_url.h"

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/threads/worker.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    BACKOFF_BASE_MS = 100,
    BACKOFF_CAP_MS = 5000,
    SET_UP_MS = 30000, /* another program may be making the tables */
    END_WAIT_MS = 1000,
};

struct postgres_connector {
    struct postgres_connector_options options;
    struct worker worker;
    struct backoff backoff; /* the thread's own */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t has_changed;
    bool wanted;
    struct postgres *ready;
    enum outcome last_outcome; /* of the attempts since one was wanted; OK: none has failed */
    struct error last_error, warning, trouble;
};

enum outcome postgres_connector_create(const struct postgres_connector_options *options,
                                       struct postgres_connector **ret_connector,
                                       struct error *ret_error)
{
    struct postgres_connector *connector = calloc(1, sizeof(*connector));
    if (connector == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the connections to PostgreSQL");
    }
    connector->options = *options;
    backoff_init(&connector->backoff, BACKOFF_BASE_MS, BACKOFF_CAP_MS, clock_monotonic_us());
    pthread_mutex_init(&connector->lock, NULL);
    pthread_cond_init(&connector->has_changed, NULL);
    enum outcome outcome = worker_init(&connector->worker, ret_error);
    if (outcome != OUTCOME_OK) {
        postgres_connector_free(connector);
        return outcome;
    }
    *ret_connector = connector;
    return OUTCOME_OK;
}

static void free_connector(void *owner)
{
    struct postgres_connector *connector = owner;
    postgres_free(connector->ready);
    worker_done(&connector->worker);
    pthread_cond_destroy(&connector->has_changed);
    pthread_mutex_destroy(&connector->lock);
    free(connector);
}

void postgres_connector_free(struct postgres_connector *connector)
{
    if (connector == NULL) {
        return;
    }
    worker_stop(&connector->worker);
    if (worker_join(&connector->worker, END_WAIT_MS, free_connector)) {
        free_connector(connector);
    }
}

/* Its lines as one. */
static enum outcome not_connected(PGconn *handle, struct error *ret_error)
{
    struct buffer text;
    buffer_init(&text, ERROR_TEXT_BYTES);
    for (const char *rest = PQerrorMessage(handle); *rest != '\0';) {
        size_t length = strcspn(rest, "\n");
        buffer_append_text(&text, text.length > 0 && length > 0 ? "; " : "");
        buffer_append(&text, rest, length);
        rest += length + (rest[length] == '\n');
    }
    error_set(ret_error, OUTCOME_TRANSIENT, "%.*s", (int)text.length,
              text.length > 0 ? text.data : "no reason was given");
    buffer_done(&text);
    return OUTCOME_TRANSIENT;
}

struct set_up {
    struct worker *worker;
    struct postgres *postgres;
};

/* Is called while the set-up waits: who is to end waits no longer. */
static bool look_for_end(void *context)
{
    struct set_up *set_up = context;
    if (worker_is_stopping(set_up->worker)) {
        set_up->postgres->deadline_ms = 0;
    }
    return true;
}

static enum outcome connect_to(struct postgres_connector *connector, const struct postgres_url *url,
                               struct postgres **ret_postgres, struct error *ret_warning,
                               struct error *ret_error)
{
    PGconn *handle = PQconnectdbParams(url->keywords, url->values, 0);
    struct postgres *postgres = NULL;
    enum outcome outcome =
        PQstatus(handle) == CONNECTION_OK ? OUTCOME_OK : not_connected(handle, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = postgres_create(handle, &postgres, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        PQfinish(handle);
        return outcome;
    }
    struct set_up set_up = {&connector->worker, postgres};
    postgres->show_life = look_for_end;
    postgres->context = &set_up;
    postgres_begin(postgres, SET_UP_MS);
    outcome = postgres_set_up(postgres, connector->options.use, connector->options.partitions,
                              ret_warning, ret_error);
    postgres->show_life = NULL;
    postgres->context = NULL;
    if (outcome != OUTCOME_OK) {
        postgres_free(postgres);
        return outcome;
    }
    *ret_postgres = postgres;
    return OUTCOME_OK;
}

/* True where the next attempt is due after a wait. */
static bool attempt(struct postgres_connector *connector)
{
    struct postgres_url url;
    struct postgres *postgres = NULL;
    struct error error = {.text = ""};
    struct error warning = {.text = ""};
    enum outcome outcome =
        postgres_url_read(connector->options.url, connector->options.password_file, &url, &error);
    if (outcome == OUTCOME_OK) {
        outcome = connect_to(connector, &url, &postgres, &warning, &error);
        postgres_url_done(&url);
    }
    pthread_mutex_lock(&connector->lock);
    connector->last_outcome = outcome;
    connector->last_error = error;
    if (outcome == OUTCOME_OK) {
        connector->ready = postgres;
        connector->wanted = false;
        connector->warning = warning;
    }
    pthread_cond_signal(&connector->has_changed);
    pthread_mutex_unlock(&connector->lock);
    return outcome != OUTCOME_OK;
}

static bool is_wanted(struct postgres_connector *connector)
{
    pthread_mutex_lock(&connector->lock);
    bool wanted = connector->wanted;
    pthread_mutex_unlock(&connector->lock);
    return wanted;
}

static void run(void *owner)
{
    struct postgres_connector *connector = owner;
    int wait_ms = -1;
    while (worker_begin_turn(&connector->worker)) {
        worker_clear_wake(&connector->worker);
        if (!is_wanted(connector)) {
            wait_ms = -1;
            backoff_reset(&connector->backoff);
        } else {
            wait_ms = attempt(connector) ? (int)backoff_next_ms(&connector->backoff) : -1;
        }
        worker_wait(&connector->worker, wait_ms);
    }
}

/* With the lock. False: the deadline has come. */
static bool wait_for_change(struct postgres_connector *connector, uint64_t deadline_ms,
                            postgres_show_life *show_life, void *context)
{
    uint64_t now_ms = clock_monotonic_ms();
    if (now_ms >= deadline_ms) {
        return false;
    }
    uint64_t until_ms = deadline_ms - now_ms < POSTGRES_LIFE_EVERY_MS
                            ? deadline_ms
                            : now_ms + POSTGRES_LIFE_EVERY_MS;
    const struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                                   .tv_nsec = (long)(until_ms % 1000) * 1000000};
    int status =
        pthread_cond_clockwait(&connector->has_changed, &connector->lock, CLOCK_MONOTONIC, &until);
    if (status != 0 && show_life != NULL) {
        pthread_mutex_unlock(&connector->lock);
        (void)!show_life(context); /* an attempt to connect is short */
        pthread_mutex_lock(&connector->lock);
    }
    return true;
}

enum outcome postgres_connector_take(struct postgres_connector *connector, uint64_t deadline_ms,
                                     postgres_show_life *show_life, void *context,
                                     struct postgres **ret_postgres, struct error *ret_error)
{
    enum outcome outcome = OUTCOME_OK;
    if (!connector->worker.is_started) {
        outcome = worker_start(&connector->worker, connector->options.thread_name, run, connector,
                               ret_error);
    }
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    pthread_mutex_lock(&connector->lock);
    if (connector->ready == NULL && !connector->wanted) {
        connector->wanted = true;
        worker_wake(&connector->worker);
    }
    while (connector->ready == NULL && connector->last_outcome == OUTCOME_OK &&
           wait_for_change(connector, deadline_ms, show_life, context)) {
    }
    *ret_postgres = connector->ready;
    connector->ready = NULL;
    outcome = connector->last_outcome;
    *ret_error = connector->last_error;
    pthread_mutex_unlock(&connector->lock);
    if (*ret_postgres != NULL) {
        return OUTCOME_OK;
    }
    return outcome != OUTCOME_OK ? outcome
                                 : error_set(ret_error, OUTCOME_TRANSIENT,
                                             "the connection to PostgreSQL is not made yet");
}

void postgres_connector_warn(struct postgres_connector *connector, const struct error *trouble)
{
    pthread_mutex_lock(&connector->lock);
    connector->trouble = *trouble;
    pthread_mutex_unlock(&connector->lock);
}

void postgres_connector_warning(struct postgres_connector *connector, struct error *ret_warning)
{
    pthread_mutex_lock(&connector->lock);
    *ret_warning = connector->warning;
    error_join(ret_warning, "; ", connector->trouble.text);
    pthread_mutex_unlock(&connector->lock);
}
