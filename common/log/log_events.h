/* What both services log: every event of common/, and those of the broker. */
#pragma once

#include "common/log/log.h"

/* How to add an event is said in common/log/log.h. */
#define COMMON_LOG_EVENTS(EVENT)                                                                   \
    EVENT(event_service_started, INFO, "service.started",                                          \
          "The service serves HTTP at this address. It may not be connected to the broker yet. "   \
          "With --compat the line has the options that it sets, as they are.",                     \
          "")                                                                                      \
    EVENT(event_service_unknown_variable, WARNING, "service.unknown_variable",                     \
          "A variable of the environment begins as those of the options do, and belongs to no "    \
          "option. It has no effect. The option whose variable is most like it is named.",         \
          "Correct the name of the variable, or unset it.")                                        \
    EVENT(event_service_listen_unused, WARNING, "service.listen_unused",                           \
          "The option listen is set and has no effect, because the service manager passes "        \
          "sockets of another address.",                                                           \
          "Set ListenStream= in the unit of the socket, and remove the option "                    \
          "(docs/operations.md, Install).")                                                        \
    EVENT(event_service_reloaded, INFO, "service.reloaded",                                        \
          "A reload was done, and so many tokens are in force; changed says whether they are "     \
          "others than before.",                                                                   \
          "")                                                                                      \
    EVENT(event_service_restart_needed, WARNING, "service.restart_needed",                         \
          "A reload found that these options have changed since the start. A reload takes only "   \
          "the tokens.",                                                                           \
          "Restart the service, so that the options take force.")                                  \
    EVENT(event_service_reload_failed, ERROR, "service.reload_failed",                             \
          "The options or the file of tokens could not be read again, or a start would refuse "    \
          "them. Nothing has changed: the tokens that were read before stay in force.",            \
          "Mend what the error names, and reload again.")                                          \
    EVENT(event_service_notify_failed, WARNING, "service.notify_failed",                           \
          "The service manager could not be told of the state. It may take the service for one "   \
          "that hangs. This is logged once.",                                                      \
          "Read the error; look at NotifyAccess= and at the socket that NOTIFY_SOCKET names.")     \
    EVENT(event_service_draining, INFO, "service.draining",                                        \
          "A signal asks the service to stop. It takes nothing new, and finishes what it has "     \
          "accepted.",                                                                             \
          "")                                                                                      \
    EVENT(event_service_drain_timeout, ERROR, "service.drain_timeout",                             \
          "Something was still under way when the time to stop was over. The process ends with "   \
          "exit status 1. What was not confirmed was not answered with success, and what was not " \
          "acknowledged comes again.",                                                             \
          "Raise --drain-timeout where this happens often; see whether the broker or the disk is " \
          "slow.")                                                                                 \
    EVENT(event_service_stopped, INFO, "service.stopped",                                          \
          "The service has finished what it had accepted, and ends with exit status 0.", "")       \
    EVENT(                                                                                         \
        event_http_refused, INFO, "http.refused",                                                  \
        "A request was answered with an error: its status, the type of the problem, where in "     \
        "the request it is, the address of the client, and the id that the request came with. A "  \
        "503 has its reason. Of more than 100 in a second the last one is logged when the "        \
        "second is over, and says how many others were not (not_logged).",                         \
        "")                                                                                        \
    EVENT(event_http_connection_limit_lowered, WARNING, "http.connection_limit_lowered",           \
          "The process may not open enough descriptors for --connection-limit. Only so many "      \
          "connections are taken.",                                                                \
          "Raise LimitNOFILE= of the unit, or lower --connection-limit.")                          \
    EVENT(event_http_library, DEBUG, "http.library",                                               \
          "The HTTP library says something about a connection, such as one that the client has "   \
          "closed.",                                                                               \
          "")                                                                                      \
    EVENT(event_broker_connected, INFO, "broker.connected",                                        \
          "A connection to the broker is there, and its login was accepted.", "")                  \
    EVENT(event_broker_connecting_failed, WARNING, "broker.connecting_failed",                     \
          "An attempt to connect failed, and is made again after retry_ms at the next host. The "  \
          "same error is logged only once in a while.",                                            \
          "The error says what to look at: the broker, the network, the name, the password, the "  \
          "certificate, the type of the queue, or the right that is missing.")                     \
    EVENT(event_broker_disconnected, WARNING, "broker.disconnected",                               \
          "A connection was lost or given up. It is made again.",                                  \
          "Look at the log of the broker, where it happens again.")                                \
    EVENT(event_queue_other_arguments, WARNING, "queue.other_arguments",                           \
          "The queue exists with other arguments than it would be declared with, and is used as "  \
          "it is. The first argument that differs is named.",                                      \
          "See that the arguments discard no message that was confirmed (docs/operations.md, The " \
          "queues).")                                                                              \
    EVENT(event_queue_discards, WARNING, "queue.discards",                                         \
          "The queue discards messages that were confirmed, because of these arguments. What was " \
          "answered with success can be lost.",                                                    \
          "Move the queue away and have it declared without them; limit it by a policy with "      \
          "reject-publish (docs/operations.md, Policies).")                                        \
    EVENT(event_queue_not_declared, INFO, "queue.not_declared",                                    \
          "The user of the broker may not declare the queue. It exists, and is used as it is.",    \
          "")                                                                                      \
    EVENT(event_queue_not_locked, WARNING, "queue.not_locked",                                     \
          "The user of the broker may not declare the queue that is the lock. Nothing keeps a "    \
          "second session-service from the queue: each would get a part of the messages.",         \
          "Give the user the right to configure the queue that the line names, or set --consumer " \
          "shared where no second one is ever started.")                                           \
    EVENT(event_broker_blocked, WARNING, "broker.blocked",                                         \
          "The broker takes no publishes: it has an alarm, or it refuses or confirms too late. "   \
          "The user-service puts saves into its outbox; in the session-service the copies of "     \
          "dead letters wait.",                                                                    \
          "Read the reason: free memory or disk of the broker, or lower its load.")                \
    EVENT(event_broker_unblocked, INFO, "broker.unblocked", "The broker takes publishes again.", "")

COMMON_LOG_EVENTS(LOG_EVENT_DEFINE)
