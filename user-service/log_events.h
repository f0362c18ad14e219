/* What only the user-service logs. */
#pragma once

#include "common/log/log_events.h"

/* How to add an event is said in common/log/log.h. */
#define USER_LOG_EVENTS(EVENT)                                                                     \
    EVENT(event_save_refused, DEBUG, "save.refused",                                               \
          "A save ended without a confirm, with this outcome: it was not sent, or the broker "     \
          "refused it. The outbox may take it.",                                                   \
          "")                                                                                      \
    EVENT(event_save_unknown, DEBUG, "save.unknown",                                               \
          "A save was sent and not confirmed: nobody knows whether the broker has it. The outbox " \
          "may take it.",                                                                          \
          "")                                                                                      \
    EVENT(event_queue_missing, WARNING, "queue.missing",                                           \
          "The broker returned a save because its queue is missing. The queue is declared again; " \
          "with --declare never it is looked for.",                                                \
          "Find out who deletes the queue; the messages in it were lost.")                         \
    EVENT(event_exchange_unbound, WARNING, "exchange.unbound",                                     \
          "The broker returned a save because no queue is bound to the exchange for the routing "  \
          "key. Until the next confirm this is not logged again.",                                 \
          "Bind the queue to the exchange, or run with --bind on.")                                \
    EVENT(event_outbox_unavailable, ERROR, "outbox.unavailable",                                   \
          "The file of the outbox could not be opened at the start. It is tried again; until "     \
          "then saves are refused while the broker does not confirm them. With --outbox off it "   \
          "could not be seen what the file still holds.",                                          \
          "Look at the disk and at the rights of the state directory.")                            \
    EVENT(event_outbox_refuses, ERROR, "outbox.refuses",                                           \
          "The outbox takes no more saves: it is full, or its file fails. The error says which. "  \
          "Saves that the broker does not confirm are answered 503, with the reason outbox-full "  \
          "or outbox-unavailable.",                                                                \
          "Read the error: give the disk room, raise --outbox-max-bytes, or see why the broker "   \
          "does not take what is in it. If the file fails, look at the disk and at the rights of " \
          "the state directory.")                                                                  \
    EVENT(event_outbox_takes, INFO, "outbox.takes", "The outbox takes saves again.", "")           \
    EVENT(event_outbox_displaced, ERROR, "outbox.displaced",                                       \
          "Files of the outbox or its lock were removed or replaced under the running service. "   \
          "Nothing more is stored. What was stored is still forwarded, and the line says how "     \
          "many saves that are, and the ids of the oldest.",                                       \
          "Put the same files back, or restart the service; where saves are left, wait for "       \
          "outbox.written_out, or until user_service_outbox_saves is 0.")                          \
    EVENT(                                                                                         \
        event_outbox_written_out, WARNING, "outbox.written_out",                                   \
        "After outbox.displaced, the saves that were in no other file that the next start finds "  \
        "were written to this one.",                                                               \
        "Restart the service. If the file is not user-service.db in the state directory, have "    \
        "its saves forwarded as docs/operations.md says.")                                         \
    EVENT(event_outbox_write_out_failed, ERROR, "outbox.write_out_failed",                         \
          "After outbox.displaced, the saves could not be written to a new file. It is tried "     \
          "again, and is logged once.",                                                            \
          "Read the error: give the disk room. Until outbox.written_out, restart only when "       \
          "user_service_outbox_saves is 0.")                                                       \
    EVENT(event_outbox_unreadable, ERROR, "outbox.unreadable",                                     \
          "A row in the file of the outbox is not a save. It is kept, and not forwarded.",         \
          "Read the row with sqlite3; restore a back-up where the file is damaged.")               \
    EVENT(event_outbox_left_behind, ERROR, "outbox.left_behind",                                   \
          "The service runs with --outbox off, and the file of the outbox still holds saves. "     \
          "They are not forwarded.",                                                               \
          "Start once with --outbox on, and wait until user_service_outbox_saves is 0.")           \
    EVENT(event_keys_refused, ERROR, "keys.refused",                                               \
          "The file of the Idempotency-Keys cannot be written, or it or its lock was removed or "  \
          "replaced. Saves with a new key are answered 503, or 504 where they had been sent; "     \
          "saves without a key go on.",                                                            \
          "Read the error: look at the disk, at the rights of the state directory, and whether "   \
          "the file is in its place.")                                                             \
    EVENT(event_keys_taken, INFO, "keys.taken",                                                    \
          "The file of the Idempotency-Keys can be written again.", "")                            \
    EVENT(event_keys_damaged, ERROR, "keys.damaged",                                               \
          "So many records in the file of the Idempotency-Keys cannot be read, and their keys "    \
          "are forgotten. One that was being written when the power failed is of a request that "  \
          "had no answer.",                                                                        \
          "More than the few of one moment: look at the disk.")                                    \
    EVENT(event_keys_in_memory, WARNING, "keys.in_memory",                                         \
          "Without a state directory the Idempotency-Keys are remembered in memory only. After "   \
          "the end of the process a key can come with another user.",                              \
          "Give --state-dir a directory that the service may write.")

USER_LOG_EVENTS(LOG_EVENT_DEFINE)
