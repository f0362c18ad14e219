/* Where to connect, from the URL that a broker hands out. Pure; any thread.
 *
 *     amqp[s]://[USER[:PASSWORD]@][HOST][:PORT][/VHOST][?PARAMETER=VALUE[&...]]
 *
 * Every part may hold %XX for any byte. What is missing is guest, guest, localhost, 5672 (amqps:
 * 5671) and the vhost "/"; an empty vhost and a second slash, as in amqp://host// , mean that one
 * too. Source: RabbitMQ's "URI Specification" and "URI Query Parameters".
 *
 * How to take another parameter: add its row to the table in broker_url_parameters.c. */
#pragma once

#include "common/base/error.h"
#include "common/base/slice.h"

#include <stdbool.h>

enum { BROKER_URL_TEXT_BYTES = 256, BROKER_VHOST_BYTES_MAX = 255 };

/* PEM files for amqps://. Borrowed; NULL: the system's authorities, no client certificate. */
struct broker_tls_files {
    const char *ca_file, *cert_file, *key_file;
};

/* Secrets included. Wipe with broker_address_done(). */
struct broker_address {
    char *url_copy; /* owned; the texts point into it, or are literals */
    size_t url_bytes;
    const char *user, *password, *vhost, *host;
    int port;
    bool tls; /* amqps:// */

    /* What the URL's parameters say in place of the options; NULL and 0: nothing. */
    struct broker_tls_files tls_files;
    int heartbeat_s, connection_timeout_ms, frame_bytes_max;
};

/* Takes one URL, blanks and line ends around it ignored. OUTCOME_INVALID names the part that is
 * wrong, and never repeats a part of the URL other than a parameter's name. */
MUST_CHECK enum outcome broker_address_parse(struct slice url, struct broker_address *ret_address,
                                             struct error *ret_error);
/* Safe on a zeroed struct and when repeated. */
void broker_address_done(struct broker_address *address);

/* Writes the URL without its password and parameters, for people: printable ASCII, cut where it is
 * too long. */
void broker_address_text(const struct broker_address *address,
                         char ret_text[BROKER_URL_TEXT_BYTES]);
