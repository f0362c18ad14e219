/* What the consumer shows of itself and of its store: that it lives while the store waits for
 * another host, and what the store warns of. */
#include "session-service/consumer_internal.h"

#include "session-service/log_events.h"

#include <string.h>

bool consumer_show_life(void *context)
{
    struct consumer *consumer = context;
    bool goes_on = worker_begin_turn(&consumer->worker);
    if (consumer->broker != NULL) {
        (void)!broker_heartbeat_if_due(consumer->broker, NULL); /* the next turn fails */
    }
    dead_letters_show_life(consumer->dead_letters);
    return goes_on;
}

void consumer_report_store(struct consumer *consumer)
{
    struct error warning;
    store_warning(consumer->store, &warning);
    if (warning.text[0] != '\0' && strcmp(warning.text, consumer->store_warning.text) != 0) {
        log_at(&event_store_warning, log_string("warning", warning.text));
    }
    consumer->store_warning = warning;
}
