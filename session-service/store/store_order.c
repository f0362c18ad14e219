/* Time from others, and whether it is believed. */
#include "session-service/store/store_order.h"

#include "common/base/message_id.h"

struct store_order store_order_of(struct slice message_id, int64_t named_ms, int64_t now_ms,
                                  int64_t tolerance_ms)
{
    int64_t latest_ms = now_ms + tolerance_ms;
    bool believed = named_ms >= 0 && named_ms <= latest_ms;
    bool by_arrival = !believed || message_id.length == 0;
    return (struct store_order){
        .by_arrival = by_arrival,
        .id_is_ours = !by_arrival && message_id_is_of(message_id, (uint64_t)named_ms),
        .rank_ms = by_arrival ? INT64_MAX : named_ms,
        .saved_at_ms = believed ? named_ms : now_ms,
        .floor_ms = believed ? named_ms : 0,
        .latest_ms = latest_ms,
        .ahead_ms = named_ms > latest_ms ? named_ms - now_ms : 0,
    };
}

void store_order_replaces(struct store_order *order, int64_t time_ms)
{
    if (time_ms <= order->latest_ms && time_ms > order->floor_ms) {
        order->floor_ms = time_ms;
    }
}
