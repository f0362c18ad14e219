/* What only the session-service logs. */
#pragma once

#include "common/log/log_events.h"
#include "common/user/user_event.h"

/* The log event of a message that was handled has the name of its type. */
#define HANDLED(EVENT, type, symbol, name, meaning) EVENT(event_##symbol, INFO, name, meaning, "")

/* How to add an event is said in common/log/log.h. */
#define SESSION_LOG_EVENTS(EVENT)                                                                  \
    USER_EVENT_TYPES(HANDLED, EVENT)                                                               \
    EVENT(event_user_dead_lettered, WARNING, "user.dead_lettered",                                 \
          "A message can never be handled. It goes to the dead letters, with the reason that the " \
          "line gives.",                                                                           \
          "See the message with session-service dead-letters, mend what is wrong, and send it "    \
          "back or purge it.")                                                                     \
    EVENT(event_consumer_consuming, INFO, "consumer.consuming",                                    \
          "The consumer is connected, and takes deliveries from the queue.", "")                   \
    EVENT(event_consumer_standby, INFO, "consumer.standby",                                        \
          "Another session-service has the lock of the queue, or the state directory. This one "   \
          "consumes nothing, and takes over when the other one ends or loses its connection.",     \
          "")                                                                                      \
    EVENT(event_consumer_active, WARNING, "consumer.active",                                       \
          "The session-service has stood by, and consumes now. With a store of its own it knows "  \
          "nothing of what the one before has stored.",                                            \
          "See what has become of the one before.")                                                \
    EVENT(event_consumer_not_alone, WARNING, "consumer.not_alone",                                 \
          "So many others consume from the queue: other programs, or a session-service that "      \
          "takes no lock. What they get never reaches this store. A cluster also counts the "      \
          "consumers of a node that is down.",                                                     \
          "Find the other consumers (rabbitmqctl list_consumers), and stop them.")                 \
    EVENT(event_consumer_shard_given_up, INFO, "consumer.shard_given_up",                          \
          "With --consumer shared this session-service had more than its share of the shards, "    \
          "and leaves this one to the next. It goes on consuming from it, behind the others.",     \
          "")                                                                                      \
    EVENT(event_consumer_cancelled, WARNING, "consumer.cancelled",                                 \
          "The broker has cancelled the consumer: the queue was deleted, or has moved to another " \
          "node. The consumer connects again, and declares the queue where it is missing.",        \
          "Find out who deletes the queue; the messages in it were lost.")                         \
    EVENT(event_consumer_paused, ERROR, "consumer.paused",                                         \
          "The store cannot take a batch. Nothing is consumed or acknowledged, the queue grows, "  \
          "and it is tried again.",                                                                \
          "Read the error: look at the disk of the state directory.")                              \
    EVENT(event_consumer_stalled, WARNING, "consumer.stalled",                                     \
          "So many copies of dead letters wait for their confirm that nothing more is consumed.",  \
          "Look at the broker, and at the policies and limits of the queue of dead letters.")      \
    EVENT(event_consumer_resumed, INFO, "consumer.resumed",                                        \
          "The consumer goes on after consumer.paused or consumer.stalled.", "")                   \
    EVENT(event_message_accused, WARNING, "message.accused",                                       \
          "The process before ended while it handled this message. The message is handled alone "  \
          "now. Where the message was handled alone already, the death is counted; after "         \
          "--redelivery-limit such deaths it becomes a dead letter.",                              \
          "Look at why the process ended.")                                                        \
    EVENT(event_dead_letters_refused, WARNING, "dead_letters.refused",                             \
          "The broker did not take the copy of a dead letter. It is published again after "        \
          "retry_ms, and its delivery stays unacknowledged.",                                      \
          "Look at the policies, limits and rights of the queue of dead letters.")                 \
    EVENT(event_sessions_failed, ERROR, "sessions.failed",                                         \
          "The store could not answer a request for sessions or users; the request got 503. This " \
          "is logged once until one is answered again.",                                           \
          "Read the error: look at the disk of the state directory.")                              \
    EVENT(event_store_warning, WARNING, "store.warning",                                           \
          "The store takes all, but PostgreSQL has a setting off without which it does not keep "  \
          "what it has confirmed in every case, or the partitions of the inbox are not as they "   \
          "should be.",                                                                            \
          "Do what the line says: docs/postgresql.md.")                                            \
    EVENT(event_store_unavailable, ERROR, "store.unavailable",                                     \
          "The store could not be opened at the start, or one that stands by cannot use the "      \
          "state directory. Nothing is consumed until that can be done, and it is tried again.",   \
          "Read the error: look at the disk and at the rights of the state directory.")

SESSION_LOG_EVENTS(LOG_EVENT_DEFINE)
