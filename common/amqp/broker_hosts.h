/* The hosts of one broker, from a comma separated list of URLs, and the login to one of them.
 * Holds secrets: wipe with broker_hosts_done(). One thread at a time. */
#pragma once

#include "common/amqp/broker.h"

struct broker_hosts {
    struct broker_address addresses[BROKER_URLS_MAX];
    size_t count; /* at least 1 once parsed */
};

/* INVALID says which URL and which part of it is wrong; nothing to wipe then. */
MUST_CHECK enum outcome broker_hosts_parse(const char *urls, struct broker_hosts *ret_hosts,
                                           struct error *ret_error);
/* Safe on a zeroed struct and when repeated. */
void broker_hosts_done(struct broker_hosts *hosts);

/* Connects and logs in as broker_open() does. With a `password_file` (not NULL) that is read now
 * and its one line, without a byte order mark and the blanks around it, is the password in place of
 * the URL's; INVALID where it holds none. */
MUST_CHECK enum outcome broker_hosts_open(const struct broker_address *address,
                                          const struct broker_open_options *options,
                                          const char *password_file, struct broker **ret_broker,
                                          struct error *ret_error);
