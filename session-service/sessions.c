/* The handlers, the hand-overs to the thread that asks the store and back, and its loop. */
#include "session-service/sessions.h"

#include "session-service/log_events.h"

#include "common/base/clock.h"

#include <stdlib.h>

enum {
    LONGEST_WAIT_MS = 1000,
    REPLY_BYTES_MAX = 72 * 1024 * 1024, /* the largest user, and more than the largest page */
    RETRY_AFTER_S = 5,
};

/* One request on its way: the HTTP loop's, then the thread's, then the HTTP loop's again. */
struct task {
    struct work_item item;
    struct http_request *request;
    enum question question;
    int64_t limit;
    bool found;
    enum outcome outcome;
    char *body; /* owned */
    size_t body_length;
    size_t key_length;
    char key[];
};

struct sessions {
    struct store_reader *reader;
    struct worker worker;
    struct worker *http; /* borrowed: is handed what is answered */
    bool failing;        /* the thread's: a failure is logged once */
};

enum outcome sessions_create(const struct store *store, struct sessions **ret_sessions,
                             struct error *ret_error)
{
    struct sessions *sessions = calloc(1, sizeof(*sessions));
    if (sessions == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for the sessions");
    }
    enum outcome outcome = worker_init(&sessions->worker, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = store_reader_create(store, &sessions->reader, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        sessions_free(sessions);
        return outcome;
    }
    *ret_sessions = sessions;
    return OUTCOME_OK;
}

void sessions_free(struct sessions *sessions)
{
    if (sessions == NULL) {
        return;
    }
    store_reader_free(sessions->reader);
    worker_done(&sessions->worker);
    free(sessions);
}

static void record_failure(struct sessions *sessions, const struct task *task,
                           const struct error *error)
{
    bool failed = task->outcome != OUTCOME_OK;
    if (failed && !sessions->failing) {
        log_at(&event_sessions_failed, log_string("error", error->text));
    }
    sessions->failing = failed;
}

static void run_task(struct sessions *sessions, struct task *task)
{
    struct buffer json;
    struct error error;
    buffer_init(&json, REPLY_BYTES_MAX);
    task->outcome = store_reader_ask(sessions->reader, task->question,
                                     (struct slice){task->key, task->key_length}, task->limit,
                                     (int64_t)clock_wall_ms(), &json, &task->found, &error);
    if (task->outcome == OUTCOME_OK && json.length > 0) {
        task->body = buffer_take(&json, &task->body_length);
        if (task->body == NULL) {
            task->outcome = error_set(&error, OUTCOME_BUSY, "no memory for a reply");
        }
    }
    record_failure(sessions, task, &error);
    buffer_done(&json);
}

static void run(void *owner)
{
    struct sessions *sessions = owner;
    bool goes_on = true;
    while (goes_on) {
        worker_wait(&sessions->worker, LONGEST_WAIT_MS);
        goes_on = worker_begin_turn(&sessions->worker);
        struct work_list tasks;
        struct work_item *item = NULL;
        worker_take_all(&sessions->worker, &tasks);
        while ((item = work_list_take(&tasks)) != NULL) {
            run_task(sessions, (struct task *)item);
            (void)worker_begin_turn(&sessions->worker);
            /* At once: a reply may be large, and its memory is free when it is sent. */
            struct work_list answered = STAILQ_HEAD_INITIALIZER(answered);
            STAILQ_INSERT_TAIL(&answered, item, next);
            worker_push(sessions->http, &answered);
        }
    }
}

enum outcome sessions_start(struct sessions *sessions, struct worker *http, struct error *ret_error)
{
    sessions->http = http;
    return worker_start(&sessions->worker, "sessions", run, sessions, ret_error);
}

struct worker *sessions_worker(struct sessions *sessions)
{
    return &sessions->worker;
}

static void refuse(struct http_request *request, const char *detail)
{
    struct http_reply reply = {
        .status = 503,
        .problem = "store-unavailable",
        .content_type = "application/problem+json",
        .retry_after_s = RETRY_AFTER_S,
    };
    reply.body = http_problem_body(reply.status, reply.problem, "Service Unavailable", detail, "",
                                   &reply.body_length);
    http_request_reply(request, &reply);
}

static void ask_for(struct http_request *request, struct sessions *sessions, enum question question,
                    struct slice key, int64_t limit)
{
    struct task *task = malloc(sizeof(*task) + key.length);
    if (task == NULL) {
        refuse(request, "there is no memory to read the store now; try again later");
        return;
    }
    *task = (struct task){
        .request = request, .question = question, .limit = limit, .key_length = key.length};
    if (key.length > 0) {
        /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): with a length there are bytes */
        memcpy(task->key, key.data, key.length);
    }
    struct work_list list = STAILQ_HEAD_INITIALIZER(list);
    STAILQ_INSERT_TAIL(&list, &task->item, next);
    http_request_defer(request);
    worker_push(&sessions->worker, &list);
}

/* Digits only; false where it is not a number of 1 to SESSIONS_PAGE_MAX. */
static bool parse_limit(struct slice text, int64_t *ret_limit)
{
    int64_t limit = 0;
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || limit > SESSIONS_PAGE_MAX) {
            return false;
        }
        limit = 10 * limit + (text.data[i] - '0');
    }
    *ret_limit = limit;
    return limit >= 1 && limit <= SESSIONS_PAGE_MAX;
}

static bool is_cursor(struct slice text)
{
    if (text.length != MESSAGE_ID_TEXT_BYTES - 1) {
        return false;
    }
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == '-')) {
            return false;
        }
    }
    return true;
}

void sessions_list(struct http_request *request, struct sessions *sessions)
{
    int64_t limit = SESSIONS_PAGE_DEFAULT;
    struct slice limit_text = http_request_query(request, "limit");
    struct slice cursor = http_request_query(request, "cursor");
    if (limit_text.data != NULL && !parse_limit(limit_text, &limit)) {
        http_request_reply_problem(request, 400, "invalid-limit", "Bad Request",
                                   "limit must be a number from 1 to 1000");
    } else if (cursor.data != NULL && !is_cursor(cursor)) {
        http_request_reply_problem(request, 400, "invalid-cursor", "Bad Request",
                                   "cursor must be what the page before told in next");
    } else {
        ask_for(request, sessions, ASK_SESSIONS, cursor, limit);
    }
}

void sessions_ask(struct http_request *request, struct sessions *sessions, enum question question)
{
    ask_for(request, sessions, question, http_request_path_part(request), 0);
}

static void reply_to(struct task *task)
{
    if (task->outcome != OUTCOME_OK) {
        refuse(task->request, "the store cannot be read now; try again later");
    } else if (!task->found) {
        http_request_reply_problem(task->request, 404, "not-found", "Not Found",
                                   task->question == ASK_USER ? "there is no such user"
                                                              : "there is no such open session");
    } else {
        const struct http_reply reply = {
            .status = task->question == ASK_END_SESSION ? 204 : 200,
            .content_type = task->body != NULL ? "application/json" : NULL,
            .body = task->body,
            .body_length = task->body_length,
        };
        task->body = NULL;
        http_request_reply(task->request, &reply);
    }
}

void sessions_reply(struct sessions *sessions)
{
    struct work_list answered;
    struct work_item *item = NULL;
    worker_take_all(sessions->http, &answered);
    while ((item = work_list_take(&answered)) != NULL) {
        struct task *task = (struct task *)item;
        reply_to(task);
        free(task->body);
        free(task);
    }
}
