/* Two counters, written and read in such an order that no success looks like a failure. */
#include "user-service/key_progress.h"

void key_progress_show(struct key_progress *progress, uint64_t order, bool is_synced)
{
    if (is_synced) {
        atomic_store(&progress->synced, order);
    }
    atomic_store(&progress->tried, order);
}

/* What was tried is read first: a success that is shown in between is seen as one. */
enum key_sync key_progress_of(const struct key_progress *progress, uint64_t order)
{
    bool was_tried = order <= atomic_load(&progress->tried);
    if (order <= atomic_load(&progress->synced)) {
        return KEY_SYNCED;
    }
    return was_tried ? KEY_NOT_SYNCED : KEY_SYNC_UNDER_WAY;
}
