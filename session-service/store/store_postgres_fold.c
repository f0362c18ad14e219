/* The same conditions as in store_sqlite_statements.h; tests/unit/test_store_postgres_fold.c holds
 * both to each other. */
#include "session-service/store/store_postgres_fold.h"

enum { OURS_ALIKE_BYTES = 15 /* ids of ours have their time and version in them */ };

static int compare(struct slice left, struct slice right)
{
    size_t shorter = left.length < right.length ? left.length : right.length;
    int order = shorter == 0 ? 0 : memcmp(left.data, right.data, shorter);
    return order != 0 ? order : (left.length > right.length) - (left.length < right.length);
}

static bool begin_alike(struct slice left, struct slice right)
{
    return left.length >= OURS_ALIKE_BYTES && right.length >= OURS_ALIKE_BYTES &&
           memcmp(left.data, right.data, OURS_ALIKE_BYTES) == 0;
}

/* At one time the later arrival is the later one, unless both ids are ours. */
static bool is_after(const struct store_order *order, struct slice id, int64_t time_ms,
                     struct slice present_id)
{
    return order->rank_ms > time_ms || time_ms > order->latest_ms ||
           (order->rank_ms == time_ms &&
            (!order->id_is_ours || compare(id, present_id) >= 0 || !begin_alike(present_id, id)));
}

static int64_t raised_floor_ms(const struct store_order *order, int64_t time_ms)
{
    return time_ms > order->latest_ms || order->floor_ms > time_ms ? order->floor_ms : time_ms;
}

static int64_t time_of(const struct fold_row *row)
{
    return row->has_floor ? row->floor_ms : row->saved_at_ms;
}

static void set_state(struct fold_user *user, const struct store_event *event,
                      const struct store_order *order, int64_t floor_ms)
{
    struct fold_row *row = &user->row;
    row->body = event->body;
    row->message_id = event->message_id;
    row->saved_at_ms = order->saved_at_ms;
    row->has_floor = order->by_arrival;
    row->floor_ms = floor_ms;
    user->writes_body = true;
}

/* A clock that was set back, or another host's, does not take back what an open session has had. */
static bool extend_session(struct fold_row *row, const struct fold_rules *rules,
                           struct slice session_id)
{
    bool is_open = row->has_session && row->expires_at_ms > rules->now_ms;
    if (!is_open) {
        row->session_id = session_id;
        row->opened_at_ms = rules->now_ms;
        row->session_saves = 0;
    }
    if (!is_open || rules->now_ms > row->extended_at_ms) {
        row->extended_at_ms = rules->now_ms;
    }
    row->has_session = true;
    row->session_saves++;
    row->expires_at_ms = row->extended_at_ms + rules->session_ttl_ms;
    return row->session_saves == 1;
}

/* False: the deletion is newer. */
static bool end_deletion(struct fold_user *user, const struct store_event *event,
                         struct store_order *order)
{
    const struct fold_tombstone *tombstone = &user->tombstone;
    if (!tombstone->is_there) {
        return true;
    }
    if (!is_after(order, event->message_id, tombstone->deleted_at_ms, tombstone->message_id)) {
        return false;
    }
    store_order_replaces(order, tombstone->deleted_at_ms);
    user->tombstone.is_there = false;
    user->writes_tombstone = true;
    return true;
}

static void save(struct fold_user *user, const struct store_event *event,
                 const struct fold_rules *rules, struct slice session_id, struct store_order *order,
                 struct store_effect *effect)
{
    struct fold_row *row = &user->row;
    if (!row->is_there) {
        if (!end_deletion(user, event, order)) {
            return;
        }
        *row = (struct fold_row){.is_there = true};
        set_state(user, event, order, order->floor_ms);
    } else if (is_after(order, event->message_id, time_of(row), row->message_id)) {
        set_state(user, event, order, raised_floor_ms(order, time_of(row)));
    }
    row->saves += event->message_id.length > 0;
    user->writes_row = true;
    effect->session_opened = extend_session(row, rules, session_id);
    effect->user_changed =
        row->saved_at_ms == order->saved_at_ms && slice_equal(row->message_id, event->message_id);
}

/* A user who is newer than his deletion stays. */
static void bury(struct fold_user *user, const struct store_event *event,
                 const struct fold_rules *rules, struct store_order *order,
                 struct store_effect *effect)
{
    struct fold_tombstone *tombstone = &user->tombstone;
    if (user->row.is_there) {
        int64_t time_ms = time_of(&user->row);
        if (!is_after(order, event->message_id, time_ms, user->row.message_id)) {
            return;
        }
        store_order_replaces(order, time_ms);
        user->row = (struct fold_row){.is_there = false};
        user->writes_row = true;
    }
    int64_t deleted_at_ms = order->by_arrival ? order->floor_ms : order->rank_ms;
    if (tombstone->is_there) {
        if (!is_after(order, event->message_id, tombstone->deleted_at_ms, tombstone->message_id)) {
            return;
        }
        if (order->by_arrival) {
            deleted_at_ms = raised_floor_ms(order, tombstone->deleted_at_ms);
        }
    }
    *tombstone = (struct fold_tombstone){true, deleted_at_ms, event->message_id, rules->now_ms};
    user->writes_tombstone = true;
    effect->user_changed = true;
}

void fold_apply(struct fold_user *user, const struct store_event *event,
                const struct fold_rules *rules, struct slice session_id,
                struct store_effect *ret_effect)
{
    struct store_order order = store_order_of(event->message_id, event->saved_at_ms, rules->now_ms,
                                              rules->clock_tolerance_ms);
    *ret_effect = (struct store_effect){.result = STORE_APPLIED, .ahead_ms = order.ahead_ms};
    switch (event->change) {
    case STORE_SAVE:
        save(user, event, rules, session_id, &order, ret_effect);
        break;
    case STORE_DELETE:
        bury(user, event, rules, &order, ret_effect);
        break;
    }
}

struct store_effect fold_refuse(const struct store_event *event, const struct fold_rules *rules,
                                bool is_same)
{
    const struct store_order order = store_order_of(event->message_id, event->saved_at_ms,
                                                    rules->now_ms, rules->clock_tolerance_ms);
    return (struct store_effect){.result = is_same ? STORE_DUPLICATE : STORE_CONFLICT,
                                 .ahead_ms = order.ahead_ms};
}
